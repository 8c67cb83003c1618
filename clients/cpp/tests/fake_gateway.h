// A gateway in this process, on a port of its own, that does what a test tells it.
#ifndef HEADGATE_TESTS_FAKE_GATEWAY_H_
#define HEADGATE_TESTS_FAKE_GATEWAY_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "headgate/client.h"

namespace headgate {

using Writer = grpc::ServerWriter<v1::StreamChatResponse>;
// Answers an attempt; `writer` is null for Chat.
using Handler = std::function<grpc::Status(grpc::ServerContext& context, Writer* writer)>;

class FakeGateway : public v1::ChatService::Service {
 public:
  explicit FakeGateway(Handler handler) : handler_(std::move(handler)) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
  }

  const std::string& target() const { return target_; }

  std::unique_ptr<v1::ChatService::Stub> Stub(const ChannelOptions& options = {}) const {
    return v1::ChatService::NewStub(OpenChannel(target_, options));
  }

  // How many attempts have come.
  int attempts() const { return attempts_; }

  grpc::Status Chat(grpc::ServerContext* context, const v1::ChatRequest*,
                    v1::ChatResponse*) override {
    ++attempts_;
    return handler_(*context, nullptr);
  }

  grpc::Status StreamChat(grpc::ServerContext* context, const v1::ChatRequest*,
                          Writer* writer) override {
    ++attempts_;
    return handler_(*context, writer);
  }

 private:
  const Handler handler_;
  std::atomic<int> attempts_ = 0;
  std::string target_;
  std::unique_ptr<grpc::Server> server_;
};

inline v1::StreamChatResponse Delta(const std::string& content, int position, int choice = 0) {
  v1::StreamChatResponse event;
  event.mutable_delta()->set_content(content);
  event.mutable_delta()->set_position(position);
  event.mutable_delta()->set_choice_index(choice);
  return event;
}

inline v1::StreamChatResponse Started(const std::string& model) {
  v1::StreamChatResponse event;
  event.mutable_started()->set_model(model);
  return event;
}

inline v1::StreamChatResponse Finished() {
  v1::StreamChatResponse event;
  event.mutable_finished()->mutable_usage()->set_total_tokens(7);
  return event;
}

inline v1::StreamChatResponse Heartbeat() {
  v1::StreamChatResponse event;
  event.mutable_heartbeat();
  return event;
}

}  // namespace headgate

#endif  // HEADGATE_TESTS_FAKE_GATEWAY_H_
