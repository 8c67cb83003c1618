// Asks a headgate and prints the answer as it comes: HEADGATE_TARGET=host:port ./example PROMPT
#include <headgate/client.h>

#include <cstdlib>
#include <iostream>

int main(int argc, char** argv) {
  const char* target = std::getenv("HEADGATE_TARGET");
  const auto channel = headgate::OpenChannel(target != nullptr ? target : "127.0.0.1:50051");
  const auto stub = headgate::v1::ChatService::NewStub(channel);

  const headgate::v1::ChatRequest request = headgate::Ask(argc > 1 ? argv[1] : "Tell me a story");
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  headgate::Stream answer(*stub, request, std::move(context));
  for (const std::string& piece : answer.text()) std::cout << piece << std::flush;
  std::cout << "\n";

  if (const headgate::Error error = answer.Finish()) {
    std::cerr << error;
    if (error.retry_delay())
      std::cerr << "; try again in " << error.retry_delay()->count() << " ms";
    std::cerr << "\n";
    return 1;
  }
}
