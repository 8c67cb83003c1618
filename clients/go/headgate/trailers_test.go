package headgate

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Whatever the plain trailers hold, they give an error, and no delay but one in whole milliseconds.
func FuzzPlainTrailers(f *testing.F) {
	for _, delay := range []string{"", "0", "1", "-1", "1.5", "9223372036854775807", "8796093022207"} {
		f.Add("QUEUE_FULL", delay)
	}
	f.Fuzz(func(t *testing.T, reason, delay string) {
		trailers := metadata.Pairs("headgate-reason", reason, "headgate-retry-after-ms", delay)
		failed := newError(status.Error(codes.ResourceExhausted, "wait"), trailers, 0)
		if failed.Reason != reason || failed.Code() != codes.ResourceExhausted {
			t.Fatalf("got %v", failed)
		}
		wait, known := failed.RetryAfter()
		if wait < 0 || wait%time.Millisecond != 0 || (!known && wait != 0) {
			t.Fatalf("%q became %v", delay, wait)
		}
	})
}
