package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Submits is a load of submissions.
type Submits struct {
	Address string // host:port of gRPC.
	Token   string // The API token.
	Callers int
	Batch   int // How many tasks a call submits; 0 means one, by SubmitTask.
	For     time.Duration
}

// Run submits tasks over one connection, as one service does. One counts when the call returned it.
func (s Submits) Run(ctx context.Context) (Rate, error) {
	var rate Rate
	err := withClient(ctx, s.Address, s.Token, func(ctx context.Context, client refractv1.TaskServiceClient) (err error) {
		rate, err = drive(ctx, s.Callers, s.For, max(s.Batch, 1), func() (func(context.Context) error, func(), error) {
			return func(ctx context.Context) error { return s.submit(ctx, client) }, func() {}, nil
		})
		return err
	})
	return rate, err
}

func (s Submits) submit(ctx context.Context, client refractv1.TaskServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if s.Batch == 0 {
		_, err := client.SubmitTask(ctx, submission())
		return err
	}
	req := &refractv1.BatchSubmitTasksRequest{}
	for range s.Batch {
		req.Requests = append(req.Requests, submission())
	}
	resp, err := client.BatchSubmitTasks(ctx, req)
	for _, r := range resp.GetResults() {
		if st := r.GetStatus(); st != nil {
			err = errors.Join(err, fmt.Errorf("an item was refused: %s", st.GetMessage()))
			break
		}
	}
	return err
}

// The prompt and the source of a submission, and of the rows of the baseline.
const (
	Prompt    = "A futuristic cityscape at night with towering glass spires reaching into a starry sky, in the rain"
	SourceURI = "https://media.example.com/clips/2026/source-of-a-typical-length-0123456789.mp4"
)

func submission() *refractv1.SubmitTaskRequest {
	req := submissionOf(Prompt, SourceURI)
	req.Labels = map[string]string{"team": "films"}
	return req
}
