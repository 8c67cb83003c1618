// Makes one call of the conformance kit, and remembers what it saw of it.
#ifndef HEADGATE_CONFORMANCE_WITNESS_H_
#define HEADGATE_CONFORMANCE_WITNESS_H_

#include <google/protobuf/struct.pb.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "headgate/client.h"
#include "line.pb.h"

namespace headgate::conformance {

class Witness {
 public:
  Witness(v1::ChatService::StubInterface& stub, const Line& line) : stub_(stub), line_(line) {}

  // Makes the call; returns its object of the result.
  google::protobuf::Struct See();

 private:
  void Chat();
  void StreamChat();
  void ReadEvents(Stream& stream);
  void ReadText(Stream& stream);
  void Note(const v1::StreamChatResponse& event);
  void Keep(const google::protobuf::MessageLite& message);
  void TellEnd(const Error& error, const grpc::ClientContext& context);
  void TellRest();
  std::unique_ptr<grpc::ClientContext> Context() const;
  v1::ChatRequest Request() const;

  v1::ChatService::StubInterface& stub_;
  const Line& line_;
  google::protobuf::Struct seen_;
  google::protobuf::ListValue messages_;
  std::vector<std::pair<std::string, int>> events_;  // names, and how many in a row
  std::map<int, std::string> text_;
  int deltas_ = 0;
  int queued_ = 0;
};

}  // namespace headgate::conformance

#endif  // HEADGATE_CONFORMANCE_WITNESS_H_
