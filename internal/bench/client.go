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

// SubmitFirst submits one task to a service without authentication, on a connection of its own.
func SubmitFirst(ctx context.Context, address string) error {
	return withClient(ctx, address, "", func(ctx context.Context, client refractv1.TaskServiceClient) error {
		_, err := client.SubmitTask(ctx, submissionOf("the first", "https://example.com/clip.mp4"))
		return err
	})
}

// Save modifies a clip and returns how long its result took to be saved: from the event that the result is there to the event
// that it is in the bucket.
func Save(ctx context.Context, address, token, source string) (took time.Duration, err error) {
	err = withClient(ctx, address, token, func(ctx context.Context, client refractv1.TaskServiceClient) (err error) {
		took, err = saved(ctx, client, source)
		return err
	})
	return took, err
}

func saved(ctx context.Context, client refractv1.TaskServiceClient, source string) (time.Duration, error) {
	resp, err := client.SubmitTask(ctx, submissionOf("a large result", source))
	if err != nil {
		return 0, err
	}
	stream, err := client.WatchTask(ctx, &refractv1.WatchTaskRequest{TaskId: resp.GetTask().GetId()})
	if err != nil {
		return 0, err
	}
	var began time.Time
	for {
		m, err := stream.Recv()
		if err != nil {
			return 0, err
		}
		switch e := m.GetEvent(); e.GetState() {
		case refractv1.TaskState_TASK_STATE_SAVING:
			began = e.GetCreateTime().AsTime()
		case refractv1.TaskState_TASK_STATE_SUCCEEDED:
			return e.GetCreateTime().AsTime().Sub(began), nil
		case refractv1.TaskState_TASK_STATE_FAILED:
			return 0, fmt.Errorf("the task failed: %s", e.GetMessage())
		default:
		}
	}
}

// EveryEvent are the types of all events of tasks.
var EveryEvent = []refractv1.WebhookEventType{
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_QUEUED,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_RUNNING,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_SAVING,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_SUCCEEDED,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_CANCELED,
}

// WithEndpoint creates a webhook endpoint, calls a function with its id, and deletes it.
func WithEndpoint(ctx context.Context, address, token string, endpoint *refractv1.CreateWebhookEndpointRequest, do func(ctx context.Context, id string) error) error {
	return withConn(ctx, address, token, func(calls context.Context, conn *grpc.ClientConn) (err error) {
		client := refractv1.NewWebhookServiceClient(conn)
		created, err := client.CreateWebhookEndpoint(calls, endpoint)
		if err != nil {
			return err
		}
		id := created.GetEndpoint().GetId()
		defer func() {
			_, deleted := client.DeleteWebhookEndpoint(calls, &refractv1.DeleteWebhookEndpointRequest{EndpointId: id})
			err = errors.Join(err, deleted)
		}()
		return do(ctx, id)
	})
}

// withClient connects to a service for one function. An empty token sends none.
func withClient(ctx context.Context, address, token string, do func(context.Context, refractv1.TaskServiceClient) error) error {
	return withConn(ctx, address, token, func(ctx context.Context, conn *grpc.ClientConn) error {
		return do(ctx, refractv1.NewTaskServiceClient(conn))
	})
}

func withConn(ctx context.Context, address, token string, do func(context.Context, *grpc.ClientConn) error) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("prepare the connection to %s: %w", address, err)
	}
	defer conn.Close()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return do(ctx, conn)
}

// submissionOf returns a submission with a request id of its own.
func submissionOf(prompt, source string) *refractv1.SubmitTaskRequest {
	return &refractv1.SubmitTaskRequest{
		RequestId: uuid.NewString(), Prompt: prompt,
		Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: source}},
	}
}
