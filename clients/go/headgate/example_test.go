package headgate_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"headgate.dev/go/headgate"
	"headgate.dev/go/headgatev1"
)

func ExampleClient_StreamText() {
	client, err := headgate.NewClient(headgate.DefaultTarget)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for piece, err := range client.StreamText(ctx, headgate.Ask("Tell me a story")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(piece)
	}
}

func ExampleError() {
	answer := func(ctx context.Context, client *headgate.Client) error {
		response, err := client.Chat(ctx, headgate.Ask("Hello"))
		var failed *headgate.Error
		switch {
		case err == nil:
			fmt.Println(headgate.Text(response))
		case errors.Is(err, context.DeadlineExceeded):
			return errors.New("it took too long")
		case errors.As(err, &failed) &&
			failed.ReasonCode() == headgatev1.ErrorReason_ERROR_REASON_QUEUE_FULL:
			wait, _ := failed.RetryAfter()
			return fmt.Errorf("come again in %v: %w", wait, err)
		}
		return err
	}
	_ = answer
}
