// The C++ client's conformance program; tests/conformance/README.md says what it does.
#include <google/protobuf/util/json_util.h>

#include <fstream>
#include <future>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "witness.h"

namespace headgate::conformance {
namespace {

using Options = std::map<std::string, std::string>;

constexpr char kUsage[] =
    "usage: headgate-conformance [--ca FILE] [--cert FILE --key FILE] [--token TOKEN] "
    "[--authority NAME] ADDRESS";

std::string ReadFile(const std::string& path) {
  if (path.empty()) return "";
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file) throw std::invalid_argument("cannot read " + path);
  return content.str();
}

// Options by their names, the address under "".
Options Parse(const std::vector<std::string>& arguments) {
  Options options{
      {"--ca", ""}, {"--cert", ""}, {"--key", ""}, {"--token", ""}, {"--authority", ""}};
  std::size_t i = 0;
  for (; i + 1 < arguments.size(); i += 2) {
    if (options.count(arguments[i]) == 0) throw std::invalid_argument(kUsage);
    options[arguments[i]] = arguments[i + 1];
  }
  if (i + 1 != arguments.size()) throw std::invalid_argument(kUsage);
  options[""] = arguments[i];
  return options;
}

std::unique_ptr<v1::ChatService::Stub> Connect(const Options& options) {
  ChannelOptions channel;
  channel.token = options.at("--token");
  if (!options.at("--ca").empty()) {
    channel.credentials =
        grpc::SslCredentials({ReadFile(options.at("--ca")), ReadFile(options.at("--key")),
                              ReadFile(options.at("--cert"))});
  }
  const std::string& authority = options.at("--authority");
  if (!authority.empty()) channel.arguments.SetSslTargetNameOverride(authority);
  return v1::ChatService::NewStub(OpenChannel(options.at(""), channel));
}

google::protobuf::Struct Run(v1::ChatService::Stub& stub, const Line& line) {
  std::vector<std::future<google::protobuf::Struct>> running;
  for (int i = 0; i < (line.has_count() ? line.count() : 1); ++i) {
    running.push_back(std::async(std::launch::async, [&] { return Witness(stub, line).See(); }));
  }
  google::protobuf::Struct result;
  (*result.mutable_fields())["name"].set_string_value(line.name());
  auto* calls = (*result.mutable_fields())["calls"].mutable_list_value();
  for (auto& each : running) *calls->add_values()->mutable_struct_value() = each.get();
  return result;
}

void Serve(const std::vector<std::string>& arguments) {
  const auto stub = Connect(Parse(arguments));
  std::string text;
  while (std::getline(std::cin, text)) {
    Line line;
    google::protobuf::util::JsonParseOptions lenient;
    lenient.ignore_unknown_fields = true;
    if (!google::protobuf::util::JsonStringToMessage(text, &line, lenient).ok()) {
      throw std::invalid_argument("not a call: " + text.substr(0, 200));
    }
    std::string result;
    if (!google::protobuf::util::MessageToJsonString(Run(*stub, line), &result).ok()) {
      throw std::runtime_error("the result of " + line.name() + " cannot be written as JSON");
    }
    std::cout << result << std::endl;
  }
}

}  // namespace
}  // namespace headgate::conformance

int main(int argc, char** argv) {
  try {
    headgate::conformance::Serve({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
