package dev.headgate.client;

import dev.headgate.v1.ChatMessage;
import dev.headgate.v1.ChatRequest;
import dev.headgate.v1.ChatResponse;
import dev.headgate.v1.ChatServiceGrpc;
import dev.headgate.v1.ChatServiceGrpc.ChatServiceBlockingStub;
import dev.headgate.v1.ChatServiceGrpc.ChatServiceFutureStub;
import dev.headgate.v1.ChatServiceGrpc.ChatServiceStub;
import dev.headgate.v1.Role;
import dev.headgate.v1.StreamFinished;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;

/**
 * A headgate: one channel with the good defaults, and the stubs over it.
 *
 * <p>Safe for use by many threads; one for each gateway is enough. The methods here throw {@link
 * HeadgateException}; of what the stubs throw, {@link HeadgateException#from} makes one.
 */
public final class HeadgateClient implements AutoCloseable {
  /** Where a gateway listens when nobody says otherwise. */
  public static final String DEFAULT_TARGET = "127.0.0.1:50051";

  private final ManagedChannel owned;
  private final Channel channel;

  private HeadgateClient(ManagedChannel owned, Channel channel) {
    this.owned = owned;
    this.channel = channel;
  }

  /** A client without encryption; {@link #newBuilder} has more to say. */
  public static HeadgateClient connect(String target) {
    return newBuilder(target).build();
  }

  /** A client over a ready channel, which is yours to shut down. */
  public static HeadgateClient over(Channel channel) {
    return new HeadgateClient(null, channel);
  }

  /**
   * Say more about the connection.
   *
   * @param target gRPC's name of the server: {@code host:port}, {@code dns:///host:port}, {@code
   *     unix:/path}
   */
  public static Builder newBuilder(String target) {
    return new Builder(target);
  }

  /** The request for one thing that the user says. */
  public static ChatRequest ask(String prompt) {
    return ChatRequest.newBuilder()
        .addMessages(ChatMessage.newBuilder().setRole(Role.ROLE_USER).setContent(prompt))
        .build();
  }

  /** The text of an answer's first choice; empty if there is none. */
  public static String text(ChatResponse response) {
    return response.getChoicesList().stream()
        .filter(choice -> choice.getIndex() == 0)
        .map(choice -> choice.getMessage().getContent())
        .findFirst()
        .orElse("");
  }

  /** Ask, and wait for the whole answer. */
  public ChatResponse chat(ChatRequest request) {
    return chat(blocking(), request);
  }

  /** As {@link #chat(ChatRequest)}, within a time that covers the whole call. */
  public ChatResponse chat(ChatRequest request, Duration timeout) {
    return chat(within(blocking(), timeout), request);
  }

  /** Ask, and read the answer while it is made; errors come while iterating. */
  public ChatStream streamChat(ChatRequest request) {
    return ChatStream.open(blocking(), request);
  }

  /** As {@link #streamChat(ChatRequest)}, within a time that covers the whole stream. */
  public ChatStream streamChat(ChatRequest request, Duration timeout) {
    return ChatStream.open(within(blocking(), timeout), request);
  }

  /** Ask; the future has the whole answer or a {@link HeadgateException}; cancelling it cancels. */
  public CompletableFuture<ChatResponse> chatAsync(ChatRequest request) {
    return chatAsync(async(), request);
  }

  /** As {@link #chatAsync(ChatRequest)}, within a time that covers the whole call. */
  public CompletableFuture<ChatResponse> chatAsync(ChatRequest request, Duration timeout) {
    return chatAsync(within(async(), timeout), request);
  }

  /**
   * Ask, and be handed the first choice's text while it is made, in gRPC's threads.
   *
   * <p>The next piece comes once {@code onText} has returned: a slow reader slows the upstream
   * down. The future has the end of the stream or a {@link HeadgateException}; cancelling it
   * cancels.
   */
  public CompletableFuture<StreamFinished> streamChatAsync(
      ChatRequest request, Consumer<? super String> onText) {
    return streamChatAsync(async(), request, onText);
  }

