package headgate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"headgate.dev/go/headgatev1"
)

const domain = "headgate"

// Violation is one wrong field of a request: its path in the contract, and what is allowed.
type Violation struct {
	Field       string
	Description string
}

// Error is a call that did not end well. Get it with errors.As; it is a gRPC status too, so
// status.FromError and status.Code read it.
type Error struct {
	// Reason is a name of headgatev1.ErrorReason without its prefix, such as "QUEUE_FULL".
	// It is empty when the gateway did not make the status.
	Reason string
	// Metadata has further facts (google.rpc.ErrorInfo).
	Metadata map[string]string
	// Violations has every wrong field of the request (google.rpc.BadRequest).
	Violations []Violation
	// Trailers are the trailing metadata, as they came.
	Trailers metadata.MD

	status     *status.Status
	retryAfter *time.Duration
}

// Error is the status message and the reason; without a reason, the code.
func (e *Error) Error() string {
	message, why := e.status.Message(), e.Reason
	if message == "" {
		message = "no details"
	}
	if why == "" {
		why = e.status.Code().String()
	}
	return fmt.Sprintf("headgate: %s (%s)", message, why)
}

// GRPCStatus is the status as it came, with its google.rpc details.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Code is the status code.
func (e *Error) Code() codes.Code { return e.status.Code() }

// Is lets errors.Is find context.Canceled and context.DeadlineExceeded in a call that ended with the
// codes of these names, on this side or at the gateway.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code() == codes.Canceled
	case context.DeadlineExceeded:
		return e.Code() == codes.DeadlineExceeded
	}
	return false
}

// ReasonCode is Reason as the contract's constant; one that this version does not know, and none,
// are ERROR_REASON_UNSPECIFIED.
func (e *Error) ReasonCode() headgatev1.ErrorReason {
	return headgatev1.ErrorReason(headgatev1.ErrorReason_value["ERROR_REASON_"+e.Reason])
}

// RetryAfter is the time after which a new try makes sense, and whether there is one.
func (e *Error) RetryAfter() (time.Duration, bool) {
	if e.retryAfter == nil {
		return 0, false
	}
	return *e.retryAfter, true
}

// PositionSent says how many upstream deltas had come (ChatDelta.position) when the answer was
// interrupted, by the gateway or by a broken connection; false for any other error.
func (e *Error) PositionSent() (int, bool) {
	position, err := strconv.ParseUint(e.Metadata["position_sent"], 10, 31)
	return int(position), err == nil
}

func typedUnary(
	ctx context.Context, method string, request, reply any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	var trailers metadata.MD
	options = append([]grpc.CallOption{grpc.Trailer(&trailers)}, options...)
	err := invoke(ctx, method, request, reply, conn, options...)
	if err != nil {
		return newError(err, trailers, 0)
	}
	return nil
}

func typedStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, options...)
	if err != nil {
		return nil, newError(err, nil, 0)
	}
	streamsChat := method == headgatev1.ChatService_StreamChat_FullMethodName
	return &watched{ClientStream: stream, streamsChat: streamsChat}, nil
}

// watched is a stream whose errors are typed, and which knows how far the answer has come.
type watched struct {
	grpc.ClientStream
	streamsChat bool
	position    int32
	finished    bool
}

// SendMsg is part of grpc.ClientStream.
func (w *watched) SendMsg(message any) error {
	err := w.ClientStream.SendMsg(message)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return newError(err, nil, 0)
}

// RecvMsg is part of grpc.ClientStream.
func (w *watched) RecvMsg(message any) error {
	err := w.ClientStream.RecvMsg(message)
	switch {
	case err == nil:
		w.see(message)
		return nil
	case !errors.Is(err, io.EOF):
		return newError(err, w.Trailer(), w.position)
	case w.streamsChat && !w.finished: // an answer without its end is no whole answer, whatever the status
		cut := status.Error(codes.Internal, "the stream ended without its finished event")
		return newError(cut, w.Trailer(), 0).interrupted(w.position)
	}
	return err
}

func (w *watched) see(message any) {
	event, ok := message.(*headgatev1.StreamChatResponse)
	if !ok {
		return
	}
	w.position = max(w.position, event.GetDelta().GetPosition())
	w.finished = w.finished || event.GetFinished() != nil
}

// newError reads the google.rpc details (AIP-193) and, where they are missing, the plain trailers.
//
// position is how far the stream had come: a connection that breaks after the first delta has
// interrupted the answer, whoever made the status.
func newError(err error, trailers metadata.MD, position int32) *Error {
	made := &Error{status: status.Convert(err), Trailers: trailers, Metadata: map[string]string{}}
	made.Reason = first(trailers, "headgate-reason")
	made.retryAfter = plainDelay(first(trailers, "headgate-retry-after-ms"))
	for _, detail := range made.status.Details() {
		made.read(detail)
	}
	if position > 0 && made.Reason == "" && breaks(made.Code()) {
		return made.interrupted(position)
	}
	return made
}

func (e *Error) interrupted(position int32) *Error {
	e.Metadata["position_sent"] = strconv.Itoa(int(position))
	return e
}

func (e *Error) read(detail any) {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		if detail.GetDomain() == domain {
			e.Reason = detail.GetReason()
			maps.Copy(e.Metadata, detail.GetMetadata())
		}
	case *errdetails.RetryInfo:
		delay := detail.GetRetryDelay().AsDuration()
		e.retryAfter = &delay
	case *errdetails.BadRequest:
		for _, wrong := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, Violation{wrong.GetField(), wrong.GetDescription()})
		}
	}
}

// breaks tells the codes that gRPC gives when a connection breaks under a stream.
func breaks(code codes.Code) bool {
	return code == codes.Unavailable || code == codes.Internal || code == codes.Unknown
}

func first(trailers metadata.MD, key string) string {
	if values := trailers.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// plainDelay reads milliseconds; 43 bits of them still fit into a Duration.
func plainDelay(text string) *time.Duration {
	count, err := strconv.ParseUint(text, 10, 43)
	if err != nil {
		return nil
	}
	delay := milliseconds(int64(count))
	return &delay
}
