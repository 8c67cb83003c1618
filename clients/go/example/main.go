// Streams the answer to a prompt: go run ./example "Tell me a story".
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"headgate.dev/go/headgate"
)

func main() {
	client, err := headgate.NewClient(cmp.Or(os.Getenv("HEADGATE_TARGET"), headgate.DefaultTarget))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for piece, err := range client.StreamText(ctx, headgate.Ask(strings.Join(os.Args[1:], " "))) {
		if err != nil {
			log.Fatalf("%v%s", err, later(err))
		}
		fmt.Print(piece)
	}
	fmt.Println()
}

func later(err error) string {
	if failed := new(headgate.Error); errors.As(err, &failed) {
		if wait, known := failed.RetryAfter(); known {
			return fmt.Sprintf("; try again in %v", wait)
		}
	}
	return ""
}
