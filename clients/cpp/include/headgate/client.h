// The C++ client of headgate: a channel with good defaults, typed errors, and streams of text.
//
//   auto stub = headgate::v1::ChatService::NewStub(headgate::OpenChannel("127.0.0.1:50051"));
//   headgate::Stream stream(*stub, headgate::Ask("Tell me a story"));
//   for (const std::string& piece : stream.text()) std::cout << piece << std::flush;
//   if (headgate::Error error = stream.Finish()) std::cerr << error << "\n";
//
// All else is the generated stub's and gRPC's own: deadlines, metadata and cancelling belong to
// grpc::ClientContext. As with gRPC no call throws; how it ended is a value.
#ifndef HEADGATE_CLIENT_H_
#define HEADGATE_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "headgate/v1/chat.grpc.pb.h"

namespace headgate {

// Adds what every channel of this client is opened with to arguments that do not have it: the
// project's channel_defaults.json, its service_config.json (UNAVAILABLE is retried, by gRPC, until
// a message has come) and the user agent.
grpc::ChannelArguments WithDefaults(grpc::ChannelArguments arguments = {});

// How a channel is opened. Without credentials it is plaintext, and so is the token: use TLS, or a
// mesh, wherever others can listen.
struct ChannelOptions {
  // For TLS and mTLS, as from grpc::SslCredentials(). Null: plaintext.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // Sent with every call as `authorization: Bearer TOKEN`, unless the call's context has its own
  // `authorization`. Empty: none.
  std::string token;
  // Arguments of your own; they overrule the defaults.
  grpc::ChannelArguments arguments;
};

// Opens a channel to `target`, gRPC's name of the server: `host:port`, `dns:///host:port`,
// `unix:/path`. It connects at the first call.
// One thread for all such channels waits, asleep, to hear at once of a server that leaves.
// Throws std::invalid_argument if the token is not one line of printable ASCII.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& target,
                                           const ChannelOptions& options = {});

// The request for an answer to what a user says.
v1::ChatRequest Ask(std::string prompt);

// The text of an answer's first choice, which belongs to the answer; empty if there is none.
const std::string& Text(const v1::ChatResponse& response);

// The canonical name of a status code, such as "UNAVAILABLE".
const char* CodeName(grpc::StatusCode code);

// One wrong field of a request: its path in the contract, and what is allowed.
struct FieldViolation {
  std::string field;
  std::string description;
};

// How a call ended: false when it ended well, as std::error_code is.
//
// Facts come from google.rpc.Status (AIP-193) and, where that is missing or broken, from the plain
// trailers `headgate-reason` and `headgate-retry-after-ms`.
// Statuses that gRPC or a proxy made have a code and a message, and no reason.
class Error {
 public:
  Error() = default;

  // Reads `status` and the trailers of `context`, whose call has ended.
  // `position` is how many deltas of the upstream had come (ChatDelta.position): a connection that
  // broke after the first has interrupted the answer, whoever made the status.
  Error(const grpc::Status& status, const grpc::ClientContext& context, int position = 0);

  explicit operator bool() const { return !status_.ok(); }

  // The status as gRPC gave it: code, message, details.
  const grpc::Status& status() const { return status_; }

  // Why, for a switch; ERROR_REASON_UNSPECIFIED if the gateway did not say, or if it said one that
  // this version does not know.
  v1::ErrorReason reason() const;

  // Why, as it came, such as "QUEUE_FULL"; empty if the gateway did not say.
  const std::string& reason_name() const { return reason_; }

  // After which a new try makes sense, if the gateway said; rounded up.
  std::optional<std::chrono::milliseconds> retry_delay() const { return retry_delay_; }

  // Further facts of google.rpc.ErrorInfo, such as `cause` or `phase`.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // Every wrong field of the request (google.rpc.BadRequest).
  const std::vector<FieldViolation>& violations() const { return violations_; }

  // Set if the answer was cut after its first delta: how many deltas of the upstream were sent.
  std::optional<int> position_sent() const;

 private:
  friend class Stream;
  void ReadTrailers(const grpc::ClientContext& context);
  void ReadDetails(const std::string& bytes);

  grpc::Status status_;
  std::string reason_;
  std::optional<std::chrono::milliseconds> retry_delay_;
  std::map<std::string, std::string> metadata_;
  std::vector<FieldViolation> violations_;
};

// One line: `message (REASON)`; without a reason the name of the code.
std::ostream& operator<<(std::ostream& out, const Error& error);

class TextRange;

// A running StreamChat. Destroying it before its end cancels the call, and the gateway then stops
// the upstream. Read from one thread; Cancel from any.
class Stream {
 public:
  // Starts the call. `context` carries deadline and metadata; without a deadline there is none.
  Stream(v1::ChatService::StubInterface& stub, const v1::ChatRequest& request,
         std::unique_ptr<grpc::ClientContext> context = std::make_unique<grpc::ClientContext>());
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Waits for the next event; false at the end of the stream, whatever it was.
  bool Read(v1::StreamChatResponse* event);

  // The text of the first choice, piece by piece: an input range, to be gone through once.
  // It ends where Read would be false, so ask Finish() whether the answer is whole.
  TextRange text();

  // How the call ended. Before its end it is cancelled, unless `finished` has come.
  // An OK without `finished` is no whole answer, and is told as INTERNAL with position_sent.
  [[nodiscard]] Error Finish();

  // Ends the call with CANCELLED, unless it has ended.
  void Cancel() { context_->TryCancel(); }

  // What has come so far: the latest place in line, who answers, reasons and usage.
  const std::optional<v1::Queued>& queued() const { return queued_; }
  const std::optional<v1::StreamStarted>& started() const { return started_; }
  const std::optional<v1::StreamFinished>& finished() const { return finished_; }

  // How many deltas of the upstream have been read.
  int position() const { return position_; }

  // The call's context; its trailers, `x-request-id` among them, are there once the call has ended.
  const grpc::ClientContext& context() const { return *context_; }

 private:
  void Take(const v1::StreamChatResponse& event);
  void End();

  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderInterface<v1::StreamChatResponse>> reader_;
  std::optional<v1::Queued> queued_;
  std::optional<v1::StreamStarted> started_;
  std::optional<v1::StreamFinished> finished_;
  int position_ = 0;
  bool ended_ = false;
  Error error_;
};

// The text of a stream's first choice; the stream must outlive it.
class TextRange {
 public:
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string*;
    using reference = const std::string&;

    iterator() = default;  // the end
    explicit iterator(Stream* stream) : stream_(stream) { ++*this; }

    reference operator*() const { return piece_; }
    pointer operator->() const { return &piece_; }
    iterator& operator++();
    iterator operator++(int);
    bool operator==(const iterator& other) const { return stream_ == other.stream_; }
    bool operator!=(const iterator& other) const { return stream_ != other.stream_; }

   private:
    Stream* stream_ = nullptr;
    std::string piece_;
  };

  explicit TextRange(Stream* stream) : stream_(stream) {}
  iterator begin() const { return iterator(stream_); }
  iterator end() const { return iterator(); }

 private:
  Stream* stream_;
};

}  // namespace headgate

#endif  // HEADGATE_CLIENT_H_
