package dev.headgate.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.headgate.v1.ErrorReason;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * A call that did not end well: the status, and what the gateway said about it.
 *
 * <p>The facts come from google.rpc.Status (AIP-193) and, where that is missing or broken, from the
 * plain trailers {@code headgate-reason} and {@code headgate-retry-after-ms}.
 */
public final class HeadgateException extends StatusRuntimeException {
  private static final long serialVersionUID = 1L;

  private static final String DOMAIN = "headgate";
  private static final String REASON_PREFIX = "ERROR_REASON_";
  private static final Pattern COUNT = Pattern.compile("[0-9]{1,15}");
  private static final Pattern POSITION = Pattern.compile("[0-9]{1,9}");
  private static final Metadata.Key<String> REASON = key("headgate-reason");
  private static final Metadata.Key<String> RETRY_AFTER = key("headgate-retry-after-ms");

  /** What gRPC says when a connection breaks under a stream. */
  private static final Set<Status.Code> BROKEN =
      EnumSet.of(Status.Code.UNAVAILABLE, Status.Code.INTERNAL, Status.Code.UNKNOWN);

  private final transient Facts facts;

  private HeadgateException(Status status, Metadata trailers, Facts facts) {
    super(status, trailers);
    this.facts = facts;
  }

  /**
   * The typed error of whatever a stub threw, handed to {@code onError}, or completed a future
   * with.
   *
   * @param error anything; the status is looked for in its causes too, else it is UNKNOWN
   */
  public static HeadgateException from(Throwable error) {
    return from(error, 0);
  }

  /**
   * As {@link #from(Throwable)}, for a stream that had come to {@code position}: a connection that
   * breaks after the first delta has interrupted the answer, whoever made the status.
   */
  static HeadgateException from(Throwable error, int position) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof HeadgateException) {
        return (HeadgateException) cause;
      }
    }
    Status status = Status.fromThrowable(error);
    Metadata trailers =
        Optional.ofNullable(Status.trailersFromThrowable(error)).orElseGet(Metadata::new);
    Facts facts = new Facts();
    facts.readPlain(trailers);
    facts.readRich(status, trailers);
    if (facts.reason.isEmpty() && position > 0 && BROKEN.contains(status.getCode())) {
      facts.interruptedAt(position);
    }
    if (facts.reason.isEmpty() && status.getCause() != null) {
      // gRPC's own message is just "io exception".
      facts.cause = ": " + firstLine(status.getCause().getMessage(), "no details");
    }
    return new HeadgateException(status.withCause(error), trailers, facts);
  }

  /** The status was OK, but an answer without its {@code finished} is still no whole answer. */
  static HeadgateException unfinished(int position) {
    Facts facts = new Facts();
    facts.interruptedAt(position);
    Status status = Status.INTERNAL.withDescription("the stream ended without its finished event");
    return new HeadgateException(status, new Metadata(), facts);
  }

  static HeadgateException cancelledHere() {
    Status status = Status.CANCELLED.withDescription("the call was cancelled here");
    return new HeadgateException(status, new Metadata(), new Facts());
  }

  /** The gRPC status code. */
  public Status.Code code() {
    return getStatus().getCode();
  }

  /**
   * The machine-readable reason: ERROR_REASON_UNSPECIFIED when the gateway did not make the status,
   * UNRECOGNIZED when this stub does not know the reason yet.
   */
  public ErrorReason reason() {
    if (facts.reason.isEmpty()) {
      return ErrorReason.ERROR_REASON_UNSPECIFIED;
    }
    try {
      return ErrorReason.valueOf(REASON_PREFIX + facts.reason);
    } catch (IllegalArgumentException unknown) {
      return ErrorReason.UNRECOGNIZED;
    }
  }

  /** The reason's name as it came, such as {@code QUEUE_FULL}; empty without one. */
  public String reasonName() {
    return facts.reason;
  }

  /** After which time a new try makes sense (google.rpc.RetryInfo), if the gateway knows. */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(facts.retryDelay);
  }

  /** Further facts (google.rpc.ErrorInfo), short strings. */
  public Map<String, String> metadata() {
    return Map.copyOf(facts.metadata);
  }

  /** Every wrong field of the request (google.rpc.BadRequest): its path, and what is allowed. */
  public List<BadRequest.FieldViolation> violations() {
    return List.copyOf(facts.violations);
  }

  /** Whether the answer was cut after its first delta; what was read so far is all there is. */
  public boolean interrupted() {
    return facts.interrupted
        || facts.reason.equals("STREAM_INTERRUPTED")
        || (facts.reason.isEmpty() && code() == Status.Code.ABORTED);
  }

  /** How many upstream deltas had been sent ({@code ChatDelta.position}), if that is known. */
  public OptionalInt positionSent() {
    String position = facts.metadata.getOrDefault("position_sent", "");
    return POSITION.matcher(position).matches()
        ? OptionalInt.of(Integer.parseInt(position))
        : OptionalInt.empty();
  }

  /** One line: the status message, and the reason or else the name of the code. */
  @Override
  public String getMessage() {
    String details = firstLine(getStatus().getDescription(), "no details");
    String reason = facts.reason.isEmpty() ? code().name() : facts.reason;
    return details + facts.cause + " (" + reason + ")";
  }

  private static String firstLine(String text, String otherwise) {
    return text == null ? otherwise : text.lines().findFirst().orElse(otherwise);
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  /** What the trailers say beyond code and message. */
  private static final class Facts {
    private String reason = "";
    private Duration retryDelay;
    private boolean interrupted;
    private String cause = "";
    private final Map<String, String> metadata = new HashMap<>();
    private final List<BadRequest.FieldViolation> violations = new ArrayList<>();

    void interruptedAt(int position) {
      interrupted = true;
      metadata.put("position_sent", Integer.toString(position));
    }

    void readPlain(Metadata trailers) {
      reason = Optional.ofNullable(trailers.get(REASON)).orElse("");
      String milliseconds = trailers.get(RETRY_AFTER);
      if (milliseconds != null && COUNT.matcher(milliseconds).matches()) {
        retryDelay = Duration.ofMillis(Long.parseLong(milliseconds));
      }
    }

    void readRich(Status status, Metadata trailers) {
      try {
        com.google.rpc.Status rich = StatusProto.fromStatusAndTrailers(status, trailers);
        for (Any detail : rich.getDetailsList()) {
          readDetail(detail);
        }
      } catch (IllegalArgumentException | InvalidProtocolBufferException broken) {
        // Not the gateway's own, or changed on the way: the plain trailers stand.
        return;
      }
    }

    private void readDetail(Any detail) throws InvalidProtocolBufferException {
      if (detail.is(ErrorInfo.class)) {
        ErrorInfo info = detail.unpack(ErrorInfo.class);
        if (info.getDomain().equals(DOMAIN)) {
          reason = info.getReason();
          metadata.putAll(info.getMetadataMap());
        }
      } else if (detail.is(RetryInfo.class)) {
        com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
        retryDelay = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
      } else if (detail.is(BadRequest.class)) {
        violations.addAll(detail.unpack(BadRequest.class).getFieldViolationsList());
      }
    }
  }
}
