package dev.headgate.client;

import dev.headgate.v1.ChatRequest;
import dev.headgate.v1.ChatResponse;
import dev.headgate.v1.StreamChatResponse;
import dev.headgate.v1.StreamFinished;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** One call of the async stub as a future; whoever else ends the future cancels the call. */
abstract class FutureAnswer<M, R> implements ClientResponseObserver<ChatRequest, M> {
  final CompletableFuture<R> future = new CompletableFuture<>();
  int position;
  private volatile boolean ended;

  @Override
  public final void beforeStart(ClientCallStreamObserver<ChatRequest> call) {
    future.whenComplete(
        (answer, error) -> {
          if (!ended) { // by cancel(), orTimeout() or complete()
            call.cancel("its future was completed here", null);
          }
        });
  }

  @Override
  public final void onError(Throwable error) {
    ended = true;
    future.completeExceptionally(HeadgateException.from(error, position));
  }

  @Override
  public final void onCompleted() {
    ended = true;
    finish();
  }

  /** Completes the future: the status is OK. */
  abstract void finish();

  /** A whole answer. */
  static final class Whole extends FutureAnswer<ChatResponse, ChatResponse> {
    private ChatResponse response;

    @Override
    public void onNext(ChatResponse message) {
      response = message;
    }

    @Override
    void finish() {
      future.complete(response);
    }
  }

  /** A streamed answer, whose text goes to a consumer: a slow one slows the gateway down. */
  static final class Streamed extends FutureAnswer<StreamChatResponse, StreamFinished> {
    private final Consumer<? super String> onText;
    private StreamFinished finished;

    Streamed(Consumer<? super String> onText) {
      this.onText = onText;
    }

    @Override
    public void onNext(StreamChatResponse event) {
      if (event.hasDelta()) {
        position = event.getDelta().getPosition();
      } else if (event.hasFinished()) {
        finished = event.getFinished();
      }
      String piece = ChatStream.text(event);
      if (!piece.isEmpty() && !future.isDone()) {
        onText.accept(piece);
      }
    }

    @Override
    void finish() {
      if (finished == null) {
        future.completeExceptionally(HeadgateException.unfinished(position));
      } else {
        future.complete(finished);
      }
    }
  }
}
