package dev.headgate.client;

import com.google.rpc.Status;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientStreamTracer;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import io.grpc.protobuf.ProtoUtils;

/**
 * Keeps retries to the status codes of the service config.
 *
 * <p>gRPC for Java retries whatever status comes with a pushback of 0 or more (RetriableStream,
 * 1.83), where other languages look at the code first. A call that is refused at once because its
 * slot lies behind its deadline would wait for that slot, and end without the typed error. So the
 * pushback of other codes is taken away below the retries, and put back above them.
 */
final class Pushback implements ClientInterceptor {
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);
  private static final Metadata.Key<Status> DETAILS =
      Metadata.Key.of(
          "grpc-status-details-bin", ProtoUtils.metadataMarshaller(Status.getDefaultInstance()));

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(
      MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    Below below = new Below();
    return new SimpleForwardingClientCall<Q, R>(
        next.newCall(method, options.withStreamTracerFactory(below))) {
      @Override
      public void start(Listener<R> listener, Metadata headers) {
        super.start(new Above<>(listener, below), headers);
      }
    };
  }

  /** Sees every attempt's trailers before gRPC decides on a retry. */
  private static final class Below extends ClientStreamTracer.Factory {
    private volatile String taken;

    @Override
    public ClientStreamTracer newClientStreamTracer(
        ClientStreamTracer.StreamInfo info, Metadata headers) {
      return new ClientStreamTracer() {
        @Override
        public void inboundTrailers(Metadata trailers) {
          String pushback = trailers.get(PUSHBACK);
          if (pushback != null && !pushback.startsWith("-") && !unavailable(trailers)) {
            taken = pushback;
            trailers.discardAll(PUSHBACK);
          }
        }
      };
    }

    /** The status itself is not among the trailers, but its details are. */
    private static boolean unavailable(Metadata trailers) {
      try {
        Status status = trailers.get(DETAILS);
        return status == null || status.getCode() == Code.UNAVAILABLE.value();
      } catch (IllegalArgumentException broken) {
        return true; // not the gateway's own: as gRPC would have it
      }
    }
  }

  /** Hands the call's end to the caller, with the trailers as they came. */
  private static final class Above<R> extends SimpleForwardingClientCallListener<R> {
    private final Below below;

    Above(ClientCall.Listener<R> listener, Below below) {
      super(listener);
      this.below = below;
    }

    @Override
    public void onClose(io.grpc.Status status, Metadata trailers) {
      if (below.taken != null) {
        trailers.put(PUSHBACK, below.taken);
      }
      super.onClose(status, trailers);
    }
  }
}
