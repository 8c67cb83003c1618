#include "watch.h"

#include <thread>

namespace headgate {
namespace {

// A channel whose users have let it go ends its watch by changing its state for the last time.
using Watched = std::weak_ptr<grpc::Channel>;

class Watcher {
 public:
  Watcher() {
    std::thread([this] { Run(); }).detach();
  }

  void Wait(const std::shared_ptr<grpc::Channel>& channel) {
    const gpr_timespec ever = gpr_inf_future(GPR_CLOCK_REALTIME);
    channel->NotifyOnStateChange(channel->GetState(false), ever, &changes_, new Watched(channel));
  }

 private:
  void Run() {
    void* tag = nullptr;
    bool changed = false;
    while (changes_.Next(&tag, &changed)) {
      const std::unique_ptr<Watched> watched(static_cast<Watched*>(tag));
      if (const auto channel = watched->lock()) Wait(channel);
    }
  }

  grpc::CompletionQueue changes_;
};

}  // namespace

void Watch(const std::shared_ptr<grpc::Channel>& channel) {
  static auto* const watcher = new Watcher;  // for as long as the process: its thread never ends
  watcher->Wait(channel);
}

}  // namespace headgate
