package dev.headgate.client;

import dev.headgate.v1.ChatDelta;
import dev.headgate.v1.ChatMessage;
import dev.headgate.v1.ChatRequest;
import dev.headgate.v1.ChatServiceGrpc.ChatServiceBlockingStub;
import dev.headgate.v1.Queued;
import dev.headgate.v1.StreamChatResponse;
import dev.headgate.v1.StreamFinished;
import dev.headgate.v1.StreamStarted;
import dev.headgate.v1.Usage;
import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;

/**
 * A streamed answer: iterate over it for events, or over its {@link #text()} for text, once.
 *
 * <p>Iterating throws {@link HeadgateException} when the call fails. Leaving the try-with-resources
 * block, {@link #cancel()}, an interrupt of the reading thread, and the end of the {@link Context}
 * that it was opened in each cancel the call, and the gateway stops the upstream. One thread reads;
 * any thread may cancel.
 */
public final class ChatStream implements Iterable<StreamChatResponse>, AutoCloseable {
  private final Context.CancellableContext context;
  private final Iterator<StreamChatResponse> events;
  private final MessageAssembly assembly = new MessageAssembly();
  private volatile boolean cancelled;
  private boolean ended;
  private int position;
  private Queued queued;
  private StreamStarted started;
  private StreamFinished finished;

  private ChatStream(Context.CancellableContext context, Iterator<StreamChatResponse> events) {
    this.context = context;
    this.events = events;
  }

  /**
   * Ask over a stub of your own, such as one with a deadline or with further metadata.
   *
   * @throws HeadgateException the call could not be started
   */
  public static ChatStream open(ChatServiceBlockingStub stub, ChatRequest request) {
    Context.CancellableContext context = Context.current().withCancellation();
    Context outside = context.attach();
    try {
      return new ChatStream(context, stub.streamChat(request));
    } catch (StatusRuntimeException error) {
      context.cancel(null);
      throw HeadgateException.from(error);
    } finally {
      context.detach(outside);
    }
  }

  /** The events in their order. Every call gives an iterator over what has not been read yet. */
  @Override
  public Iterator<StreamChatResponse> iterator() {
    return new Events();
  }

  /** The text of the first choice, piece by piece, of what has not been read yet. */
  public Iterable<String> text() {
    return Texts::new;
  }

  /** The first choice's message as far as it has been read. */
  public ChatMessage message() {
    return assembly.message();
  }

  /** How many upstream deltas have been read ({@code ChatDelta.position}). */
  public int position() {
    return position;
  }

  /** The latest place in line; empty when the call never waited, or did not ask. */
  public Optional<Queued> queued() {
    return Optional.ofNullable(queued);
  }

  /** Who answers; empty before the first delta. */
  public Optional<StreamStarted> started() {
    return Optional.ofNullable(started);
  }

  /** Finish reasons, usage, gateway; empty until the answer is complete. */
  public Optional<StreamFinished> finished() {
    return Optional.ofNullable(finished);
  }

  /** The tokens used, once the answer is complete and if the upstream said so. */
  public Optional<Usage> usage() {
    return finished().filter(StreamFinished::hasUsage).map(StreamFinished::getUsage);
  }

  /** Stop the answer; the gateway stops the upstream. */
  public void cancel() {
    cancelled = true;
    context.cancel(null);
  }

  /** As {@link #cancel()}; nothing happens when the answer is complete. */
  @Override
  public void close() {
    cancel();
  }

  /** The piece of the first choice's text in an event, or the empty string. */
  static String text(StreamChatResponse event) {
    ChatDelta delta = event.getDelta();
    return delta.getChoiceIndex() == 0 ? delta.getContent() : "";
  }

  private boolean more() {
    if (ended) {
      return false;
    }
    if (cancelled) {
      throw HeadgateException.cancelledHere();
    }
    try {
      ended = !events.hasNext();
    } catch (StatusRuntimeException error) {
      throw cancelled ? HeadgateException.cancelledHere() : HeadgateException.from(error, position);
    }
    if (ended) {
      context.cancel(null); // lets go of the context around it
      if (finished == null) {
        throw HeadgateException.unfinished(position);
      }
    }
    return !ended;
  }

  private StreamChatResponse take() {
    StreamChatResponse event = events.next();
    switch (event.getEventCase()) {
      case DELTA:
        position = event.getDelta().getPosition();
        assembly.add(event.getDelta());
        break;
      case STARTED:
        started = event.getStarted();
        break;
      case QUEUED:
        queued = event.getQueued();
        break;
      case FINISHED:
        finished = event.getFinished();
        break;
      default: // a heartbeat, or an event that this stub does not know yet
        break;
    }
    return event;
  }

  private final class Events implements Iterator<StreamChatResponse> {
    @Override
    public boolean hasNext() {
      return more();
    }

    @Override
    public StreamChatResponse next() {
      if (!more()) {
        throw new NoSuchElementException("the answer is complete");
      }
      return take();
    }
  }

  private final class Texts implements Iterator<String> {
    private String piece = "";

    @Override
    public boolean hasNext() {
      while (piece.isEmpty() && more()) {
        piece = text(take());
      }
      return !piece.isEmpty();
    }

    @Override
    public String next() {
      if (!hasNext()) {
        throw new NoSuchElementException("the answer is complete");
      }
      String text = piece;
      piece = "";
      return text;
    }
  }
}
