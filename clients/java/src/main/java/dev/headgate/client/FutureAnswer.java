package dev.headgate.client;

import dev.headgate.v1.ChatRequest;
import dev.headgate.v1.ChatResponse;
import dev.headgate.v1.StreamChatResponse;
import dev.headgate.v1.StreamFinished;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** One call of the async stub as a future; cancelling the future cancels the call. */
abstract class FutureAnswer<M, R> implements ClientResponseObserver<ChatRequest, M> {
  final CompletableFuture<R> future = new CompletableFuture<>();
  int position;

  @Override
  public final void beforeStart(ClientCallStreamObserver<ChatRequest> call) {
    future.whenComplete(
        (answer, error) -> {
          if (future.isCancelled()) {
            call.cancel("the call was cancelled here", null);
          }
        });
  }

  @Override
  public final void onError(Throwable error) {
    future.completeExceptionally(HeadgateException.from(error, position));
  }

  /** A whole answer. */
  static final class Whole extends FutureAnswer<ChatResponse, ChatResponse> {
    private ChatResponse response;

    @Override
    public void onNext(ChatResponse message) {
      response = message;
    }

    @Override
    public void onCompleted() {
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
      if (!piece.isEmpty()) {
        onText.accept(piece);
      }
    }

    @Override
    public void onCompleted() {
      if (finished == null) {
        future.completeExceptionally(HeadgateException.unfinished(position));
      } else {
        future.complete(finished);
      }
    }
  }
}
