package headgate_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"

	"headgate.dev/go/headgate"
	"headgate.dev/go/headgatev1"
)

// gateway is a scripted ChatService in this process.
type gateway struct {
	headgatev1.UnimplementedChatServiceServer
	chat   func(context.Context, *headgatev1.ChatRequest) (*headgatev1.ChatResponse, error)
	stream func(eventStream) error
}

type eventStream = grpc.ServerStreamingServer[headgatev1.StreamChatResponse]

func (g *gateway) Chat(
	ctx context.Context, request *headgatev1.ChatRequest,
) (*headgatev1.ChatResponse, error) {
	return g.chat(ctx, request)
}

func (g *gateway) StreamChat(_ *headgatev1.ChatRequest, stream eventStream) error {
	return g.stream(stream)
}

// serve starts the gateway, and gives its server and a client of it.
func (g *gateway) serve(
	t *testing.T, serverOptions []grpc.ServerOption, options ...grpc.DialOption,
) (*grpc.Server, *headgate.Client) {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(serverOptions...)
	headgatev1.RegisterChatServiceServer(server, g)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	client, err := headgate.NewClient(
		"passthrough:///gateway", append(options, grpc.WithContextDialer(dial))...,
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, client
}

// streams is a gateway that sends these events and ends with the error.
func streams(end error, events ...*headgatev1.StreamChatResponse) *gateway {
	return &gateway{stream: func(stream eventStream) error {
		for _, event := range events {
			if err := stream.Send(event); err != nil {
				return err
			}
		}
		return end
	}}
}

func delta(position int32, content string) *headgatev1.StreamChatResponse {
	return of(&headgatev1.ChatDelta{Position: position, Content: content})
}

func of(delta *headgatev1.ChatDelta) *headgatev1.StreamChatResponse {
	event := &headgatev1.StreamChatResponse_Delta{Delta: delta}
	return &headgatev1.StreamChatResponse{Event: event}
}

func finished() *headgatev1.StreamChatResponse {
	event := &headgatev1.StreamChatResponse_Finished{Finished: &headgatev1.StreamFinished{}}
	return &headgatev1.StreamChatResponse{Event: event}
}

func heartbeat() *headgatev1.StreamChatResponse {
	event := &headgatev1.StreamChatResponse_Heartbeat{Heartbeat: &headgatev1.Heartbeat{}}
	return &headgatev1.StreamChatResponse{Event: event}
}

// refusal is a gateway whose every Chat ends with this status and these trailers.
func refusal(
	code codes.Code, message string, trailers metadata.MD, details ...protoadapt.MessageV1,
) *gateway {
	return &gateway{chat: func(
		ctx context.Context, _ *headgatev1.ChatRequest,
	) (*headgatev1.ChatResponse, error) {
		if err := grpc.SetTrailer(ctx, trailers); err != nil {
			return nil, err
		}
		made, err := status.New(code, message).WithDetails(details...)
		if err != nil {
			return nil, err
		}
		return nil, made.Err()
	}}
}

// collect reads everything that a range gives: the items, and the error that ended it.
func collect[T any](items func(func(T, error) bool)) (got []T, err error) {
	for item, failed := range items {
		if failed != nil {
			err = failed
			break
		}
		got = append(got, item)
	}
	return got, err
}
