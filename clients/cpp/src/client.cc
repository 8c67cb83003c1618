#include "headgate/client.h"

#include <grpcpp/support/client_interceptor.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "defaults.h"
#include "headgate/client/error_details.pb.h"
#include "watch.h"

namespace headgate {
namespace {

namespace experimental = grpc::experimental;

// The longest that a google.protobuf.Duration may be, 10,000 years.
constexpr std::int64_t kMostSeconds = 315'576'000'000;

// A whole number of at most 15 digits, or none.
std::optional<std::int64_t> Count(std::string_view text) {
  std::int64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, fault] = std::from_chars(text.data(), end, count);
  if (fault != std::errc() || rest != end || text.size() > 15 || text.front() == '-') return {};
  return count;
}

// Adds the token to calls that bring no credentials of their own. gRPC's own call credentials
// would not do: they are refused on plaintext channels, where a mesh does the TLS.
class Bearer : public experimental::Interceptor {
 public:
  explicit Bearer(std::string header) : header_(std::move(header)) {}

  void Intercept(experimental::InterceptorBatchMethods* batch) override {
    using Point = experimental::InterceptionHookPoints;
    if (batch->QueryInterceptionHookPoint(Point::PRE_SEND_INITIAL_METADATA)) {
      auto* metadata = batch->GetSendInitialMetadata();
      if (metadata->count("authorization") == 0) metadata->emplace("authorization", header_);
    }
    batch->Proceed();
  }

 private:
  const std::string header_;
};

class BearerFactory : public experimental::ClientInterceptorFactoryInterface {
 public:
  explicit BearerFactory(std::string header) : header_(std::move(header)) {}

  experimental::Interceptor* CreateClientInterceptor(experimental::ClientRpcInfo*) override {
    return new Bearer(header_);  // gRPC deletes it with the call
  }

 private:
  const std::string header_;
};

std::shared_ptr<grpc::Channel> WithToken(
    const std::string& token, const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const grpc::ChannelArguments& arguments) {
  std::vector<std::unique_ptr<experimental::ClientInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<BearerFactory>("Bearer " + token));
  return experimental::CreateCustomChannelWithInterceptors(target, credentials, arguments,
                                                           std::move(interceptors));
}

bool Printable(const std::string& token) {
  return std::all_of(token.begin(), token.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::set<std::string> Names(const grpc::ChannelArguments& arguments) {
  grpc_channel_args raw;
  arguments.SetChannelArgs(&raw);
  std::set<std::string> names;
  for (std::size_t i = 0; i < raw.num_args; ++i) names.emplace(raw.args[i].key);
  return names;
}

// What gRPC says when a connection breaks under a stream.
bool Broken(grpc::StatusCode code) {
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::INTERNAL ||
         code == grpc::StatusCode::UNKNOWN;
}

// Reads a detail of this type; any other is left for others to read.
template <typename Detail>
bool Unpack(const client::Any& any, std::string_view type, Detail* detail) {
  const std::string& url = any.type_url();
  return url.substr(url.rfind('/') + 1) == type && detail->ParseFromString(any.value());
}

}  // namespace

grpc::ChannelArguments WithDefaults(grpc::ChannelArguments arguments) {
  // Of two message sizes gRPC 1.51 took the first, so nothing is set twice.
  const std::set<std::string> given = Names(arguments);
  for (const Default& each : kChannelDefaults) {
    if (given.count(each.name) == 0) arguments.SetInt(each.name, each.value);
  }
  if (given.count(GRPC_ARG_SERVICE_CONFIG) == 0) arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetUserAgentPrefix(kUserAgent);
  return arguments;
}

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& target,
                                           const ChannelOptions& options) {
  if (!Printable(options.token)) {
    throw std::invalid_argument(
        "the token is not printable ASCII; allowed is one line of it, without its line feed");
  }
  const auto credentials =
      options.credentials ? options.credentials : grpc::InsecureChannelCredentials();
  const grpc::ChannelArguments arguments = WithDefaults(options.arguments);
  const auto channel = options.token.empty()
                           ? grpc::CreateCustomChannel(target, credentials, arguments)
                           : WithToken(options.token, target, credentials, arguments);
  Watch(channel);
  return channel;
}

v1::ChatRequest Ask(std::string prompt) {
  v1::ChatRequest request;
  v1::ChatMessage* const message = request.add_messages();
  message->set_role(v1::ROLE_USER);
  message->set_content(std::move(prompt));
  return request;
}

const std::string& Text(const v1::ChatResponse& response) {
  for (const v1::ChatChoice& choice : response.choices()) {
    if (choice.index() == 0) return choice.message().content();
  }
  return v1::ChatMessage::default_instance().content();
}

const char* CodeName(grpc::StatusCode code) {
  constexpr const char* kNames[] = {
      "OK",
      "CANCELLED",
      "UNKNOWN",
      "INVALID_ARGUMENT",
      "DEADLINE_EXCEEDED",
      "NOT_FOUND",
      "ALREADY_EXISTS",
      "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED",
      "FAILED_PRECONDITION",
      "ABORTED",
      "OUT_OF_RANGE",
      "UNIMPLEMENTED",
      "INTERNAL",
      "UNAVAILABLE",
      "DATA_LOSS",
      "UNAUTHENTICATED",
  };
  const bool known = code >= 0 && static_cast<std::size_t>(code) < std::size(kNames);
  return known ? kNames[code] : "UNKNOWN";
}

