package api

import (
	"context"
	"time"

	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/task"
)

// WebhookEndpoints are the webhook endpoints of tenants. An endpoint of another tenant is not found: notify.ErrEndpointNotFound.
type WebhookEndpoints interface {
	// CreateEndpoint stores a new endpoint. The error is notify.ErrEndpointLimit if the tenant has too many.
	CreateEndpoint(ctx context.Context, e notify.Endpoint) (notify.Endpoint, error)
	// Endpoint returns an endpoint.
	Endpoint(ctx context.Context, tenant string, id notify.EndpointID) (notify.Endpoint, error)
	// Endpoints returns all endpoints of a tenant, oldest first.
	Endpoints(ctx context.Context, tenant string) ([]notify.Endpoint, error)
	// ChangeEndpoint changes an endpoint while it is locked, and returns it. What change returns as an error ends the call.
	ChangeEndpoint(ctx context.Context, tenant string, id notify.EndpointID, change func(*notify.Endpoint) error) (notify.Endpoint, error)
	// DeleteEndpoint removes an endpoint. Nothing is claimed for it any more; retention removes its deliveries.
	DeleteEndpoint(ctx context.Context, tenant string, id notify.EndpointID) error
}

// WebhookDeliveries are deliveries as callers see and repeat them.
type WebhookDeliveries interface {
	// Deliveries lists deliveries, newest event first.
	Deliveries(ctx context.Context, f notify.DeliveryFilter) ([]notify.Delivery, error)
	// Delivery returns a delivery with its attempts, newest first, or notify.ErrDeliveryNotFound.
	Delivery(ctx context.Context, tenant string, id notify.EndpointID, event notify.EventID) (notify.Delivery, []notify.Attempt, error)
	// Redeliver begins one delivery again. With dryRun it only looks whether there is one. The error is notify.ErrDeliveryNotFound if
	// not.
	Redeliver(ctx context.Context, tenant string, id notify.EndpointID, event notify.EventID, dryRun bool) error
	// RedeliverFailed begins the failed deliveries of an endpoint again whose events happened at or after a time, oldest first, at most
	// notify.MaxRedeliveries. It returns how many there were, and whether there are more. With dryRun it only counts.
	RedeliverFailed(ctx context.Context, tenant string, id notify.EndpointID, since time.Time, dryRun bool) (n int, more bool, err error)
	// RedeliverTask sends the newest event of a task to every enabled endpoint that it matches, and returns how many those are. The
	// error is lifecycle.ErrTaskNotFound, or a *notify.TaskStateError if the task is not terminal.
	RedeliverTask(ctx context.Context, tenant string, id task.ID, dryRun bool) (n int, err error)
}
