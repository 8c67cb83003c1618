package headgate_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"headgate.dev/go/headgate"
	"headgate.dev/go/headgatev1"
)

// The google.rpc details fill the error, and win over the plain trailers.
func TestDetailsAreRead(t *testing.T) {
	_, client := refusal(codes.ResourceExhausted, "the queue is full",
		metadata.Pairs("headgate-reason", "OTHER", "headgate-retry-after-ms", "1"),
		&errdetails.ErrorInfo{
			Reason: "QUEUE_FULL", Domain: "headgate", Metadata: map[string]string{"limit": "2"},
		},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
	).serve(t, nil)
	_, err := client.Chat(t.Context(), headgate.Ask("Hi"))
	failed := expect(t, err, codes.ResourceExhausted, "QUEUE_FULL")
	if wait, known := failed.RetryAfter(); !known || wait != 1500*time.Millisecond {
		t.Errorf("retry after %v, %v", wait, known)
	}
	if failed.ReasonCode() != headgatev1.ErrorReason_ERROR_REASON_QUEUE_FULL {
		t.Errorf("the constant is %v", failed.ReasonCode())
	}
	if !reflect.DeepEqual(failed.Metadata, map[string]string{"limit": "2"}) {
		t.Errorf("the metadata is %v", failed.Metadata)
	}
	if have := fmt.Sprint(err); have != "headgate: the queue is full (QUEUE_FULL)" {
		t.Errorf("it reads %q", have)
	}
	if _, interrupted := failed.PositionSent(); interrupted {
		t.Error("a refusal is no interruption")
	}
	if details := status.Convert(err).Details(); len(details) != 2 {
		t.Errorf("the status kept %d details, expected 2", len(details))
	}
}

// Every wrong field of a request is named, also for who reads the wrapped error.
func TestViolationsAreRead(t *testing.T) {
	wrong := &errdetails.BadRequest_FieldViolation{Field: "top_p", Description: "is 2"}
	_, client := refusal(codes.InvalidArgument, "top_p: is 2", nil,
		&errdetails.ErrorInfo{Reason: "INVALID_REQUEST", Domain: "headgate"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{wrong}},
	).serve(t, nil)
	_, err := client.Chat(t.Context(), headgate.Ask("Hi"))
	wrapped := fmt.Errorf("asking: %w", err)
	failed := expect(t, wrapped, codes.InvalidArgument, "INVALID_REQUEST")
	want := []headgate.Violation{{Field: "top_p", Description: "is 2"}}
	if !reflect.DeepEqual(failed.Violations, want) {
		t.Errorf("the violations are %v", failed.Violations)
	}
}

// The plain trailers say the same where the details are missing or another's.
func TestPlainTrailersAreRead(t *testing.T) {
	_, client := refusal(codes.ResourceExhausted, "wait",
		metadata.Pairs("headgate-reason", "CALLER_LIMIT", "headgate-retry-after-ms", "250"),
		&errdetails.ErrorInfo{Reason: "PROXY", Domain: "another"},
	).serve(t, nil)
	_, err := client.Chat(t.Context(), headgate.Ask("Hi"))
	failed := expect(t, err, codes.ResourceExhausted, "CALLER_LIMIT")
	if wait, known := failed.RetryAfter(); !known || wait != 250*time.Millisecond {
		t.Errorf("retry after %v, %v", wait, known)
	}
	if value := failed.Trailers.Get("headgate-retry-after-ms"); len(value) != 1 {
		t.Errorf("the trailers are %v", failed.Trailers)
	}
}

// A status that gRPC made has no reason, and reads as its code.
func TestForeignStatus(t *testing.T) {
	_, client := refusal(codes.Unimplemented, "", nil).serve(t, nil)
	_, err := client.Chat(t.Context(), headgate.Ask("Hi"))
	failed := expect(t, err, codes.Unimplemented, "")
	if _, known := failed.RetryAfter(); known {
		t.Error("nobody said when to try again")
	}
	if err.Error() != "headgate: no details (Unimplemented)" {
		t.Errorf("it reads %q", err)
	}
	if failed.ReasonCode() != headgatev1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		t.Errorf("the constant is %v", failed.ReasonCode())
	}
}

// A stream gives what came, and then says how far it was when it was cut.
func TestInterruptedStream(t *testing.T) {
	made, err := status.New(codes.Aborted, "cut").WithDetails(&errdetails.ErrorInfo{
		Reason: "STREAM_INTERRUPTED", Domain: "headgate",
		Metadata: map[string]string{"cause": "cut", "position_sent": "2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, client := streams(made.Err(), delta(1, "a"), delta(2, "b")).serve(t, nil)
	got, err := collect(client.StreamText(t.Context(), headgate.Ask("Hi")))
	failed := expect(t, err, codes.Aborted, "STREAM_INTERRUPTED")
	if position, known := failed.PositionSent(); len(got) != 2 || !known || position != 2 {
		t.Errorf("got %q, position %d, %v", got, position, known)
	}
}

// A connection that breaks after the first delta has interrupted the answer; before it, it has not.
func TestBrokenConnection(t *testing.T) {
	for _, count := range []int{0, 3} {
		begun := make(chan struct{})
		fake := &gateway{stream: func(stream eventStream) error {
			for i := range count {
				if err := stream.Send(delta(int32(i+1), "x")); err != nil {
					return err
				}
			}
			if err := stream.Send(heartbeat()); err != nil {
				return err
			}
			close(begun)
			<-stream.Context().Done()
			return nil
		}}
		server, client := fake.serve(t, nil)
		var last error
		for event, err := range client.StreamEvents(t.Context(), headgate.Ask("Hi")) {
			if last = err; event.GetHeartbeat() != nil {
				<-begun
				server.Stop()
			}
		}
		failed := expect(t, last, codes.Unavailable, "")
		if position, known := failed.PositionSent(); position != count || known != (count > 0) {
			t.Errorf("after %d deltas: position %d, %v", count, position, known)
		}
	}
}

// OK without the finished event is no whole answer, for the stub's own stream too.
func TestStreamWithoutItsEnd(t *testing.T) {
	_, client := streams(nil, delta(1, "a")).serve(t, nil)
	stream, err := client.StreamChat(t.Context(), headgate.Ask("Hi"))
	for err == nil {
		_, err = stream.Recv()
	}
	failed := expect(t, err, codes.Internal, "")
	if position, known := failed.PositionSent(); !known || position != 1 {
		t.Errorf("position %d, %v", position, known)
	}
}
