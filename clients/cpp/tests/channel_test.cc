// What a channel of OpenChannel does: the defaults of all clients, retries, the token.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "fake_gateway.h"

namespace headgate {
namespace {

const grpc::Status kGone(grpc::StatusCode::UNAVAILABLE, "gone");

std::string ReadFile(const std::string& name) {
  std::ifstream file(std::string(HEADGATE_PROTOS) + "/" + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What gRPC's core would be given.
struct Arguments {
  std::map<std::string, int> numbers;
  std::map<std::string, std::string> texts;
};

Arguments Unfold(const grpc::ChannelArguments& arguments) {
  Arguments unfolded;
  grpc_channel_args raw;
  arguments.SetChannelArgs(&raw);
  for (std::size_t i = 0; i < raw.num_args; ++i) {
    const grpc_arg& each = raw.args[i];
    const bool anew = each.type == GRPC_ARG_INTEGER
                          ? unfolded.numbers.emplace(each.key, each.value.integer).second
                          : unfolded.texts.emplace(each.key, each.value.string).second;
    EXPECT_TRUE(anew) << each.key << " is there twice";
  }
  return unfolded;
}

std::vector<std::string> Sent(const grpc::ServerContext& context, const std::string& key) {
  std::vector<std::string> values;
  const auto [first, last] = context.client_metadata().equal_range(key);
  for (auto each = first; each != last; ++each) {
    values.emplace_back(each->second.data(), each->second.size());
  }
  return values;
}

grpc::Status Chat(v1::ChatService::Stub& stub, v1::ChatResponse* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  return stub.Chat(&context, v1::ChatRequest(), response);
}

grpc::Status Chat(v1::ChatService::Stub& stub) {
  v1::ChatResponse response;
  return Chat(stub, &response);
}

TEST(Channel, HasExactlyTheDefaultsOfTheProject) {
  google::protobuf::Struct expected;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(ReadFile("channel_defaults.json"), &expected)
          .ok());
  std::map<std::string, int> numbers;
  for (const auto& [name, value] : expected.fields()) {
    numbers[name] = static_cast<int>(value.number_value());
  }
  ASSERT_FALSE(numbers.empty());
  const Arguments actual = Unfold(WithDefaults());
  EXPECT_EQ(actual.numbers, numbers);
  EXPECT_EQ(actual.texts.at("grpc.service_config"), ReadFile("service_config.json"));
  EXPECT_EQ(actual.texts.size(), 2U);  // and the user agent
}

TEST(Channel, NamesItselfInTheUserAgent) {
  std::vector<std::string> agents;
  FakeGateway gateway([&](grpc::ServerContext& context, Writer*) {
    agents = Sent(context, "user-agent");
    return grpc::Status::OK;
  });
  ASSERT_TRUE(Chat(*gateway.Stub()).ok());
  ASSERT_EQ(agents.size(), 1U);
  EXPECT_EQ(agents[0].rfind("headgate-client-cpp/0.1.0 ", 0), 0U) << agents[0];
}

TEST(Channel, RetriesUnavailableAsThePushbackSays) {
  int left = 2;
  FakeGateway gateway([&](grpc::ServerContext& context, Writer*) {
    if (left-- == 0) return grpc::Status::OK;
    context.AddTrailingMetadata("grpc-retry-pushback-ms", "50");
    return kGone;
  });
  EXPECT_TRUE(Chat(*gateway.Stub()).ok());
  EXPECT_EQ(gateway.attempts(), 3);
}

TEST(Channel, MakesThreeAttemptsAtMost) {
  FakeGateway gateway([](grpc::ServerContext& context, Writer*) {
    context.AddTrailingMetadata("grpc-retry-pushback-ms", "50");
    return kGone;
  });
  EXPECT_EQ(Chat(*gateway.Stub()).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(gateway.attempts(), 3);
}

TEST(Channel, DoesNotRetryWhenThePushbackForbidsIt) {
  FakeGateway gateway([](grpc::ServerContext& context, Writer*) {
    context.AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
    return kGone;
  });
  EXPECT_EQ(Chat(*gateway.Stub()).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(gateway.attempts(), 1);
}

TEST(Channel, RetriesNothingButUnavailable) {
  FakeGateway gateway([](grpc::ServerContext&, Writer*) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  });
  EXPECT_EQ(Chat(*gateway.Stub()).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(gateway.attempts(), 1);
}

TEST(Channel, IsWatchedAndYetGoneWhenItsUserLetsItGo) {
  FakeGateway gateway([](grpc::ServerContext&, Writer*) { return grpc::Status::OK; });
  std::vector<std::weak_ptr<grpc::Channel>> dropped;
  for (const char* const token : {"", "secret"}) {
    ChannelOptions options;
    options.token = token;
    for (int i = 0; i < 50; ++i) {
      const auto channel = OpenChannel(gateway.target(), options);
      ASSERT_TRUE(Chat(*v1::ChatService::NewStub(channel)).ok());
      dropped.push_back(channel);
    }
  }
  // The watching thread may hold one for the moment in which it looks at a change.
  for (const auto& channel : dropped) {
    while (!channel.expired()) std::this_thread::yield();
  }
}

TEST(Message, IsAskedAndReadInOneLine) {
  const v1::ChatRequest request = Ask("Hello");
  ASSERT_EQ(request.messages_size(), 1);
  EXPECT_EQ(request.messages(0).role(), v1::ROLE_USER);
  EXPECT_EQ(request.messages(0).content(), "Hello");

  v1::ChatResponse response;
  EXPECT_EQ(Text(response), "");
  for (const int index : {1, 0}) {
    v1::ChatChoice* const choice = response.add_choices();
    choice->set_index(index);
    choice->mutable_message()->set_content(std::to_string(index));
  }
  EXPECT_EQ(Text(response), "0");
}

TEST(Channel, LeavesTheArgumentsOfTheCallerAsTheyAre) {
  grpc::ChannelArguments own;
  own.SetServiceConfigJSON("{}");
  own.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 1);
  const Arguments actual = Unfold(WithDefaults(own));
  EXPECT_EQ(actual.texts.at(GRPC_ARG_SERVICE_CONFIG), "{}");
  EXPECT_EQ(actual.numbers.at(GRPC_ARG_KEEPALIVE_TIME_MS), 1);
  EXPECT_EQ(actual.numbers.size(), Unfold(WithDefaults()).numbers.size());
}

TEST(Channel, LetsAnArgumentOfTheCallerOverruleItsDefault) {
  FakeGateway gateway([](grpc::ServerContext&, Writer* writer) {
    writer->Write(Delta("longer than ten bytes", 1));
    return grpc::Status::OK;
  });
  ChannelOptions options;
  options.arguments.SetMaxReceiveMessageSize(10);
  const auto stub = gateway.Stub(options);
  Stream stream(*stub, v1::ChatRequest());
  v1::StreamChatResponse event;
  EXPECT_FALSE(stream.Read(&event));
  EXPECT_EQ(stream.Finish().status().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(Token, GoesWithEveryCallThatHasNoneOfItsOwn) {
  std::vector<std::vector<std::string>> seen;
  FakeGateway gateway([&](grpc::ServerContext& context, Writer*) {
    seen.push_back(Sent(context, "authorization"));
    return grpc::Status::OK;
  });
  ChannelOptions options;
  options.token = "secret";
  const auto stub = gateway.Stub(options);
  ASSERT_TRUE(Chat(*stub).ok());
  {
    auto context = std::make_unique<grpc::ClientContext>();
    context->AddMetadata("authorization", "Bearer other");
    Stream stream(*stub, v1::ChatRequest(), std::move(context));
    v1::StreamChatResponse event;
    EXPECT_FALSE(stream.Read(&event));
  }
  const std::vector<std::vector<std::string>> expected{{"Bearer secret"}, {"Bearer other"}};
  EXPECT_EQ(seen, expected);
}

TEST(Token, IsRefusedUnlessItIsOneLineAndNeverShown) {
  ChannelOptions options;
  for (const char* token : {"secret\n",
                            "s\xc3\xa9"
                            "cret",
                            "sec\tret"}) {
    options.token = token;
    try {
      OpenChannel("127.0.0.1:1", options);
      FAIL() << "a channel was opened";
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(std::string(error.what()).find("cret"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace headgate
