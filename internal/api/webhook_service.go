package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/task"
)

// defaultGrace is how long the secret before signs too, where RotateWebhookSecret does not say.
const defaultGrace = 24 * time.Hour

// WebhookTester posts test events.
type WebhookTester interface {
	// Test posts an event of the type webhook.test to an endpoint. A request that fails is no error, but an attempt that says why.
	Test(ctx context.Context, e notify.Endpoint) (notify.Attempt, error)
}

// TenantTasks knows which tasks a tenant has.
type TenantTasks interface {
	// HasTask returns lifecycle.ErrTaskNotFound unless the tenant has the task.
	HasTask(ctx context.Context, tenant string, id task.ID) error
}

// WebhookServiceConfig is what the webhook service works with. Every field is required.
type WebhookServiceConfig struct {
	Endpoints  WebhookEndpoints
	Deliveries WebhookDeliveries
	Tasks      TenantTasks
	Tester     WebhookTester
	Sealer     notify.Sealer
	// CheckURI returns what is wrong with the URL of an endpoint, as a sentence that does not quote it.
	CheckURI func(string) error
	Now      func() time.Time // The time of the database.
}

// WebhookService implements the contract's WebhookService.
type WebhookService struct {
	refractv1.UnimplementedWebhookServiceServer
	endpoints  WebhookEndpoints
	deliveries WebhookDeliveries
	tasks      TenantTasks
	tester     WebhookTester
	sealer     notify.Sealer
	checkURI   func(string) error
	now        func() time.Time
}

// NewWebhookService returns the webhook service.
func NewWebhookService(cfg WebhookServiceConfig) *WebhookService {
	return &WebhookService{
		endpoints: cfg.Endpoints, deliveries: cfg.Deliveries, tasks: cfg.Tasks, tester: cfg.Tester, sealer: cfg.Sealer, checkURI: cfg.CheckURI, now: cfg.Now,
	}
}

// webhookError is an error about an endpoint, or about one of its deliveries.
type webhookError struct {
	endpoint notify.EndpointID
	event    string // Empty for an error about the endpoint itself.
	err      error
}

// Error names the endpoint and the event.
func (e *webhookError) Error() string {
	if e.event == "" {
		return fmt.Sprintf("webhook endpoint %s: %v", e.endpoint, e.err)
	}
	return fmt.Sprintf("event %s of webhook endpoint %s: %v", e.event, e.endpoint, e.err)
}

// Unwrap returns the cause.
func (e *webhookError) Unwrap() error { return e.err }

func (e *webhookError) facts() map[string]string {
	facts := map[string]string{"endpoint_id": string(e.endpoint)}
	if e.event != "" {
		facts["event_id"] = e.event
	}
	return facts
}

// endpointLimitError refuses a new endpoint of a tenant that has as many as its limit.
type endpointLimitError struct{ limit int }

// Error says what to do.
func (e *endpointLimitError) Error() string {
	if e.limit == 1 {
		return "the tenant has a webhook endpoint without a URL already: rotate its secret, or delete it first"
	}
	return fmt.Sprintf("the tenant has %d webhook endpoints, which are as many as it may have: delete one first", e.limit)
}

// CreateWebhookEndpoint creates an endpoint.
func (s *WebhookService) CreateWebhookEndpoint(ctx context.Context, req *refractv1.CreateWebhookEndpointRequest) (*refractv1.CreateWebhookEndpointResponse, error) {
	if req.GetUrl() != "" {
		if err := s.checkURL(req.GetUrl()); err != nil {
			return nil, err
		}
	}
	secret, sealed, err := s.newSecret(ctx)
	if err != nil {
		return nil, err
	}
	e := notify.Endpoint{
		ID: notify.EndpointID(uuid.Must(uuid.NewV7()).String()), Tenant: tenantOf(ctx), URL: req.GetUrl(), Description: req.GetDescription(),
		States: eventStates(req.GetEventTypes()), Labels: labelsOf(req.GetLabels()), RateLimit: int(req.GetRateLimit()),
		Secrets: notify.Secrets{Current: sealed},
	}
	if len(e.States) == 0 {
		e.States = notify.Terminal
	}
	created, err := s.endpoints.CreateEndpoint(ctx, e)
	if errors.Is(err, notify.ErrEndpointLimit) {
		return nil, s.limitError(ctx, e)
	}
	if err != nil {
		return nil, err
	}
	return &refractv1.CreateWebhookEndpointResponse{Endpoint: s.endpoint(&created), Secret: secret}, nil
}

