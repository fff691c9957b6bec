package client_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/sim"
)

// A video of this machine is uploaded, modified and downloaded.
func Example() {
	ctx := context.Background()
	address, token := service()
	c, err := client.Dial(address, client.WithToken(token)) // Elsewhere than on this machine, also client.WithTLS(nil).
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	clip := bytes.NewReader(sim.SampleClip()) // Or an *os.File.
	uploaded, err := c.Upload(ctx, clip)
	if err != nil {
		log.Fatal(err)
	}
	task, err := c.Submit(ctx, &refractv1.SubmitTaskRequest{
		RequestId: "order-4710", // One id, one task, one payment: a lost answer is no reason to pay again.
		Prompt:    "A neon city at dusk, in the rain",
		Source:    client.SourceID(uploaded.GetSource().GetId()),
	})
	if err != nil {
		log.Fatal(err)
	}
	task, err = c.Wait(ctx, task.GetId())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.GetState())

	folder, err := os.MkdirTemp("", "refract-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	for i, output := range task.GetOutputs() {
		path := filepath.Join(folder, fmt.Sprintf("result-%d.mp4", i))
		if err := c.Download(ctx, output, path); err != nil {
			log.Fatal(err)
		}
		fmt.Println(filepath.Base(path), output.GetContentType())
	}
	// Output:
	// TASK_STATE_SUCCEEDED
	// result-0.mp4 video/mp4
}

// The same request id returns the same task, so a submission whose answer was lost is repeated safely.
func ExampleClient_Submit() {
	ctx := context.Background()
	c := dial()
	defer c.Close()
	req := &refractv1.SubmitTaskRequest{
		RequestId: "order-4711",
		Prompt:    "A neon city at dusk, in the rain",
		Source:    client.SourceURI("https://example.com/clip.mp4"),
		Labels:    map[string]string{"film": "7"},
	}
	first, err := c.Submit(ctx, req)
	if err != nil {
		log.Fatal(err)
	}
	second, err := c.Submit(ctx, req)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.GetId() == second.GetId())

	req.Prompt = "Another prompt under the same id"
	_, err = c.Submit(ctx, req)
	fmt.Println(client.Reason(err), client.Transient(err))
	// Output:
	// true
	// REQUEST_ID_CONFLICT false
}

// A clip that the service has is not sent again.
func ExampleClient_Upload() {
	ctx := context.Background()
	c := dial()
	defer c.Close()
	clip := sim.TinyClip()
	for range 2 {
		resp, err := c.Upload(ctx, bytes.NewReader(clip), client.OnProgress(func(done, total int64) {
			fmt.Println("sent", done == total)
		}))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.GetSource().GetContentType(), resp.GetDuplicate())
	}
	// Output:
	// sent true
	// video/mp4 false
	// video/mp4 true
}

// Every change arrives once and in order, across restarts of the service.
func ExampleClient_Watch() {
	ctx := context.Background()
	c := dial()
	defer c.Close()
	task, err := c.Submit(ctx, &refractv1.SubmitTaskRequest{
		RequestId: "order-4712", Prompt: "Snow", Source: client.SourceURI("https://example.com/clip.mp4"),
	})
	if err != nil {
		log.Fatal(err)
	}
	for update, err := range c.Watch(ctx, task.GetId(), client.AfterRevision(0)) {
		if err != nil {
			log.Fatal(err)
		}
		event := update.GetEvent()
		fmt.Println(event.GetRevision(), event.GetState())
	}
	// Output:
	// 1 TASK_STATE_QUEUED
	// 2 TASK_STATE_SUBMITTING
	// 3 TASK_STATE_RUNNING
	// 4 TASK_STATE_SAVING
	// 5 TASK_STATE_SUCCEEDED
}

// One stream follows all tasks. Its newest token, stored with what the events made the program do, continues it later.
func ExampleClient_WatchAll() {
	ctx := context.Background()
	c := dial()
	defer c.Close()
	ends := &refractv1.WatchTasksRequest{
		Labels: map[string]string{"batch": "9"},
		States: []refractv1.TaskState{refractv1.TaskState_TASK_STATE_SUCCEEDED, refractv1.TaskState_TASK_STATE_FAILED},
	}
	started, ended := false, 0
	for message, err := range c.WatchAll(ctx, ends) {
		if err != nil {
			log.Fatal(err)
		}
		ends.ResumeToken = message.GetResumeToken() // For the next call; this one resumes by itself.
		if message.GetEvent() == nil {              // A bookmark: after the first one, no event is missed.
			if !started {
				submit(ctx, c, "order-4720", map[string]string{"batch": "9"})
				submit(ctx, c, "order-4721", map[string]string{"batch": "9"})
				started = true
			}
			continue
		}
		fmt.Println(message.GetEvent().GetEvent().GetState())
		if ended++; ended == 2 {
			break
		}
	}
	fmt.Println(ends.GetResumeToken() != "")
	// Output:
	// TASK_STATE_SUCCEEDED
	// TASK_STATE_SUCCEEDED
	// true
}

