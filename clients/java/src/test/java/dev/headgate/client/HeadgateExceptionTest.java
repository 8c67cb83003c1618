package dev.headgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.headgate.v1.ErrorReason;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class HeadgateExceptionTest {
  /** google.rpc details become reason, retry delay, metadata and violations. */
  @Test
  void readsRichDetails() {
    BadRequest.FieldViolation wrong =
        BadRequest.FieldViolation.newBuilder().setField("n").setDescription("1 to 128").build();
    HeadgateException error =
        HeadgateException.from(
            rich(
                Status.Code.RESOURCE_EXHAUSTED,
                info("headgate", "QUEUE_FULL"),
                RetryInfo.newBuilder()
                    .setRetryDelay(
                        com.google.protobuf.Duration.newBuilder().setSeconds(1).setNanos(5))
                    .build(),
                BadRequest.newBuilder().addFieldViolations(wrong).build()));

    assertEquals(Status.Code.RESOURCE_EXHAUSTED, error.code());
    assertEquals(ErrorReason.ERROR_REASON_QUEUE_FULL, error.reason());
    assertEquals(Optional.of(Duration.ofSeconds(1, 5)), error.retryDelay());
    assertEquals(Map.of("queue", "full"), error.metadata());
    assertEquals(List.of(wrong), error.violations());
    assertEquals("said so (QUEUE_FULL)", error.getMessage());
  }

  /** The plain trailers say the same to those who have nothing else. */
  @Test
  void readsPlainTrailers() {
    HeadgateException error = HeadgateException.from(plain("CALLER_LIMIT", "1250"));

    assertEquals(ErrorReason.ERROR_REASON_CALLER_LIMIT, error.reason());
    assertEquals(Optional.of(Duration.ofMillis(1250)), error.retryDelay());
  }

  /** Details that were broken on the way leave the plain trailers standing. */
  @Test
  void brokenDetailsLeaveThePlainTrailers() {
    StatusRuntimeException broken = plain("CALLER_LIMIT", "1250");
    broken
        .getTrailers()
        .put(
            Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER),
            "no protobuf".getBytes(StandardCharsets.US_ASCII));
    HeadgateException error = HeadgateException.from(broken);

    assertEquals("CALLER_LIMIT", error.reasonName());
    assertEquals(Optional.of(Duration.ofMillis(1250)), error.retryDelay());
  }

  /** Details whose code is another than the status's are not believed, and break nothing. */
  @Test
  void contradictingDetailsAreLeft() {
    StatusRuntimeException rich = rich(Status.Code.INTERNAL, info("headgate", "INTERNAL"));
    StatusRuntimeException contradicting =
        new StatusRuntimeException(Status.UNAVAILABLE, rich.getTrailers());

    assertEquals("", HeadgateException.from(contradicting).reasonName());
  }

  /** A delay that is no count of milliseconds is no delay. */
  @ParameterizedTest
  @ValueSource(strings = {"", "-1", "soon", "1.5", "9999999999999999"})
  void strangeDelaysAreNone(String milliseconds) {
    assertEquals(
        Optional.empty(), HeadgateException.from(plain("DRAINING", milliseconds)).retryDelay());
  }

  /** An ErrorInfo of somebody else's says nothing about the gateway. */
  @Test
  void foreignDomainsAreLeft() {
    HeadgateException error =
        HeadgateException.from(rich(Status.Code.UNAVAILABLE, info("example.com", "QUEUE_FULL")));

    assertEquals(ErrorReason.ERROR_REASON_UNSPECIFIED, error.reason());
    assertEquals(Map.of(), error.metadata());
  }

  /** A reason that is newer than this stub keeps its name. */
  @Test
  void unknownReasonsKeepTheirName() {
    HeadgateException error = HeadgateException.from(plain("FROM_THE_FUTURE", "0"));

    assertEquals(ErrorReason.UNRECOGNIZED, error.reason());
    assertEquals("FROM_THE_FUTURE", error.reasonName());
  }

  /** Every reason of the contract is found by the name that the gateway sends. */
  @ParameterizedTest
  @EnumSource(
      value = ErrorReason.class,
      mode = EnumSource.Mode.EXCLUDE,
      names = {"ERROR_REASON_UNSPECIFIED", "UNRECOGNIZED"})
  void everyReasonIsFound(ErrorReason reason) {
    String name = reason.name().substring("ERROR_REASON_".length());
    assertEquals(reason, HeadgateException.from(plain(name, "0")).reason());
  }

  /** An interrupted stream says how far it came. */
  @Test
  void interruptedStreamsSayHowFarTheyCame() {
    ErrorInfo info =
        info("headgate", "STREAM_INTERRUPTED").toBuilder()
            .putMetadata("position_sent", "7")
            .build();
    HeadgateException error = HeadgateException.from(rich(Status.Code.ABORTED, info));

    assertTrue(error.interrupted());
    assertEquals(OptionalInt.of(7), error.positionSent());
  }

  /** A connection that breaks after the first delta has interrupted the answer; before, not. */
  @Test
  void brokenConnectionsInterruptOnlyWhatHadBegun() {
    StatusRuntimeException broken = Status.UNAVAILABLE.asRuntimeException();

    assertTrue(HeadgateException.from(broken, 3).interrupted());
    assertEquals(OptionalInt.of(3), HeadgateException.from(broken, 3).positionSent());
    assertFalse(HeadgateException.from(broken, 0).interrupted());
    assertEquals(OptionalInt.empty(), HeadgateException.from(broken, 0).positionSent());
  }

  /** What wraps a status is looked into; what has none is UNKNOWN; ours stays what it is. */
  @Test
  void anyThrowableBecomesOne() {
    StatusRuntimeException status = plain("QUEUE_FULL", "50");
    HeadgateException error = HeadgateException.from(new CompletionException(status));

    assertEquals("QUEUE_FULL", error.reasonName());
    assertSame(error, HeadgateException.from(error));
    assertSame(error, HeadgateException.from(new CompletionException(error)));
    assertEquals(Status.Code.UNKNOWN, HeadgateException.from(new IOException("?")).code());
  }

  /** What gRPC only calls an io exception is told with its cause, in one line. */
  @Test
  void connectionErrorsTellTheirCause() {
    Status status =
        Status.UNAVAILABLE
            .withDescription("io exception\nChannel Pipeline: [...]")
            .withCause(new IOException("Connection refused"));

    assertEquals(
        "io exception: Connection refused (UNAVAILABLE)",
        HeadgateException.from(status.asRuntimeException()).getMessage());
  }

  private static ErrorInfo info(String domain, String reason) {
    return ErrorInfo.newBuilder()
        .setDomain(domain)
        .setReason(reason)
        .putMetadata("queue", "full")
        .build();
  }

  private static StatusRuntimeException rich(Status.Code code, Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("said so");
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  private static StatusRuntimeException plain(String reason, String milliseconds) {
    Metadata trailers = new Metadata();
    trailers.put(key("headgate-reason"), reason);
    trailers.put(key("headgate-retry-after-ms"), milliseconds);
    return new StatusRuntimeException(Status.RESOURCE_EXHAUSTED, trailers);
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
