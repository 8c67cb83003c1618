package dev.headgate.client;

import dev.headgate.v1.ChatDelta;
import dev.headgate.v1.ChatRequest;
import dev.headgate.v1.ChatResponse;
import dev.headgate.v1.ChatServiceGrpc;
import dev.headgate.v1.StreamChatResponse;
import dev.headgate.v1.StreamFinished;
import dev.headgate.v1.StreamStarted;
import dev.headgate.v1.Usage;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** A gateway of the tests' own, on a real socket: it says what the test tells it to say. */
final class FakeGateway extends ChatServiceGrpc.ChatServiceImplBase implements AutoCloseable {
  /** How long a test waits for what must happen before it fails. */
  static final long PATIENCE_SECONDS = 20;

  volatile Consumer<StreamObserver<StreamChatResponse>> onStream = stream -> {};
  volatile Consumer<StreamObserver<ChatResponse>> onChat = call -> {};
  volatile Metadata headers;
  volatile boolean hadDeadline;
  final CountDownLatch cancelled = new CountDownLatch(1);
  private final Server server;

  FakeGateway() throws IOException {
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(this)
            .intercept(new Headers())
            .build()
            .start();
  }

  HeadgateClient.Builder client() {
    return HeadgateClient.newBuilder("127.0.0.1:" + server.getPort());
  }

  /** Whether the gateway hears that its caller has gone. */
  boolean hearsCancellation() throws InterruptedException {
    return cancelled.await(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  @Override
  public void streamChat(ChatRequest request, StreamObserver<StreamChatResponse> stream) {
    see(stream);
    onStream.accept(stream);
  }

  @Override
  public void chat(ChatRequest request, StreamObserver<ChatResponse> call) {
    see(call);
    onChat.accept(call);
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private void see(StreamObserver<?> call) {
    hadDeadline = Context.current().getDeadline() != null;
    ((ServerCallStreamObserver<?>) call).setOnCancelHandler(cancelled::countDown);
  }

  static StreamChatResponse started() {
    return StreamChatResponse.newBuilder()
        .setStarted(StreamStarted.newBuilder().setModel("fake"))
        .build();
  }

  static StreamChatResponse delta(int position, String content) {
    return StreamChatResponse.newBuilder()
        .setDelta(ChatDelta.newBuilder().setPosition(position).setContent(content))
        .build();
  }

  static StreamChatResponse finished(int tokens) {
    return StreamChatResponse.newBuilder()
        .setFinished(
            StreamFinished.newBuilder().setUsage(Usage.newBuilder().setTotalTokens(tokens)))
        .build();
  }

  private final class Headers implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata metadata, ServerCallHandler<Q, R> next) {
      headers = metadata;
      return next.startCall(call, metadata);
    }
  }
}