Error::Error(const grpc::Status& status, const grpc::ClientContext& context, int position)
    : status_(status) {
  if (status.ok()) return;
  ReadTrailers(context);
  ReadDetails(status.error_details());
  if (position > 0 && reason_.empty() && Broken(status.error_code())) {
    metadata_.emplace("position_sent", std::to_string(position));
  }
}

void Error::ReadTrailers(const grpc::ClientContext& context) {
  for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
    if (key == "headgate-reason") {
      reason_.assign(value.data(), value.size());
    } else if (key == "headgate-retry-after-ms") {
      const auto delay = Count({value.data(), value.size()});
      if (delay) retry_delay_ = std::chrono::milliseconds(*delay);
    }
  }
}

void Error::ReadDetails(const std::string& bytes) {
  client::Status rich;
  if (!rich.ParseFromString(bytes)) return;  // not the gateway's own, or changed on the way
  for (const client::Any& any : rich.details()) {
    client::ErrorInfo info;
    client::RetryInfo retry;
    client::BadRequest bad;
    if (Unpack(any, "google.rpc.ErrorInfo", &info) && info.domain() == "headgate") {
      reason_ = info.reason();
      metadata_.insert(info.metadata().begin(), info.metadata().end());
    } else if (Unpack(any, "google.rpc.RetryInfo", &retry)) {
      const client::Duration& delay = retry.retry_delay();
      if (delay.seconds() < 0 || delay.seconds() > kMostSeconds) continue;
      retry_delay_ =
          std::chrono::seconds(delay.seconds()) +
          std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds(delay.nanos()));
    } else if (Unpack(any, "google.rpc.BadRequest", &bad)) {
      for (const auto& each : bad.field_violations()) {
        violations_.push_back({each.field(), each.description()});
      }
    }
  }
}

v1::ErrorReason Error::reason() const {
  v1::ErrorReason reason = v1::ERROR_REASON_UNSPECIFIED;
  v1::ErrorReason_Parse("ERROR_REASON_" + reason_, &reason);
  return reason;
}

std::optional<int> Error::position_sent() const {
  const auto found = metadata_.find("position_sent");
  const auto position = found == metadata_.end() ? std::nullopt : Count(found->second);
  if (!position || *position > std::numeric_limits<int>::max()) return std::nullopt;
  return static_cast<int>(*position);
}

std::ostream& operator<<(std::ostream& out, const Error& error) {
  if (!error) return out << "OK";
  const std::string& message = error.status().error_message();
  out << (message.empty() ? "no details" : message) << " (";
  if (error.reason_name().empty()) return out << CodeName(error.status().error_code()) << ")";
  return out << error.reason_name() << ")";
}

Stream::Stream(v1::ChatService::StubInterface& stub, const v1::ChatRequest& request,
               std::unique_ptr<grpc::ClientContext> context)
    : context_(std::move(context)), reader_(stub.StreamChat(context_.get(), request)) {}

Stream::~Stream() {
  if (ended_) return;
  Cancel();
  End();
}

bool Stream::Read(v1::StreamChatResponse* event) {
  if (ended_) return false;
  if (reader_->Read(event)) {
    Take(*event);
    return true;
  }
  End();
  return false;
}

TextRange Stream::text() { return TextRange(this); }

Error Stream::Finish() {
  if (!ended_ && !finished_) Cancel();
  v1::StreamChatResponse unread;
  while (Read(&unread)) {
  }
  return error_;
}

void Stream::Take(const v1::StreamChatResponse& event) {
  switch (event.event_case()) {
    case v1::StreamChatResponse::kDelta:
      position_ = event.delta().position();
      break;
    case v1::StreamChatResponse::kQueued:
      queued_ = event.queued();
      break;
    case v1::StreamChatResponse::kStarted:
      started_ = event.started();
      break;
    case v1::StreamChatResponse::kFinished:
      finished_ = event.finished();
      break;
    default:  // heartbeats, and what later versions add
      break;
  }
}

void Stream::End() {
  ended_ = true;
  const grpc::Status status = reader_->Finish();
  error_ = Error(status, *context_, position_);
  if (status.ok() && !finished_) {
    const grpc::Status cut(grpc::StatusCode::INTERNAL,
                           "the stream ended without its finished event");
    error_ = Error(cut, *context_);
    error_.metadata_["position_sent"] = std::to_string(position_);
  }
}

TextRange::iterator& TextRange::iterator::operator++() {
  v1::StreamChatResponse event;
  while (stream_->Read(&event)) {
    if (event.delta().choice_index() != 0 || event.delta().content().empty()) continue;
    piece_ = std::move(*event.mutable_delta()->mutable_content());
    return *this;
  }
  stream_ = nullptr;
  return *this;
}

TextRange::iterator TextRange::iterator::operator++(int) {
  iterator before = *this;
  ++*this;
  return before;
}

}  // namespace headgate