// The state says how a task ended. A failure says why, and whether a retry can help.
func ExampleClient_Wait() {
	ctx := context.Background()
	c := dial()
	defer c.Close()
	task, err := c.Submit(ctx, &refractv1.SubmitTaskRequest{
		RequestId: "order-4730",
		Prompt:    "Fog [sim:code=422]", // A directive for the simulated provider, which refuses the prompt.
		Source:    client.SourceURI("https://example.com/clip.mp4"),
	})
	if err != nil {
		log.Fatal(err)
	}
	task, err = c.Wait(ctx, task.GetId())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.GetState(), task.GetFailure().GetReason(), task.GetFailure().GetPayment())
	// Output:
	// TASK_STATE_FAILED FAILURE_REASON_INPUT_REJECTED PAYMENT_NONE
}

// The file appears only after it is complete and its SHA-256 is verified.
func ExampleClient_Download() {
	ctx := context.Background()
	c := dial()
	defer c.Close()
	task, err := c.Wait(ctx, submit(ctx, c, "order-4731", nil))
	if err != nil {
		log.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "refract-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	output := task.GetOutputs()[0]
	path := filepath.Join(folder, "result.mp4")
	if err := c.Download(ctx, output, path); err != nil {
		log.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Size() == output.GetSizeBytes())
	// Output: true
}

// A receiver that has its own HTTP framework passes the headers and the body to VerifyWebhook.
func ExampleVerifyWebhook() {
	secret := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)) // In reality that of the endpoint, from the environment.
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, client.MaxWebhookBytes))
		if err != nil {
			http.Error(w, "the body cannot be read", http.StatusBadRequest)
			return
		}
		event, err := client.VerifyWebhook(r.Header, body, secret)
		if err != nil {
			fmt.Println(err)
			http.Error(w, "the webhook is refused", http.StatusBadRequest)
			return
		}
		fmt.Println(event.ID, event.Type, event.Task.GetPrompt())
		w.WriteHeader(http.StatusNoContent)
	}

	body := `{"type": "task.succeeded", "timestamp": "2026-11-30T21:43:13Z", "data": {"prompt": "Rain", "state": "TASK_STATE_SUCCEEDED"}}`
	request := post("evt_0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10_5", body, secret)
	receive(httptest.NewRecorder(), request)

	request = post("evt_0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10_5", body, secret)
	request.Header.Set("webhook-id", "evt_0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10_6")
	receive(httptest.NewRecorder(), request)
	// Output:
	// evt_0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10_5 task.succeeded Rain
	// the webhook has no signature of a known secret
}

// The handler of an endpoint stores each event once, however often it arrives.
func ExampleWebhookHandler() {
	secret := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)) // In reality that of the endpoint, from the environment.
	seen := map[string]bool{}                                                // In reality a table.
	hook, err := client.WebhookHandler(func(_ context.Context, event *client.WebhookEvent) error {
		if !seen[event.ID] {
			seen[event.ID] = true
			fmt.Println(event.Type, event.Task.GetState())
		}
		return nil
	}, secret)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /hooks/refract", hook)

	body := `{"type": "task.failed", "timestamp": "2026-11-30T21:43:13Z", "data": {"state": "TASK_STATE_FAILED"}}`
	for range 2 {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, post("evt_0199d8a2-7c11-7d3e-9a55-0c4f2e6b8d10_4", body, secret))
		fmt.Println(answer.Code)
	}
	// Output:
	// task.failed TASK_STATE_FAILED
	// 204
	// 204
}

// post returns a request as the service sends it to an endpoint.
func post(id, body, secret string) *http.Request {
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	signature, err := signer.Sign(id, now, []byte(body))
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/hooks/refract", strings.NewReader(body))
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("webhook-signature", signature)
	return request
}

// dial returns a client of the running service.
func dial() *client.Client {
	address, token := service()
	c, err := client.Dial(address, client.WithToken(token))
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// submit submits a task and returns its id.
func submit(ctx context.Context, c *client.Client, requestID string, labels map[string]string) string {
	task, err := c.Submit(ctx, &refractv1.SubmitTaskRequest{
		RequestId: requestID, Prompt: "Rain", Source: client.SourceURI("https://example.com/clip.mp4"), Labels: labels,
	})
	if err != nil {
		log.Fatal(err)
	}
	return task.GetId()
}
