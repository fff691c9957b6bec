// Command submit shows how another Go service uses Refract: submit a task, follow it, download the result.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	c, err := client.Dial("127.0.0.1:9090", client.WithToken(os.Getenv("REFRACT_TOKEN")))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()

	// The request id makes the call safe to repeat: one id, one task, one payment.
	task, err := c.Submit(ctx, &refractv1.SubmitTaskRequest{
		RequestId: "order-4711",
		Prompt:    "A neon city at dusk, in the rain",
		Source:    client.SourceURI("https://example.com/clip.mp4"),
	})
	if err != nil {
		return err
	}

	// Every event arrives once and in order. A stream that breaks resumes by itself.
	for update, err := range c.Watch(ctx, task.GetId(), client.AfterRevision(0)) {
		if err != nil {
			return err
		}
		event := update.GetEvent()
		log.Println(event.GetRevision(), event.GetState(), event.GetMessage())
		for _, output := range event.GetOutputs() {
			// The file appears only after it is complete and its SHA-256 is verified.
			if err := c.Download(ctx, output, fmt.Sprintf("result-%d.mp4", output.GetIndex())); err != nil {
				return err
			}
		}
	}
	return nil
}
