package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"headgate.dev/go/headgate"
	"headgate.dev/go/headgatev1"
)

// line is a call, as the kit wants it.
type line struct {
	Name      string            `json:"name"`
	Method    string            `json:"method"`
	Request   []byte            `json:"request"` // encoding/json reads base64 into bytes
	Fill      *int              `json:"fill"`
	Metadata  map[string]string `json:"metadata"`
	TimeoutMS *int64            `json:"timeout_ms"`
	Cancel    map[string]int    `json:"cancel"`
	Count     int               `json:"count"`
	Helper    bool              `json:"helper"`
	PauseMS   int64             `json:"pause_ms"`
}

type answer struct {
	Name  string  `json:"name"`
	Calls []*seen `json:"calls"`
}

// seen is what one call showed.
type seen struct {
	Code         string            `json:"code"`
	Message      string            `json:"message"`
	Reason       string            `json:"reason"`
	RetryDelayMS *int64            `json:"retry_delay_ms"`
	Metadata     map[string]string `json:"metadata"`
	Violations   [][2]string       `json:"violations"`
	Trailers     map[string]string `json:"trailers"`
	Events       []eventRun        `json:"events"`
	Text         map[int32]string  `json:"text"`
	Messages     [][]byte          `json:"messages"`
	ElapsedMS    int64             `json:"elapsed_ms"`

	counts   map[string]int
	trailers metadata.MD
}

// eventRun is an event's name with how many there were in a row.
type eventRun [2]any

func newSeen() *seen {
	return &seen{
		Code:       code.Code_OK.String(),
		Metadata:   map[string]string{},
		Violations: [][2]string{},
		Trailers:   map[string]string{},
		Events:     []eventRun{},
		Text:       map[int32]string{},
		Messages:   [][]byte{},
		counts:     map[string]int{},
	}
}

// make makes the call and notes what it shows.
func (s *seen) make(ctx context.Context, client *headgate.Client, wanted line) {
	began := time.Now()
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(ctx, metadata.New(wanted.Metadata)))
	defer cancel()
	if wanted.TimeoutMS != nil {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, time.Duration(*wanted.TimeoutMS)*time.Millisecond)
		defer done()
	}
	if ms, ok := wanted.Cancel["ms"]; ok {
		defer time.AfterFunc(time.Duration(ms)*time.Millisecond, cancel).Stop()
	}
	s.end(s.ask(ctx, cancel, client, wanted))
	s.ElapsedMS = time.Since(began).Milliseconds()
}

func (s *seen) ask(
	ctx context.Context, cancel context.CancelFunc, client *headgate.Client, wanted line,
) error {
	request := &headgatev1.ChatRequest{}
	if err := proto.Unmarshal(wanted.Request, request); err != nil {
		return err
	}
	if wanted.Fill != nil {
		request.Messages[len(request.Messages)-1].Content = strings.Repeat("a", *wanted.Fill)
	}
	if wanted.Method == "Chat" {
		return s.chat(ctx, client, request)
	}
	if wanted.Helper {
		return s.readText(ctx, cancel, client, request, wanted)
	}
	return s.read(ctx, cancel, client, request, wanted)
}

func (s *seen) chat(ctx context.Context, client *headgate.Client, request *headgatev1.ChatRequest) error {
	response, err := client.Chat(ctx, request, grpc.Trailer(&s.trailers))
	if err != nil {
		return err
	}
	for _, choice := range response.GetChoices() {
		s.add(choice.GetIndex(), choice.GetMessage().GetContent())
	}
	return s.keep(response)
}

func (s *seen) read(
	ctx context.Context, cancel context.CancelFunc, client *headgate.Client,
	request *headgatev1.ChatRequest, wanted line,
) error {
	for event, err := range client.StreamEvents(ctx, request, grpc.Trailer(&s.trailers)) {
		if err != nil {
			return err
		}
		if err := s.keep(event); err != nil {
			return err
		}
		name := s.count(event)
		s.add(event.GetDelta().GetChoiceIndex(), event.GetDelta().GetContent())
		if len(s.Messages) == 1 {
			time.Sleep(time.Duration(wanted.PauseMS) * time.Millisecond)
		}
		if s.counts[name] == wanted.Cancel[strings.Replace(name, "delta", "deltas", 1)] {
			cancel()
		}
	}
	return nil
}

func (s *seen) readText(
	ctx context.Context, cancel context.CancelFunc, client *headgate.Client,
	request *headgatev1.ChatRequest, wanted line,
) error {
	pieces := 0
	for piece, err := range client.StreamText(ctx, request, grpc.Trailer(&s.trailers)) {
		if err != nil {
			return err
		}
		s.add(0, piece)
		if pieces++; pieces == wanted.Cancel["deltas"] {
			cancel()
		}
	}
	return nil
}

func (s *seen) keep(message proto.Message) error {
	data, err := proto.Marshal(message)
	s.Messages = append(s.Messages, data)
	return err
}

// count adds the event to the runs, and returns its name.
func (s *seen) count(event *headgatev1.StreamChatResponse) string {
	message, name := event.ProtoReflect(), ""
	if field := message.WhichOneof(message.Descriptor().Oneofs().ByName("event")); field != nil {
		name = string(field.Name())
	}
	s.counts[name]++
	if last := len(s.Events) - 1; last >= 0 && s.Events[last][0] == name {
		s.Events[last][1] = s.Events[last][1].(int) + 1
	} else {
		s.Events = append(s.Events, eventRun{name, 1})
	}
	return name
}

func (s *seen) add(choice int32, content string) {
	if content != "" {
		s.Text[choice] += content
	}
}

// end notes how the call ended.
func (s *seen) end(err error) {
	var failed *headgate.Error
	if errors.As(err, &failed) {
		s.Message, s.Reason, s.Metadata = failed.GRPCStatus().Message(), failed.Reason, failed.Metadata
		s.trailers = failed.Trailers
		if delay, known := failed.RetryAfter(); known {
			rounded := delay.Round(time.Millisecond).Milliseconds()
			s.RetryDelayMS = &rounded
		}
		for _, wrong := range failed.Violations {
			s.Violations = append(s.Violations, [2]string{wrong.Field, wrong.Description})
		}
		s.Code = code.Code(failed.Code()).String()
	} else if err != nil {
		s.Code, s.Message = code.Code_UNKNOWN.String(), err.Error()
	}
	for name, values := range s.trailers {
		if strings.HasPrefix(name, "headgate-") || name == "x-request-id" || name == "grpc-retry-pushback-ms" {
			s.Trailers[name] = values[0]
		}
	}
}
