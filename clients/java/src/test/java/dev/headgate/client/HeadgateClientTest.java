package dev.headgate.client;

import static dev.headgate.client.FakeGateway.delta;
import static dev.headgate.client.FakeGateway.finished;
import static dev.headgate.client.FakeGateway.started;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.headgate.v1.ChatRequest;
import dev.headgate.v1.ChatResponse;
import dev.headgate.v1.StreamFinished;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HeadgateClientTest {
  private static final ChatRequest REQUEST = HeadgateClient.ask("Hello!");
  private static final ChatResponse ANSWER = ChatResponse.newBuilder().setId("1").build();

  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private FakeGateway gateway;

  @BeforeEach
  void open() throws Exception {
    gateway = new FakeGateway();
    gateway.onChat =
        call -> {
          call.onNext(ANSWER);
          call.onCompleted();
        };
  }

  @AfterEach
  void close() {
    gateway.close();
  }

  /** Every call names this client and carries its token and metadata, whatever the stub. */
  @Test
  void sendsWhatBelongsToEveryCall() {
    try (HeadgateClient client =
        gateway.client().token("secret").metadata("x-team", "canal").build()) {
      assertEquals(ANSWER, client.blocking().chat(REQUEST));

      assertEquals("Bearer secret", header("authorization"));
      assertEquals("canal", header("x-team"));
      assertTrue(header("user-agent").startsWith("headgate-client-java/0.1.0 "));
      assertFalse(gateway.hadDeadline);
    }
  }

  /** The client's timeout is the deadline of every call that has none. */
  @Test
  void timeoutIsTheDeadline() {
    try (HeadgateClient client = gateway.client().timeout(Duration.ofHours(1)).build()) {
      client.chat(REQUEST);

      assertTrue(gateway.hadDeadline);
    }
  }

  /** A call that outlives its own timeout is told so, and the gateway hears of it. */
  @Test
  void callsHaveTimeoutsOfTheirOwn() throws Exception {
    gateway.onChat = call -> {};
    try (HeadgateClient client = gateway.client().timeout(Duration.ofHours(1)).build()) {
      HeadgateException error =
          assertThrows(HeadgateException.class, () -> client.chat(REQUEST, Duration.ofMillis(300)));

      assertEquals(Status.Code.DEADLINE_EXCEEDED, error.code());
      assertTrue(gateway.hearsCancellation());
    }
  }

  /** A token that would break the header is refused before anything is sent. */
  @ParameterizedTest
  @ValueSource(strings = {"", "two\nlines", "schlüssel"})
  void refusesStrangeTokens(String token) {
    assertThrows(IllegalArgumentException.class, () -> gateway.client().token(token));
  }

  /** UNAVAILABLE is tried again, by gRPC itself and when the gateway says. */
  @Test
  void retriesUnavailable() {
    AtomicInteger attempts = new AtomicInteger();
    gateway.onChat =
        call -> {
          if (attempts.incrementAndGet() == 1) {
            call.onError(pushback("50"));
          } else {
            call.onNext(ANSWER);
            call.onCompleted();
          }
        };
    try (HeadgateClient client = gateway.client().build()) {
      assertEquals(ANSWER, client.chat(REQUEST));
      assertEquals(2, attempts.get());
    }
  }

  /** What the gateway says is not to be retried is not. */
  @Test
  void doesNotRetryAgainstTheGatewaysWord() {
    AtomicInteger attempts = new AtomicInteger();
    gateway.onChat =
        call -> {
          attempts.incrementAndGet();
          call.onError(pushback("-1"));
        };
    try (HeadgateClient client = gateway.client().build()) {
      assertThrows(HeadgateException.class, () -> client.chat(REQUEST));
      assertEquals(1, attempts.get());
    }
  }

  /** A refusal is told at once: only what the service config names is tried again. */
  @Test
  void doesNotRetryOtherCodesThatCarryPushback() {
    AtomicInteger attempts = new AtomicInteger();
    gateway.onChat =
        call -> {
          attempts.incrementAndGet();
          StatusRuntimeException refusal =
              StatusProto.toStatusRuntimeException(
                  com.google.rpc.Status.newBuilder()
                      .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
                      .build());
          refusal.getTrailers().merge(pushback("50").getTrailers());
          call.onError(refusal);
        };
    try (HeadgateClient client = gateway.client().build()) {
      HeadgateException error = assertThrows(HeadgateException.class, () -> client.chat(REQUEST));

      assertEquals(Status.Code.RESOURCE_EXHAUSTED, error.code());
      assertEquals("50", error.getTrailers().get(PUSHBACK));
      assertEquals(1, attempts.get());
    }
  }

  /** The asynchronous call hands on the text, and its future has the end. */
  @Test
  void streamsAsynchronously() throws Exception {
    gateway.onStream =
        stream -> {
          stream.onNext(started());
          stream.onNext(delta(1, "Hel"));
          stream.onNext(delta(2, "lo"));
          stream.onNext(finished(9));
          stream.onCompleted();
        };
    StringBuffer text = new StringBuffer();
    try (HeadgateClient client = gateway.client().build()) {
      StreamFinished end = client.streamChatAsync(REQUEST, text::append).get();

      assertEquals("Hello", text.toString());
      assertEquals(9, end.getUsage().getTotalTokens());
      assertEquals(ANSWER, client.chatAsync(REQUEST).get());
    }
  }

  /** All four ways to ask take a time for the whole call. */
  @Test
  void everyCallTakesATimeout() {
    try (HeadgateClient client = gateway.client().build()) {
      Duration none = Duration.ofNanos(1);
      for (CompletableFuture<?> late :
          List.of(
              client.chatAsync(REQUEST, none),
              client.streamChatAsync(REQUEST, none, piece -> {}))) {
        Throwable error = assertThrows(ExecutionException.class, late::get).getCause();
        assertEquals(Status.Code.DEADLINE_EXCEEDED, ((HeadgateException) error).code());
      }
      for (Executable call :
          List.<Executable>of(
              () -> client.chat(REQUEST, none),
              () -> client.streamChat(REQUEST, none).text().iterator().hasNext())) {
        assertEquals(
            Status.Code.DEADLINE_EXCEEDED, assertThrows(HeadgateException.class, call).code());
      }
    }
  }

  /** The text of an answer is that of its first choice, wherever that stands. */
  @Test
  void textOfAnAnswer() {
    ChatResponse.Builder answer = ChatResponse.newBuilder();
    assertEquals("", HeadgateClient.text(answer.build()));
    answer.addChoicesBuilder().setIndex(1).getMessageBuilder().setContent("other");
    answer.addChoicesBuilder().setIndex(0).getMessageBuilder().setContent("Hello");
    assertEquals("Hello", HeadgateClient.text(answer.build()));
  }

  /** An asynchronous call that fails completes its future with the typed error. */
  @Test
  void asynchronousErrorsAreTyped() {
    gateway.onStream =
        stream -> {
          stream.onNext(delta(3, "Hel"));
          stream.onError(Status.UNAVAILABLE.asException());
        };
    try (HeadgateClient client = gateway.client().build()) {
      CompletableFuture<StreamFinished> end = client.streamChatAsync(REQUEST, piece -> {});
      ExecutionException error = assertThrows(ExecutionException.class, end::get);

      assertEquals(
          3,
          assertInstanceOf(HeadgateException.class, error.getCause()).positionSent().orElseThrow());
    }
  }

  /** Cancelling the future cancels the call, and the gateway hears of it. */
  @Test
  void cancellingTheFutureReachesTheGateway() throws Exception {
    reachesTheGateway(end -> end.cancel(true));
  }

  /** So does whatever else completes it, such as orTimeout; the answer's rest is nobody's. */
  @Test
  void completingTheFutureReachesTheGateway() throws Exception {
    reachesTheGateway(end -> end.completeExceptionally(new TimeoutException()));
  }

  private void reachesTheGateway(Consumer<CompletableFuture<StreamFinished>> ending)
      throws Exception {
    gateway.onStream = stream -> stream.onNext(delta(1, "Hel"));
    CountDownLatch streaming = new CountDownLatch(1);
    try (HeadgateClient client = gateway.client().build()) {
      CompletableFuture<StreamFinished> end =
          client.streamChatAsync(REQUEST, piece -> streaming.countDown());
      assertTrue(streaming.await(FakeGateway.PATIENCE_SECONDS, TimeUnit.SECONDS));
      ending.accept(end);

      assertTrue(gateway.hearsCancellation());
    }
  }

  private String header(String name) {
    return gateway.headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
  }

  private static StatusRuntimeException pushback(String milliseconds) {
    Metadata trailers = new Metadata();
    trailers.put(PUSHBACK, milliseconds);
    return Status.UNAVAILABLE.asRuntimeException(trailers);
  }
}
