package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

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
	conn, err := grpc.NewClient(s.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return Rate{}, fmt.Errorf("prepare the connection to %s: %w", s.Address, err)
	}
	defer conn.Close()
	client := refractv1.NewTaskServiceClient(conn)
	return drive(ctx, s.Callers, s.For, max(s.Batch, 1), func() (func(context.Context) error, func(), error) {
		return func(ctx context.Context) error {
			return s.submit(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.Token), client)
		}, func() {}, nil
	})
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

// What a submission holds, and the rows of the baseline.
const (
	prompt    = "A futuristic cityscape at night with towering glass spires reaching into a starry sky, in the rain"
	sourceURI = "https://media.example.com/clips/2026/source-of-a-typical-length-0123456789.mp4"
)

func submission() *refractv1.SubmitTaskRequest {
	return &refractv1.SubmitTaskRequest{
		RequestId: uuid.NewString(), Prompt: prompt,
		Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: sourceURI}},
		Labels: map[string]string{"team": "films"},
	}
}