  /** As {@link #streamChatAsync(ChatRequest, Consumer)}, within a time for the whole stream. */
  public CompletableFuture<StreamFinished> streamChatAsync(
      ChatRequest request, Duration timeout, Consumer<? super String> onText) {
    return streamChatAsync(within(async(), timeout), request, onText);
  }

  /** The generated stub for threads that wait. */
  public ChatServiceBlockingStub blocking() {
    return ChatServiceGrpc.newBlockingStub(channel);
  }

  /** The generated stub with observers. */
  public ChatServiceStub async() {
    return ChatServiceGrpc.newStub(channel);
  }

  /** The generated stub with Guava's futures; it has no streams. */
  public ChatServiceFutureStub future() {
    return ChatServiceGrpc.newFutureStub(channel);
  }

  /** Close the channel, and with it every running call. */
  @Override
  public void close() {
    if (owned != null) {
      owned.shutdownNow();
    }
  }

  private static ChatResponse chat(ChatServiceBlockingStub stub, ChatRequest request) {
    try {
      return stub.chat(request);
    } catch (StatusRuntimeException error) {
      throw HeadgateException.from(error);
    }
  }

  private static CompletableFuture<ChatResponse> chatAsync(
      ChatServiceStub stub, ChatRequest request) {
    FutureAnswer.Whole answer = new FutureAnswer.Whole();
    stub.chat(request, answer);
    return answer.future;
  }

  private static CompletableFuture<StreamFinished> streamChatAsync(
      ChatServiceStub stub, ChatRequest request, Consumer<? super String> onText) {
    FutureAnswer.Streamed answer = new FutureAnswer.Streamed(onText);
    stub.streamChat(request, answer);
    return answer.future;
  }

  private static <S extends AbstractStub<S>> S within(S stub, Duration timeout) {
    return stub.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** What can be said about a connection, and about every call over it. */
  public static final class Builder {
    private static final Pattern TOKEN = Pattern.compile("[ -~]+");

    private final String target;
    private final Metadata metadata = new Metadata();
    private ChannelCredentials credentials = InsecureChannelCredentials.create();
    private String authority;
    private Duration timeout;

    private Builder(String target) {
      this.target = target;
    }

    /**
     * How to be sure of each other, such as {@code TlsChannelCredentials.create()}. Without them
     * nothing is encrypted, the token included.
     */
    public Builder credentials(ChannelCredentials credentials) {
      this.credentials = credentials;
      return this;
    }

    /** The name that the server's certificate must have, when it is not the target's. */
    public Builder authority(String authority) {
      this.authority = authority;
      return this;
    }

    /**
     * Sent with every call as {@code authorization: Bearer TOKEN}.
     *
     * @throws IllegalArgumentException the token is empty or not printable ASCII
     */
    public Builder token(String token) {
      if (!TOKEN.matcher(token).matches()) {
        throw new IllegalArgumentException(
            "the token is empty or not printable ASCII; allowed is one line of it");
      }
      return metadata("authorization", "Bearer " + token);
    }

    /** Further metadata for every call. */
    public Builder metadata(String name, String value) {
      metadata.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
      return this;
    }

    /** The time for every call, streams included, that has no deadline of its own. */
    public Builder timeout(Duration timeout) {
      this.timeout = timeout;
      return this;
    }

    /** The client; its channel connects at the first call. */
    public HeadgateClient build() {
      ManagedChannelBuilder<?> builder =
          ChannelDefaults.applyTo(Grpc.newChannelBuilder(target, credentials));
      if (authority != null) {
        builder.overrideAuthority(authority);
      }
      ManagedChannel owned = Reconnection.watch(builder.build());
      ClientInterceptor headers = MetadataUtils.newAttachHeadersInterceptor(metadata);
      return new HeadgateClient(
          owned, ClientInterceptors.intercept(owned, headers, new DefaultDeadline(timeout)));
    }
  }

  /** Gives a deadline to calls that have none. */
  private static final class DefaultDeadline implements ClientInterceptor {
    private final Duration timeout;

    DefaultDeadline(Duration timeout) {
      this.timeout = timeout;
    }

    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(
        MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
      boolean missing = timeout != null && options.getDeadline() == null;
      return next.newCall(
          method,
          missing ? options.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS) : options);
    }
  }
}
