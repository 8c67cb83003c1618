// Package headgate calls a headgate, the gRPC front door of a chat-completion HTTP API.
//
// A Client is the generated stub of headgatev1 over a channel with the options that all of
// headgate's clients share. It also streams an answer as text or as events, and every call that
// fails gives an *Error, which says why and when to try again.
//
// The client does not throttle and does not retry by itself: the gateway does the first, and gRPC,
// told by the service config in this package, the second.
package headgate

import (
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"headgate.dev/go/headgatev1"
)

// Version is the version of this module.
const Version = "0.1.0"

// DefaultTarget is where a gateway listens that was not told otherwise.
const DefaultTarget = "127.0.0.1:50051"

const userAgent = "headgate-client-go/" + Version

// The two files are copies of those in protos/ of the project's repository.
var (
	//go:embed service_config.json
	serviceConfig string
	//go:embed channel_defaults.json
	channelDefaults []byte
)

// Client is the generated stub over a channel of its own. It is safe for concurrent use.
type Client struct {
	headgatev1.ChatServiceClient
	conn *grpc.ClientConn
}

// NewClient makes a client; its channel connects at the first call.
//
// The target is gRPC's name of the server: "host:port", "dns:///host:port", "unix:///path".
// The options come after the client's own and win over them. Without WithTLS the channel is
// plaintext. The error says what is wrong with the target or with an option.
func NewClient(target string, options ...grpc.DialOption) (*Client, error) {
	defaults, err := dialOptions()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target, append(defaults, options...)...)
	if err != nil {
		return nil, fmt.Errorf("headgate: no channel to %q: %w", target, err)
	}
	return &Client{headgatev1.NewChatServiceClient(conn), conn}, nil
}

// Conn is the channel, for other stubs such as that of grpc.health.v1.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Close closes the channel; calls that run end with codes.Canceled.
func (c *Client) Close() error { return c.conn.Close() }

// StreamText asks, and gives the text of the first choice, piece by piece, while it is made.
//
// Each range over it makes a call of its own. Leaving the loop cancels the call, and the gateway
// stops the upstream. A call that fails gives an *Error as its last item; without one the answer
// is whole.
func (c *Client) StreamText(
	ctx context.Context, request *headgatev1.ChatRequest, options ...grpc.CallOption,
) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for event, err := range c.StreamEvents(ctx, request, options...) {
			piece := DeltaText(event)
			if (piece != "" || err != nil) && !yield(piece, err) {
				return
			}
		}
	}
}

// StreamEvents is StreamText with the whole events: the place in line, who answers, the deltas of
// every choice, the end with its usage.
func (c *Client) StreamEvents(
	ctx context.Context, request *headgatev1.ChatRequest, options ...grpc.CallOption,
) iter.Seq2[*headgatev1.StreamChatResponse, error] {
	return func(yield func(*headgatev1.StreamChatResponse, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.StreamChat(ctx, request, options...)
		for err == nil {
			var event *headgatev1.StreamChatResponse
			if event, err = stream.Recv(); err == nil && !yield(event, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

// Ask is the request for an answer to what a user says.
func Ask(text string) *headgatev1.ChatRequest {
	message := &headgatev1.ChatMessage{Role: headgatev1.Role_ROLE_USER, Content: text}
	return &headgatev1.ChatRequest{Messages: []*headgatev1.ChatMessage{message}}
}

// Text is the text of the first choice of a whole answer, or the empty string.
func Text(response *headgatev1.ChatResponse) string {
	for _, choice := range response.GetChoices() {
		if choice.GetIndex() == 0 {
			return choice.GetMessage().GetContent()
		}
	}
	return ""
}

// DeltaText is the piece of the first choice's text in an event, or the empty string.
func DeltaText(event *headgatev1.StreamChatResponse) string {
	if event.GetDelta().GetChoiceIndex() != 0 {
		return ""
	}
	return event.GetDelta().GetContent()
}

// WithTLS makes the channel a TLS one. The configuration says which authorities are trusted
// (RootCAs; nil: the system's), which certificate is presented (Certificates, for mTLS), and
// which name the server must have (ServerName; empty: the target's).
func WithTLS(config *tls.Config) grpc.DialOption {
	return grpc.WithTransportCredentials(credentials.NewTLS(config))
}

// WithToken sends "authorization: Bearer TOKEN" with every call, over a plaintext channel too.
// A token that is empty or not printable ASCII fails every call, and is never sent.
func WithToken(token string) grpc.DialOption {
	return grpc.WithPerRPCCredentials(bearer(token))
}

type bearer string

// GetRequestMetadata is part of credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	if b == "" || strings.ContainsFunc(string(b), odd) {
		return nil, errors.New("the token is empty or not printable ASCII; allowed is one line of it")
	}
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is part of credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }

// defaults has those of channel_defaults.json that are options in grpc-go too.
type defaults struct {
	KeepaliveTime    int64 `json:"grpc.keepalive_time_ms"`
	KeepaliveTimeout int64 `json:"grpc.keepalive_timeout_ms"`
	KeepaliveAlways  int64 `json:"grpc.keepalive_permit_without_calls"`
	MaxReceive       int   `json:"grpc.max_receive_message_length"`
	MaxSend          int   `json:"grpc.max_send_message_length"`
	FirstReconnect   int64 `json:"grpc.initial_reconnect_backoff_ms"`
	LastReconnect    int64 `json:"grpc.max_reconnect_backoff_ms"`
	RetryBuffer      int   `json:"grpc.per_rpc_retry_buffer_size"`
}

func dialOptions() ([]grpc.DialOption, error) {
	var set defaults
	if err := json.Unmarshal(channelDefaults, &set); err != nil {
		return nil, fmt.Errorf("headgate: channel_defaults.json: %w", err)
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent(userAgent),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// As in gRPC's other languages: a DNS record has no say in how this service is called.
		grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(set.keepalive()),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(set.MaxReceive),
			grpc.MaxCallSendMsgSize(set.MaxSend),
			grpc.MaxRetryRPCBufferSize(set.RetryBuffer),
		),
		grpc.WithConnectParams(set.reconnect()),
		grpc.WithChainUnaryInterceptor(typedUnary),
		grpc.WithChainStreamInterceptor(typedStream),
	}, nil
}

func (d defaults) keepalive() keepalive.ClientParameters {
	return keepalive.ClientParameters{
		Time:                milliseconds(d.KeepaliveTime),
		Timeout:             milliseconds(d.KeepaliveTimeout),
		PermitWithoutStream: d.KeepaliveAlways != 0,
	}
}

func (d defaults) reconnect() grpc.ConnectParams {
	between := backoff.DefaultConfig
	between.BaseDelay = milliseconds(d.FirstReconnect)
	between.MaxDelay = milliseconds(d.LastReconnect)
	// The time for one try to connect is gRPC's own.
	return grpc.ConnectParams{Backoff: between, MinConnectTimeout: 20 * time.Second}
}

func milliseconds(count int64) time.Duration {
	return time.Duration(count) * time.Millisecond
}
