// Command webhook receives the events of tasks as webhooks, and prints them.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/refract-video/refract/client"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	address := os.Getenv("ADDRESS")
	if address == "" {
		address = "127.0.0.1:3000"
	}
	hook, err := client.WebhookHandler(handle, os.Getenv("REFRACT_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(os.Stdout, "http://%s\n", listener.Addr()); err != nil {
		return err
	}
	server := &http.Server{Handler: hook, ReadTimeout: 15 * time.Second}
	return server.Serve(listener)
}

// handle is called at least once for each event. An error leads to another call, later.
func handle(_ context.Context, event *client.WebhookEvent) error {
	// Here: store event.ID and what follows from the event in one transaction. An id that is there already was handled.
	_, err := fmt.Fprintln(os.Stdout, event.ID, event.Type, event.Task.GetState(), len(event.Task.GetOutputs()))
	return err
}