// limitError says which limit kept an endpoint from being created.
func (s *WebhookService) limitError(ctx context.Context, refused notify.Endpoint) error {
	if refused.URL != "" {
		return &endpointLimitError{limit: notify.MaxEndpoints}
	}
	all, err := s.endpoints.Endpoints(ctx, refused.Tenant)
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.URL == "" {
			return &endpointLimitError{limit: 1}
		}
	}
	return &endpointLimitError{limit: notify.MaxEndpoints}
}

// GetWebhookEndpoint returns an endpoint.
func (s *WebhookService) GetWebhookEndpoint(ctx context.Context, req *refractv1.GetWebhookEndpointRequest) (*refractv1.GetWebhookEndpointResponse, error) {
	e, err := s.find(ctx, endpointID(req))
	if err != nil {
		return nil, err
	}
	return &refractv1.GetWebhookEndpointResponse{Endpoint: s.endpoint(&e)}, nil
}

// ListWebhookEndpoints lists the endpoints of the tenant.
func (s *WebhookService) ListWebhookEndpoints(ctx context.Context, _ *refractv1.ListWebhookEndpointsRequest) (*refractv1.ListWebhookEndpointsResponse, error) {
	all, err := s.endpoints.Endpoints(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	resp := &refractv1.ListWebhookEndpointsResponse{}
	for i := range all {
		resp.Endpoints = append(resp.Endpoints, s.endpoint(&all[i]))
	}
	return resp, nil
}

// UpdateWebhookEndpoint changes an endpoint.
func (s *WebhookService) UpdateWebhookEndpoint(ctx context.Context, req *refractv1.UpdateWebhookEndpointRequest) (*refractv1.UpdateWebhookEndpointResponse, error) {
	if req.Url != nil {
		if err := s.checkURL(req.GetUrl()); err != nil {
			return nil, err
		}
	}
	e, err := s.change(ctx, endpointID(req), func(e *notify.Endpoint) error { return s.update(e, req) })
	if err != nil {
		return nil, err
	}
	return &refractv1.UpdateWebhookEndpointResponse{Endpoint: s.endpoint(&e)}, nil
}

// update changes the fields of an endpoint that a request has.
func (s *WebhookService) update(e *notify.Endpoint, req *refractv1.UpdateWebhookEndpointRequest) error {
	if req.Url != nil && e.URL == "" {
		return &lifecycle.FieldError{Field: "url", Message: "can't be set: the endpoint signs the events of tasks that have a webhook_uri of their own"}
	}
	if req.Url != nil && e.URL != req.GetUrl() {
		e.URL = req.GetUrl()
		resume(e) // Another receiver did not fail yet.
	}
	if req.Description != nil {
		e.Description = req.GetDescription()
	}
	if states := eventStates(req.GetEventTypes()); len(states) > 0 {
		e.States = states
	}
	if req.GetLabels() != nil {
		e.Labels = labelsOf(req.GetLabels().GetLabels())
	}
	if req.RateLimit != nil {
		e.RateLimit = int(req.GetRateLimit())
	}
	switch {
	case req.Enabled == nil:
	case req.GetEnabled():
		e.Disabled, e.DisableTime = "", time.Time{}
		resume(e)
	case e.Disabled == "": // One that is disabled keeps its reason.
		e.Disabled, e.DisableTime = notify.DisabledByCaller, s.now()
	}
	return nil
}

// resume ends the pause of an endpoint, and the failures in a row that led to it.
func resume(e *notify.Endpoint) {
	e.Failures, e.FailingTime, e.PausedUntil = 0, time.Time{}, time.Time{}
}

// DeleteWebhookEndpoint deletes an endpoint.
func (s *WebhookService) DeleteWebhookEndpoint(ctx context.Context, req *refractv1.DeleteWebhookEndpointRequest) (*refractv1.DeleteWebhookEndpointResponse, error) {
	id := endpointID(req)
	if err := s.endpoints.DeleteEndpoint(ctx, tenantOf(ctx), id); err != nil {
		return nil, &webhookError{endpoint: id, err: err}
	}
	return &refractv1.DeleteWebhookEndpointResponse{}, nil
}

// RotateWebhookSecret gives an endpoint a new secret.
func (s *WebhookService) RotateWebhookSecret(ctx context.Context, req *refractv1.RotateWebhookSecretRequest) (*refractv1.RotateWebhookSecretResponse, error) {
	grace := defaultGrace
	if req.GetGracePeriod() != nil {
		grace = req.GetGracePeriod().AsDuration()
	}
	secret, sealed, err := s.newSecret(ctx)
	if err != nil {
		return nil, err
	}
	e, err := s.change(ctx, endpointID(req), func(e *notify.Endpoint) error {
		rotated := notify.Secrets{Current: sealed}
		if grace > 0 {
			rotated.Previous, rotated.PreviousExpire = e.Secrets.Current, s.now().Add(grace)
		}
		e.Secrets = rotated
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &refractv1.RotateWebhookSecretResponse{Endpoint: s.endpoint(&e), Secret: secret}, nil
}

// SendTestWebhook posts a test event.
func (s *WebhookService) SendTestWebhook(ctx context.Context, req *refractv1.SendTestWebhookRequest) (*refractv1.SendTestWebhookResponse, error) {
	e, err := s.find(ctx, endpointID(req))
	if err != nil {
		return nil, err
	}
	if e.URL == "" {
		return nil, &lifecycle.FieldError{Field: "endpoint_id", Message: "is an endpoint without a URL, which can't be tested: submit a task with a webhook_uri"}
	}
	attempt, err := s.tester.Test(ctx, e)
	if err != nil {
		return nil, &webhookError{endpoint: e.ID, err: err}
	}
	return &refractv1.SendTestWebhookResponse{Attempt: webhookAttempt(&attempt)}, nil
}

// find returns an endpoint of the caller.
func (s *WebhookService) find(ctx context.Context, id notify.EndpointID) (notify.Endpoint, error) {
	e, err := s.endpoints.Endpoint(ctx, tenantOf(ctx), id)
	if err != nil {
		return e, &webhookError{endpoint: id, err: err}
	}
	return e, nil
}

// change changes an endpoint of the caller.
func (s *WebhookService) change(ctx context.Context, id notify.EndpointID, change func(*notify.Endpoint) error) (notify.Endpoint, error) {
	e, err := s.endpoints.ChangeEndpoint(ctx, tenantOf(ctx), id, func(e *notify.Endpoint) error {
		e.UpdateTime = s.now()
		return change(e)
	})
	if err != nil {
		return e, &webhookError{endpoint: id, err: err}
	}
	return e, nil
}

// checkURL refuses a URL that is not public. The guard of each request checks where its name leads.
func (s *WebhookService) checkURL(url string) error {
	if err := s.checkURI(url); err != nil {
		return &lifecycle.FieldError{Field: "url", Message: err.Error()}
	}
	return nil
}

// newSecret returns a new secret, and its key as it is stored.
func (s *WebhookService) newSecret(ctx context.Context) (secret string, sealed []byte, err error) {
	secret, key := notify.NewSecret()
	sealed, err = notify.Seal(ctx, s.sealer, key)
	return secret, sealed, err
}

// endpointID returns the id in a request, in the spelling of the database. The contract accepts capitals.
func endpointID(req interface{ GetEndpointId() string }) notify.EndpointID {
	return notify.EndpointID(strings.ToLower(req.GetEndpointId()))
}

// labelsOf returns labels that are never nil.
func labelsOf(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}
