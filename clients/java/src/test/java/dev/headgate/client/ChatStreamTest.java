package dev.headgate.client;

import static dev.headgate.client.FakeGateway.delta;
import static dev.headgate.client.FakeGateway.finished;
import static dev.headgate.client.FakeGateway.started;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.headgate.v1.ChatDelta;
import dev.headgate.v1.ChatRequest;
import dev.headgate.v1.Queued;
import dev.headgate.v1.StreamChatResponse;
import io.grpc.Context;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.OptionalInt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class ChatStreamTest {
  private static final ChatRequest REQUEST = HeadgateClient.ask("Hello!");

  private FakeGateway gateway;
  private HeadgateClient client;

  @BeforeEach
  void open() throws Exception {
    gateway = new FakeGateway();
    client = gateway.client().build();
  }

  @AfterEach
  void close() {
    client.close();
    gateway.close();
  }

  /** The text helper gives the first choice's text, and the stream knows the rest. */
  @Test
  void givesTextAndState() {
    StreamChatResponse other =
        StreamChatResponse.newBuilder()
            .setDelta(ChatDelta.newBuilder().setChoiceIndex(1).setPosition(2).setContent("no"))
            .build();
    StreamChatResponse queued =
        StreamChatResponse.newBuilder().setQueued(Queued.newBuilder().setPosition(4)).build();
    say(queued, started(), delta(1, "Hel"), other, delta(3, ""), delta(4, "lo"), finished(9));

    try (ChatStream stream = client.streamChat(REQUEST)) {
      List<String> pieces = new ArrayList<>();
      stream.text().forEach(pieces::add);

      assertEquals(List.of("Hel", "lo"), pieces);
      assertEquals("Hello", stream.message().getContent());
      assertEquals(4, stream.position());
      assertEquals(4, stream.queued().orElseThrow().getPosition());
      assertEquals("fake", stream.started().orElseThrow().getModel());
      assertEquals(9, stream.usage().orElseThrow().getTotalTokens());
      assertFalse(stream.iterator().hasNext());
      assertThrows(NoSuchElementException.class, () -> stream.iterator().next());
    }
  }

  /** A stream that ends OK without its finished event is no whole answer. */
  @Test
  void unfinishedIsInterrupted() {
    say(started(), delta(1, "Hel"));

    try (ChatStream stream = client.streamChat(REQUEST)) {
      HeadgateException error = assertThrows(HeadgateException.class, () -> drain(stream));

      assertTrue(error.interrupted());
      assertEquals(OptionalInt.of(1), error.positionSent());
    }
  }

  /** A status that comes after deltas is thrown behind them, with the position that was read. */
  @Test
  void brokenAfterDeltasIsInterrupted() {
    gateway.onStream =
        stream -> {
          stream.onNext(delta(5, "Hel"));
          stream.onError(Status.UNAVAILABLE.withDescription("connection lost").asException());
        };

    try (ChatStream stream = client.streamChat(REQUEST)) {
      HeadgateException error = assertThrows(HeadgateException.class, () -> drain(stream));

      assertEquals("Hel", stream.message().getContent());
      assertEquals(Status.Code.UNAVAILABLE, error.code());
      assertEquals(OptionalInt.of(5), error.positionSent());
    }
  }

  /** Leaving the block cancels the call, and the gateway hears of it. */
  @Test
  void closingReachesTheGateway() throws Exception {
    gateway.onStream = stream -> stream.onNext(delta(1, "Hel"));

    try (ChatStream stream = client.streamChat(REQUEST)) {
      assertEquals("Hel", stream.text().iterator().next());
    }
    assertTrue(gateway.hearsCancellation());
  }

  /** After cancel() reading says that this side cancelled. */
  @Test
  void readingAfterCancelSaysSo() throws Exception {
    gateway.onStream = stream -> stream.onNext(delta(1, "Hel"));
    ChatStream stream = client.streamChat(REQUEST);
    Iterator<String> text = stream.text().iterator();
    text.next();
    stream.cancel();

    HeadgateException error = assertThrows(HeadgateException.class, text::hasNext);
    assertEquals(Status.Code.CANCELLED, error.code());
    assertTrue(gateway.hearsCancellation());
  }

  /** The end of the Context around it ends the stream, and the gateway hears of it. */
  @Test
  void contextsEndReachesTheGateway() throws Exception {
    gateway.onStream = stream -> stream.onNext(delta(1, "Hel"));
    Context.CancellableContext context = Context.current().withCancellation();
    ChatStream stream = context.call(() -> client.streamChat(REQUEST));
    Iterator<String> text = stream.text().iterator();
    text.next();
    context.cancel(null);

    HeadgateException error = assertThrows(HeadgateException.class, text::hasNext);
    assertEquals(Status.Code.CANCELLED, error.code());
    assertTrue(gateway.hearsCancellation());
  }

  private void say(StreamChatResponse... events) {
    gateway.onStream =
        stream -> {
          List.of(events).forEach(stream::onNext);
          stream.onCompleted();
        };
  }

  private static void drain(ChatStream stream) {
    stream.forEach(event -> {});
  }
}
