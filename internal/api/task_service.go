package api

import (
	"context"
	"strings"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/statistics"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/watch"
)

// Tasks is what the service reads.
type Tasks interface {
	// Task returns a tenant's task, or lifecycle.ErrTaskNotFound.
	Task(ctx context.Context, tenant string, id task.ID) (task.Task, error)
	// HasTask returns lifecycle.ErrTaskNotFound unless the tenant has the task.
	HasTask(ctx context.Context, tenant string, id task.ID) error
	// ListTasks returns tasks, newest first. It looks at a bounded number of tasks.
	ListTasks(ctx context.Context, f task.Filter) (task.Page, error)
}

// Events has the events of tasks.
type Events interface {
	// TaskEvents returns events of a task after a revision, oldest first.
	TaskEvents(ctx context.Context, id task.ID, after int64, limit int) ([]task.Event, error)
}

// TaskServiceConfig is what the task service works with.
type TaskServiceConfig struct {
	Lifecycle *lifecycle.Lifecycle
	Tasks     Tasks
	Events    Events
	Hub       *watch.Hub
	Uploads   Uploads
	Explainer *explain.Explainer
	// Statistics has figures about the tasks of tenants.
	Statistics *statistics.Reader
	Catalog    func() *catalog.Catalog // Nil means that there are no models.
	Tokens     watch.Tokens            // Of WatchTasks.
	// Typical is how long an attempt usually takes, by provider.
	Typical map[string]time.Duration
	// SignOutput returns an address of an output that takes no credentials, and until when it works; empty where
	// there is none. Nil means that there never is.
	SignOutput func(context.Context, task.ID, task.Output) (uri string, expire time.Time)
	// Statuses answers the items of a batch.
	Statuses *Statuses
	// BaseURL is the address of the HTTP listener as callers reach it, without a slash at its end.
	BaseURL string
}

// TaskService implements the contract's TaskService.
type TaskService struct {
	refractv1.UnimplementedTaskServiceServer
	lifecycle  *lifecycle.Lifecycle
	tasks      Tasks
	events     Events
	hub        *watch.Hub
	uploads    Uploads
	explainer  *explain.Explainer
	statistics *statistics.Reader
	catalog    func() *catalog.Catalog
	tokens     watch.Tokens
	typical    map[string]time.Duration
	sign       func(context.Context, task.ID, task.Output) (string, time.Time)
	baseURL    string

	statuses *Statuses
}

// NewTaskService returns the task service.
func NewTaskService(cfg TaskServiceConfig) *TaskService {
	return &TaskService{
		lifecycle: cfg.Lifecycle, tasks: cfg.Tasks, events: cfg.Events, hub: cfg.Hub, tokens: cfg.Tokens, uploads: cfg.Uploads, explainer: cfg.Explainer, catalog: cfg.Catalog, statistics: cfg.Statistics, typical: cfg.Typical,
		sign: cfg.SignOutput, statuses: cfg.Statuses, baseURL: strings.TrimSuffix(cfg.BaseURL, "/"),
	}
}

// SubmitTask submits a task.
func (s *TaskService) SubmitTask(ctx context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
	t, err := s.lifecycle.Submit(ctx, tenantOf(ctx), req.GetRequestId(), specOf(req))
	if err != nil {
		return nil, err
	}
	return &refractv1.SubmitTaskResponse{Task: s.task(&t)}, nil
}

// GetTask returns a task and what it waits for.
func (s *TaskService) GetTask(ctx context.Context, req *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
	t, err := s.tasks.Task(ctx, tenantOf(ctx), taskID(req))
	if err != nil {
		return nil, err
	}
	w, err := s.lifecycle.Waiting(ctx, t)
	if err != nil {
		return nil, err
	}
	m := s.task(&t)
	m.Waiting = waiting(w)
	s.signOutputs(ctx, &t, m.GetOutputs())
	return &refractv1.GetTaskResponse{Task: m}, nil
}

// CancelTask cancels a task.
func (s *TaskService) CancelTask(ctx context.Context, req *refractv1.CancelTaskRequest) (*refractv1.CancelTaskResponse, error) {
	t, err := s.lifecycle.Cancel(ctx, tenantOf(ctx), taskID(req))
	if err != nil {
		return nil, err
	}
	return &refractv1.CancelTaskResponse{Task: s.task(&t)}, nil
}

// RetryTask continues a failed or canceled task.
func (s *TaskService) RetryTask(ctx context.Context, req *refractv1.RetryTaskRequest) (*refractv1.RetryTaskResponse, error) {
	t, err := s.lifecycle.Retry(ctx, tenantOf(ctx), taskID(req), req.GetNewAttempt())
	if err != nil {
		return nil, err
	}
	return &refractv1.RetryTaskResponse{Task: s.task(&t)}, nil
}

// ListTaskEvents lists the events of a task.
func (s *TaskService) ListTaskEvents(ctx context.Context, req *refractv1.ListTaskEventsRequest) (*refractv1.ListTaskEventsResponse, error) {
	after, err := parseEventPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	events, err := s.events.TaskEvents(ctx, taskID(req), after, size+1)
	if err != nil {
		return nil, err
	}
	// Read after the events, so that it has the outputs of a SUCCEEDED among them.
	t, err := s.tasks.Task(ctx, tenantOf(ctx), taskID(req))
	if err != nil {
		return nil, err
	}
	page, more := fill(events, size, func(e *task.Event) *refractv1.TaskEvent { return s.event(e, &t) })
	resp := &refractv1.ListTaskEventsResponse{Events: page}
	if more {
		resp.NextPageToken = eventPageToken(events[len(page)-1].Revision)
	}
	return resp, nil
}

// taskID returns the id in a request, in the spelling of the database. The contract accepts capitals.
func taskID(req interface{ GetTaskId() string }) task.ID {
	return task.ID(strings.ToLower(req.GetTaskId()))
}

// statesOf returns the states that a request names.
func statesOf(named []refractv1.TaskState) []task.State {
	states := make([]task.State, len(named))
	for i, state := range named {
		states[i] = task.State(strings.TrimPrefix(state.String(), "TASK_STATE_"))
	}
	return states
}

// reasonsOf returns the reasons of failure that a request names.
func reasonsOf(named []refractv1.FailureReason) []task.Reason {
	reasons := make([]task.Reason, len(named))
	for i, r := range named {
		reasons[i] = task.Reason(strings.TrimPrefix(r.String(), "FAILURE_REASON_"))
	}
	return reasons
}
