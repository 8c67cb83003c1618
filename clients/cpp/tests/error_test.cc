// What Error reads from a status: google.rpc's details, the plain trailers, both, or neither.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "fake_gateway.h"
#include "headgate/client/error_details.pb.h"

namespace headgate {
namespace {

using std::chrono::milliseconds;
using Trailers = std::map<std::string, std::string>;

void Pack(const google::protobuf::MessageLite& detail, const std::string& type,
          client::Status* rich) {
  client::Any* any = rich->add_details();
  any->set_type_url("type.googleapis.com/" + type);
  any->set_value(detail.SerializeAsString());
}

std::string Info(const std::string& reason, const Trailers& metadata,
                 const std::string& domain = "headgate") {
  client::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain(domain);
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  client::Status rich;
  Pack(info, "google.rpc.ErrorInfo", &rich);
  return rich.SerializeAsString();
}

std::string RetryAfter(std::int64_t seconds, int nanos) {
  client::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(seconds);
  retry.mutable_retry_delay()->set_nanos(nanos);
  client::Status rich;
  Pack(retry, "google.rpc.RetryInfo", &rich);
  return rich.SerializeAsString();
}

// The Error of a call that a gateway ends with this status and these trailers.
Error Ended(const grpc::Status& status, const Trailers& trailers = {}) {
  FakeGateway gateway([&](grpc::ServerContext& context, Writer*) {
    for (const auto& [key, value] : trailers) context.AddTrailingMetadata(key, value);
    return status;
  });
  grpc::ClientContext context;
  v1::ChatResponse response;
  const grpc::Status ended = gateway.Stub()->Chat(&context, v1::ChatRequest(), &response);
  return Error(ended, context);
}

grpc::Status Full(const std::string& details = "") {
  return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full", details);
}

TEST(Error, IsFalseWhenTheCallEndedWell) {
  const Error error = Ended(grpc::Status::OK, {{"headgate-reason", "QUEUE_FULL"}});
  EXPECT_FALSE(error);
  EXPECT_EQ(error.reason_name(), "");
  EXPECT_FALSE(Error());
}

TEST(Error, ReadsThePlainTrailers) {
  const Error error =
      Ended(Full(), {{"headgate-reason", "QUEUE_FULL"}, {"headgate-retry-after-ms", "1500"}});
  EXPECT_TRUE(error);
  EXPECT_EQ(error.reason(), v1::ERROR_REASON_QUEUE_FULL);
  EXPECT_EQ(error.reason_name(), "QUEUE_FULL");
  EXPECT_EQ(error.retry_delay(), milliseconds(1500));
  EXPECT_EQ(error.status().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(Error, BelievesTheDetailsMoreThanTheTrailers) {
  const Error error = Ended(Full(Info("WAIT_TOO_LONG", {{"phase", "queue"}})),
                            {{"headgate-reason", "QUEUE_FULL"}, {"headgate-retry-after-ms", "9"}});
  EXPECT_EQ(error.reason(), v1::ERROR_REASON_WAIT_TOO_LONG);
  EXPECT_EQ(error.metadata(), (Trailers{{"phase", "queue"}}));
  EXPECT_EQ(error.retry_delay(), milliseconds(9));
}

TEST(Error, RoundsTheRetryDelayUp) {
  EXPECT_EQ(Ended(Full(RetryAfter(2, 1))).retry_delay(), milliseconds(2001));
}

TEST(Error, IgnoresADelayThatNoDurationCanBe) {
  EXPECT_EQ(Ended(Full(RetryAfter(-1, 0))).retry_delay(), std::nullopt);
  EXPECT_EQ(Ended(Full(RetryAfter(INT64_MAX, 0))).retry_delay(), std::nullopt);
  for (const char* delay : {"-5", "1e3", "", "soon", "9999999999999999"}) {
    EXPECT_EQ(Ended(Full(), {{"headgate-retry-after-ms", delay}}).retry_delay(), std::nullopt);
  }
}

TEST(Error, NamesEveryWrongField) {
  client::BadRequest bad;
  for (const char* field : {"temperature", "messages[0].role"}) {
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description("is wrong");
  }
  client::Status rich;
  Pack(bad, "google.rpc.BadRequest", &rich);
  const Error error =
      Ended({grpc::StatusCode::INVALID_ARGUMENT, "2 fields are wrong", rich.SerializeAsString()});
  ASSERT_EQ(error.violations().size(), 2U);
  EXPECT_EQ(error.violations()[1].field, "messages[0].role");
  EXPECT_EQ(error.violations()[1].description, "is wrong");
}

TEST(Error, SaysHowFarAnInterruptedAnswerCame) {
  const auto error = Ended(
      {grpc::StatusCode::ABORTED, "cut", Info("STREAM_INTERRUPTED", {{"position_sent", "42"}})});
  EXPECT_EQ(error.position_sent(), 42);
  const auto huge = Ended({grpc::StatusCode::ABORTED, "cut",
                           Info("STREAM_INTERRUPTED", {{"position_sent", "2147483648"}})});
  EXPECT_EQ(huge.position_sent(), std::nullopt);
}

TEST(Error, IgnoresDetailsOfOthersAndBrokenOnes) {
  const Trailers trailers{{"headgate-reason", "QUEUE_FULL"}};
  for (const std::string& details :
       {Info("RATE", {{"a", "b"}}, "example.com"), std::string("\xff\xff broken"), std::string()}) {
    const Error error = Ended(Full(details), trailers);
    EXPECT_EQ(error.reason(), v1::ERROR_REASON_QUEUE_FULL);
    EXPECT_TRUE(error.metadata().empty());
  }
}

TEST(Error, KeepsAReasonThatThisVersionDoesNotKnow) {
  const Error error = Ended(Full(Info("OF_THE_FUTURE", {})));
  EXPECT_EQ(error.reason(), v1::ERROR_REASON_UNSPECIFIED);
  EXPECT_EQ(error.reason_name(), "OF_THE_FUTURE");
}

TEST(Error, PrintsOneLine) {
  const auto line = [](const Error& error) {
    std::ostringstream out;
    out << error;
    return out.str();
  };
  EXPECT_EQ(line(Ended(Full(Info("QUEUE_FULL", {})))), "the queue is full (QUEUE_FULL)");
  EXPECT_EQ(line(Ended({grpc::StatusCode::INTERNAL, ""})), "no details (INTERNAL)");
  EXPECT_EQ(line(Error()), "OK");
}

}  // namespace
}  // namespace headgate
