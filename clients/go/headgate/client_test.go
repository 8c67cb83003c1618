package headgate_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"headgate.dev/go/headgate"
	"headgate.dev/go/headgatev1"
)

// The text of the first choice comes in order; heartbeats, thoughts and other choices are no text.
func TestTextIsThatOfTheFirstChoice(t *testing.T) {
	_, client := streams(nil,
		heartbeat(), delta(1, "Hello"), of(&headgatev1.ChatDelta{Position: 2, ReasoningContent: "hm"}),
		of(&headgatev1.ChatDelta{Position: 3, ChoiceIndex: 1, Content: "other"}), delta(4, " there"),
		finished(),
	).serve(t, nil)
	got, err := collect(client.StreamText(t.Context(), headgate.Ask("Hi")))
	if err != nil || strings.Join(got, "|") != "Hello| there" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Every range over the same text is a call of its own.
func TestEachRangeIsACall(t *testing.T) {
	var calls atomic.Int32
	fake := &gateway{stream: func(stream eventStream) error {
		calls.Add(1)
		return stream.Send(finished())
	}}
	_, client := fake.serve(t, nil)
	text := client.StreamText(t.Context(), headgate.Ask("Hi"))
	for range 2 {
		if _, err := collect(text); err != nil {
			t.Fatal(err)
		}
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls, expected 2", calls.Load())
	}
}

// Leaving the loop cancels the call at the gateway.
func TestLeavingTheLoopCancels(t *testing.T) {
	gone := make(chan error, 1)
	fake := &gateway{stream: func(stream eventStream) error {
		if err := stream.Send(delta(1, "tick")); err != nil {
			return err
		}
		<-stream.Context().Done()
		gone <- stream.Context().Err()
		return nil
	}}
	_, client := fake.serve(t, nil)
	for _, err := range client.StreamText(t.Context(), headgate.Ask("Hi")) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	select {
	case err := <-gone:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the gateway saw %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the gateway still works for a caller that has gone")
	}
}

// Cancelling the context, or its deadline, ends the range with a typed error.
func TestContextEndsTheRange(t *testing.T) {
	fake := &gateway{stream: func(stream eventStream) error {
		if err := stream.Send(delta(1, "tick")); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	}}
	_, client := fake.serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range client.StreamText(ctx, headgate.Ask("Hi")) {
		last = err
		cancel()
	}
	expect(t, last, codes.Canceled, "")
	if !errors.Is(last, context.Canceled) || errors.Is(last, context.DeadlineExceeded) {
		t.Errorf("errors.Is tells nothing of %v", last)
	}
	ctx, stop := context.WithTimeout(t.Context(), 0)
	defer stop()
	_, err := collect(client.StreamText(ctx, headgate.Ask("Hi")))
	expect(t, err, codes.DeadlineExceeded, "")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("errors.Is tells nothing of %v", err)
	}
}

// gRPC itself tries again after UNAVAILABLE, three times in all, as the server's pushback says;
// with a request that is larger than what grpc-go would keep for it by itself, too.
func TestServiceConfigRetries(t *testing.T) {
	for code, expected := range map[codes.Code]int32{codes.Unavailable: 3, codes.Aborted: 1} {
		var attempts atomic.Int32
		fake := &gateway{chat: func(
			ctx context.Context, _ *headgatev1.ChatRequest,
		) (*headgatev1.ChatResponse, error) {
			attempts.Add(1)
			err := grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "1"))
			return nil, errors.Join(err, status.Error(code, "not now"))
		}}
		_, client := fake.serve(t, nil)
		_, err := client.Chat(t.Context(), headgate.Ask(strings.Repeat("a", 1<<20)))
		expect(t, err, code, "")
		if attempts.Load() != expected {
			t.Errorf("%v: %d attempts, expected %d", code, attempts.Load(), expected)
		}
	}
}

// Messages of 16 MiB pass in both directions, and no larger ones.
func TestMessageSizes(t *testing.T) {
	const limit, text = 16 << 20, 16<<20 - 50 // fields around the text take a few bytes
	fake := &gateway{chat: func(
		_ context.Context, request *headgatev1.ChatRequest,
	) (*headgatev1.ChatResponse, error) {
		message := &headgatev1.ChatMessage{Content: request.GetMessages()[0].GetContent()}
		choice := &headgatev1.ChatChoice{Message: message}
		return &headgatev1.ChatResponse{Choices: []*headgatev1.ChatChoice{choice}}, nil
	}}
	_, client := fake.serve(t, []grpc.ServerOption{grpc.MaxRecvMsgSize(2 * limit)})
	response, err := client.Chat(t.Context(), headgate.Ask(strings.Repeat("a", text)))
	if err != nil || len(headgate.Text(response)) != text {
		t.Errorf("%d bytes came back, %v", len(headgate.Text(response)), err)
	}
	_, err = client.Chat(t.Context(), headgate.Ask(strings.Repeat("a", limit)))
	expect(t, err, codes.ResourceExhausted, "")
	_, err = collect(client.StreamText(t.Context(), headgate.Ask(strings.Repeat("a", limit))))
	expect(t, err, codes.ResourceExhausted, "")
}

// The client names itself, and sends its token.
func TestMetadata(t *testing.T) {
	seen := make(chan metadata.MD, 1)
	fake := &gateway{chat: func(
		ctx context.Context, _ *headgatev1.ChatRequest,
	) (*headgatev1.ChatResponse, error) {
		received, _ := metadata.FromIncomingContext(ctx)
		seen <- received
		return &headgatev1.ChatResponse{}, nil
	}}
	_, client := fake.serve(t, nil, headgate.WithToken("s3cret"))
	if _, err := client.Chat(t.Context(), headgate.Ask("Hi")); err != nil {
		t.Fatal(err)
	}
	received := <-seen
	agent := strings.Join(received.Get("user-agent"), "|")
	if !strings.HasPrefix(agent, "headgate-client-go/"+headgate.Version+" ") {
		t.Errorf("the user agent is %q", agent)
	}
	if token := received.Get("authorization"); len(token) != 1 || token[0] != "Bearer s3cret" {
		t.Errorf("the token is %q", token)
	}
}

// A token that is no line of ASCII fails the call, and nothing is sent.
func TestOddTokensAreNotSent(t *testing.T) {
	for _, token := range []string{"", "two\nlines", "schlüssel"} {
		_, client := (&gateway{}).serve(t, nil, headgate.WithToken(token))
		_, err := client.Chat(t.Context(), headgate.Ask("Hi"))
		expect(t, err, codes.Unauthenticated, "")
		if token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("the error tells the token: %v", err)
		}
	}
}

// expect checks that an error is an *Error of this code and reason, and a gRPC status.
func expect(t *testing.T, err error, code codes.Code, reason string) *headgate.Error {
	t.Helper()
	var failed *headgate.Error
	if !errors.As(err, &failed) {
		t.Fatalf("%v is no *headgate.Error", err)
	}
	if failed.Code() != code || status.Code(err) != code || failed.Reason != reason {
		t.Errorf("%v %q, expected %v %q (%v)", failed.Code(), failed.Reason, code, reason, err)
	}
	return failed
}
