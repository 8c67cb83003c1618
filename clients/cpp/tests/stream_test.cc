// What a Stream promises: text in order, the truth about its end, and nothing left running.
#include <gtest/gtest.h>

#include <future>
#include <numeric>
#include <thread>

#include "fake_gateway.h"

namespace headgate {
namespace {

using namespace std::chrono_literals;

const grpc::Status kGone(grpc::StatusCode::UNAVAILABLE, "gone");

// Answers with these events, and then with this status.
Handler Says(std::vector<v1::StreamChatResponse> events, grpc::Status status = grpc::Status::OK) {
  return [events = std::move(events), status](grpc::ServerContext&, Writer* writer) {
    for (const auto& event : events) writer->Write(event);
    return status;
  };
}

// Writes `event` until the call is cancelled, and tells `gone` then.
Handler WritesFor(v1::StreamChatResponse event, std::promise<void>* gone) {
  return [event, gone](grpc::ServerContext&, Writer* writer) {
    while (writer->Write(event)) {
    }
    gone->set_value();
    return grpc::Status::OK;
  };
}

bool Came(std::promise<void>* promise) {
  return promise->get_future().wait_for(20s) == std::future_status::ready;
}

TEST(Stream, GivesTheTextOfTheFirstChoice) {
  FakeGateway gateway(Says({Started("m"), Delta("Hel", 1), Heartbeat(), Delta("other", 2, 1),
                            Delta("", 3), Delta("lo", 4), Finished()}));
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  std::vector<std::string> pieces;
  for (const std::string& piece : stream.text()) pieces.push_back(piece);
  EXPECT_EQ(pieces, (std::vector<std::string>{"Hel", "lo"}));
  EXPECT_FALSE(stream.Finish());
  EXPECT_EQ(stream.started()->model(), "m");
  EXPECT_EQ(stream.finished()->usage().total_tokens(), 7);
  EXPECT_EQ(stream.position(), 4);
}

TEST(Stream, IsAnInputRangeForAlgorithms) {
  FakeGateway gateway(Says({Delta("a", 1), Delta("b", 2), Delta("c", 3), Finished()}));
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  auto text = stream.text();
  auto piece = text.begin();
  EXPECT_EQ(*piece++, "a");
  EXPECT_EQ(std::accumulate(piece, text.end(), std::string()), "bc");
}

TEST(Stream, TellsAnEndWithoutFinishedAsAnError) {
  FakeGateway gateway(Says({Delta("half", 3)}));
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  v1::StreamChatResponse event;
  while (stream.Read(&event)) {
  }
  const Error error = stream.Finish();
  EXPECT_EQ(error.status().error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(error.position_sent(), 3);
}

TEST(Stream, CallsAConnectionThatBrokeAfterADeltaAnInterruption) {
  FakeGateway gateway(Says({Started("m"), Delta("half", 5)}, kGone));
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  for (const std::string& piece : stream.text()) EXPECT_EQ(piece, "half");
  EXPECT_EQ(stream.Finish().position_sent(), 5);
  EXPECT_EQ(gateway.attempts(), 1);  // and nothing is retried once a message has come
}

TEST(Stream, KeepsToTheReasonThatTheGatewayGave) {
  FakeGateway gateway([](grpc::ServerContext& context, Writer* writer) {
    context.AddTrailingMetadata("headgate-reason", "INTERNAL");
    return Says({Started("m"), Delta("half", 5)}, {grpc::StatusCode::INTERNAL, ""})(context,
                                                                                    writer);
  });
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  for (const std::string& piece : stream.text()) EXPECT_EQ(piece, "half");
  const Error error = stream.Finish();
  EXPECT_EQ(error.reason(), v1::ERROR_REASON_INTERNAL);
  EXPECT_EQ(error.position_sent(), std::nullopt);
}

TEST(Stream, IsNotInterruptedBeforeItsFirstDelta) {
  FakeGateway gateway(Says({Started("m")}, kGone));
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  for (const std::string& piece : stream.text()) ADD_FAILURE() << piece;
  EXPECT_EQ(stream.Finish().position_sent(), std::nullopt);
}

TEST(Stream, RetriesBeforeItsFirstMessage) {
  std::atomic<bool> failed = false;
  FakeGateway gateway([&](grpc::ServerContext& context, Writer* writer) {
    if (failed.exchange(true)) return Says({Delta("a", 1), Finished()})(context, writer);
    context.AddTrailingMetadata("grpc-retry-pushback-ms", "50");
    return kGone;
  });
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  for (const std::string& piece : stream.text()) EXPECT_EQ(piece, "a");
  EXPECT_FALSE(stream.Finish());
  EXPECT_EQ(gateway.attempts(), 2);
}

TEST(Stream, CancelsTheCallWhenItIsDestroyed) {
  std::promise<void> gone;
  FakeGateway gateway(WritesFor(Delta("more", 1), &gone));
  const auto stub = gateway.Stub();
  {
    Stream stream(*stub, v1::ChatRequest());
    v1::StreamChatResponse event;
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(stream.Read(&event));
  }
  EXPECT_TRUE(Came(&gone));
}

TEST(Stream, CancelsTheCallWhenItIsFinishedTooSoon) {
  std::promise<void> gone;
  FakeGateway gateway(WritesFor(Delta("more", 1), &gone));
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  for (const std::string& piece : stream.text()) {
    EXPECT_EQ(piece, "more");
    break;
  }
  EXPECT_EQ(stream.Finish().status().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Came(&gone));
}

TEST(Stream, CanBeCancelledFromAnotherThread) {
  std::promise<void> gone;
  FakeGateway gateway(WritesFor(Heartbeat(), &gone));
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  v1::StreamChatResponse event;
  ASSERT_TRUE(stream.Read(&event));
  std::thread other([&] { stream.Cancel(); });
  for (const std::string& piece : stream.text()) ADD_FAILURE() << piece;
  other.join();
  EXPECT_EQ(stream.Finish().status().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Came(&gone));
}

TEST(Stream, IsWholeOnceFinishedHasCome) {
  FakeGateway gateway(Says({Delta("a", 1), Finished()}));
  const auto stub = gateway.Stub();
  Stream stream(*stub, v1::ChatRequest());
  v1::StreamChatResponse event;
  while (!stream.finished()) ASSERT_TRUE(stream.Read(&event));
  EXPECT_FALSE(stream.Finish());  // although the status was not read yet
}

TEST(Stream, EndsAtTheDeadlineOfItsContext) {
  std::promise<void> gone;
  FakeGateway gateway(WritesFor(Heartbeat(), &gone));
  const auto stub = gateway.Stub();
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + 100ms);
  Stream stream(*stub, v1::ChatRequest(), std::move(context));
  for (const std::string& piece : stream.text()) ADD_FAILURE() << piece;
  EXPECT_EQ(stream.Finish().status().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Came(&gone));
}

}  // namespace
}  // namespace headgate
