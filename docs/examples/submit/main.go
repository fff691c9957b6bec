// Command submit shows how another Go service uses Refract: submit a task, follow it, use the result.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	conn, err := grpc.NewClient("127.0.0.1:9090", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := refractv1.NewTaskServiceClient(conn)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("REFRACT_TOKEN"))

	// The request id makes the call safe to repeat: one id, one task, one payment.
	submitted, err := client.SubmitTask(ctx, &refractv1.SubmitTaskRequest{
		RequestId: "order-4711",
		Prompt:    "A neon city at dusk, in the rain",
		Source: &refractv1.SubmitTaskSource{
			Location: &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/clip.mp4"},
		},
	})
	if err != nil {
		return err
	}

	// Every event arrives once and in order. A stream that breaks goes on after the newest revision seen.
	var revision int64
	for {
		event, err := follow(ctx, client, submitted.GetTask().GetId(), &revision)
		if status.Code(err) == codes.Unavailable {
			continue // A real service waits a little here.
		}
		if err != nil {
			return err
		}
		for _, output := range event.GetOutputs() {
			log.Println(output.GetDownloadUri(), output.GetSizeBytes(), output.GetSha256())
		}
		return nil
	}
}

// follow returns the event that ended the task.
func follow(ctx context.Context, client refractv1.TaskServiceClient, id string, revision *int64) (*refractv1.TaskEvent, error) {
	stream, err := client.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: id, AfterRevision: revision})
	if err != nil {
		return nil, err
	}
	var last *refractv1.TaskEvent
	for {
		update, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return nil, err
		}
		if event := update.GetEvent(); event != nil {
			last, *revision = event, event.GetRevision()
			log.Println(event.GetRevision(), event.GetState(), event.GetMessage())
		}
	}
}
