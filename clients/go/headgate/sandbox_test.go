package headgate_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"headgate.dev/go/headgate"
)

// A real gateway streams text; a caller that leaves the loop frees the one slot for the next.
func TestLeavingTheLoopFreesTheSlot(t *testing.T) {
	client := sandbox(t, "--throttle.max_in_flight=1", "--sandbox.token_interval=0.5")
	for piece, err := range client.StreamText(t.Context(), headgate.Ask("Tell me a story")) {
		if err != nil || piece == "" {
			t.Fatalf("got %q, %v", piece, err)
		}
		break
	}
	// The story would take minutes; a whole answer comes at once, when it has the slot.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	response, err := client.Chat(ctx, headgate.Ask("Hello!"))
	if err != nil || headgate.Text(response) == "" {
		t.Errorf("got %q, %v", headgate.Text(response), err)
	}
}

// A real gateway names every wrong field.
func TestWrongFieldsAreNamed(t *testing.T) {
	client := sandbox(t)
	request := headgate.Ask("Hi")
	request.Temperature, request.TopP = proto.Float64(3), proto.Float64(-1)
	_, err := client.Chat(t.Context(), request)
	failed := expect(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	var fields []string
	for _, wrong := range failed.Violations {
		fields = append(fields, wrong.Field)
	}
	if strings.Join(fields, " ") != "temperature top_p" {
		t.Errorf("the fields are %v", fields)
	}
}

// sandbox is a client of `headgate serve --sandbox`.
func sandbox(t *testing.T, flags ...string) *headgate.Client {
	t.Helper()
	arguments := append([]string{"serve", "--sandbox", "--profile=unlimited"}, flags...)
	command := exec.CommandContext(
		t.Context(), program(t), append(arguments, "--listen=127.0.0.1:0")...,
	)
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // the test's context has ended it by then
	client, err := headgate.NewClient(address(t, bufio.NewScanner(log)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// program is the checkout's headgate, or the one on the PATH.
func program(t *testing.T) string {
	t.Helper()
	own, err := filepath.Abs("../../../.venv/bin/headgate")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own); err == nil {
		return own
	}
	found, err := exec.LookPath("headgate")
	if err != nil {
		t.Skip("headgate is neither in .venv nor on the PATH; `pip install headgate` brings it")
	}
	return found
}

// address is where the program says that it listens; the rest of its log is drained.
func address(t *testing.T, log *bufio.Scanner) string {
	t.Helper()
	var said []string
	for log.Scan() {
		said = append(said, log.Text())
		if _, address, found := strings.Cut(log.Text(), "grpc listening on "); found {
			go func() {
				for log.Scan() {
				}
			}()
			return address
		}
	}
	t.Fatalf("headgate did not start:\n%s", strings.Join(said, "\n"))
	return ""
}
