#include "witness.h"

#include <absl/strings/escaping.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace headgate::conformance {
namespace {

using google::protobuf::ListValue;
using google::protobuf::Struct;
using google::protobuf::Value;
using std::chrono::milliseconds;

Value Json(const std::string& text) {
  Value value;
  value.set_string_value(text);
  return value;
}

Value Json(double number) {
  Value value;
  value.set_number_value(number);
  return value;
}

Value Json(ListValue list) {
  Value value;
  *value.mutable_list_value() = std::move(list);
  return value;
}

template <typename Key>
Value Json(const std::map<Key, std::string>& texts, std::string (*name)(const Key&)) {
  Value value;
  Struct& object = *value.mutable_struct_value();
  for (const auto& [key, text] : texts) (*object.mutable_fields())[name(key)] = Json(text);
  return value;
}

Value Pair(Value first, Value second) {
  ListValue pair;
  *pair.add_values() = std::move(first);
  *pair.add_values() = std::move(second);
  return Json(std::move(pair));
}

std::string Same(const std::string& key) { return key; }
std::string Index(const int& choice) { return std::to_string(choice); }

std::string EventName(const v1::StreamChatResponse& event) {
  const auto* field = v1::StreamChatResponse::descriptor()->FindFieldByNumber(event.event_case());
  return field == nullptr ? std::string() : std::string(field->name());
}

// The trailers that the kit wants to see.
std::map<std::string, std::string> Trailers(const grpc::ClientContext& context) {
  std::map<std::string, std::string> trailers;
  for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
    if (key.starts_with("headgate-") || key == "x-request-id" || key == "grpc-retry-pushback-ms") {
      trailers[{key.data(), key.size()}].assign(value.data(), value.size());
    }
  }
  return trailers;
}

// Cancels a call after some time, unless it is destroyed before.
class CancelLater {
 public:
  CancelLater(grpc::ClientContext* context, const Line& line) {
    if (!line.cancel().has_ms()) return;
    thread_ = std::thread([this, context, wait = milliseconds(line.cancel().ms())] {
      std::unique_lock<std::mutex> lock(mutex_);
      if (!ended_.wait_for(lock, wait, [this] { return over_; })) context->TryCancel();
    });
  }

  ~CancelLater() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      over_ = true;
    }
    ended_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace

Struct Witness::See() {
  const auto began = std::chrono::steady_clock::now();
  if (line_.method() == "Chat") {
    Chat();
  } else {
    StreamChat();
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
  (*seen_.mutable_fields())["elapsed_ms"] = Json(took.count());
  TellRest();
  return seen_;
}

void Witness::Chat() {
  const auto context = Context();
  v1::ChatResponse response;
  grpc::Status status;
  {
    const CancelLater timer(context.get(), line_);
    status = stub_.Chat(context.get(), Request(), &response);
  }
  if (status.ok()) {
    Keep(response);
    for (const auto& choice : response.choices())
      text_[choice.index()] = choice.message().content();
  }
  TellEnd(Error(status, *context), *context);
}

void Witness::StreamChat() {
  auto context = Context();
  grpc::ClientContext* const running = context.get();
  Stream stream(stub_, Request(), std::move(context));
  {
    const CancelLater timer(running, line_);
    if (line_.helper()) {
      ReadText(stream);
    } else {
      ReadEvents(stream);
    }
  }
  TellEnd(stream.Finish(), stream.context());
}

void Witness::ReadEvents(Stream& stream) {
  const Cancel& cancel = line_.cancel();
  v1::StreamChatResponse event;
  while (stream.Read(&event)) {
    Note(event);
    const bool enough = (cancel.has_deltas() && deltas_ >= cancel.deltas()) ||
                        (cancel.has_queued() && queued_ >= cancel.queued());
    if (enough) stream.Cancel();
    if (messages_.values_size() == 1) std::this_thread::sleep_for(milliseconds(line_.pause_ms()));
  }
}

void Witness::ReadText(Stream& stream) {
  for (const std::string& piece : stream.text()) {
    text_[0] += piece;
    if (line_.cancel().has_deltas() && ++deltas_ == line_.cancel().deltas()) stream.Cancel();
  }
}

void Witness::Note(const v1::StreamChatResponse& event) {
  Keep(event);
  const std::string name = EventName(event);
  if (events_.empty() || events_.back().first != name) events_.emplace_back(name, 0);
  ++events_.back().second;
  queued_ += event.has_queued();
  if (!event.has_delta()) return;
  ++deltas_;
  text_[event.delta().choice_index()] += event.delta().content();
}

void Witness::Keep(const google::protobuf::MessageLite& message) {
  *messages_.add_values() = Json(absl::Base64Escape(message.SerializeAsString()));
}

void Witness::TellEnd(const Error& error, const grpc::ClientContext& context) {
  auto& seen = *seen_.mutable_fields();
  seen["code"] = Json(CodeName(error.status().error_code()));
  seen["message"] = Json(error.status().error_message());
  seen["reason"] = Json(error.reason_name());
  seen["metadata"] = Json(error.metadata(), Same);
  seen["trailers"] = Json(Trailers(context), Same);
  seen["retry_delay_ms"].set_null_value(google::protobuf::NULL_VALUE);
  const auto delay = error.retry_delay();
  if (delay) seen["retry_delay_ms"] = Json(static_cast<double>(delay->count()));
  ListValue violations;
  for (const FieldViolation& each : error.violations()) {
    *violations.add_values() = Pair(Json(each.field), Json(each.description));
  }
  seen["violations"] = Json(std::move(violations));
}

void Witness::TellRest() {
  auto& seen = *seen_.mutable_fields();
  ListValue events;
  for (const auto& [name, count] : events_) *events.add_values() = Pair(Json(name), Json(count));
  seen["events"] = Json(std::move(events));
  seen["messages"] = Json(std::move(messages_));
  seen["text"] = Json(text_, Index);
}

std::unique_ptr<grpc::ClientContext> Witness::Context() const {
  auto context = std::make_unique<grpc::ClientContext>();
  for (const auto& [key, value] : line_.metadata()) context->AddMetadata(key, value);
  if (line_.has_timeout_ms()) {
    context->set_deadline(std::chrono::system_clock::now() + milliseconds(line_.timeout_ms()));
  }
  return context;
}

v1::ChatRequest Witness::Request() const {
  v1::ChatRequest request;
  request.ParseFromString(line_.request());
  if (line_.has_fill()) {
    auto* last = request.mutable_messages(request.messages_size() - 1);
    last->set_content(std::string(line_.fill(), 'a'));
  }
  return request;
}

}  // namespace headgate::conformance
