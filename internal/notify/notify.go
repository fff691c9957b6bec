// Package notify sends the events of tasks to the webhook endpoints of their tenants, signed as Standard Webhooks defines it.
//
// A delivery is one event for one endpoint. It is a row, committed in the transaction that changes the task, so that no event is
// lost. The package guarantees:
//
//   - An endpoint receives every event that it subscribed to at least once, until the schedule of attempts ends. A replica that dies
//     leaves its lease on a delivery to expire, after which another replica sends the event again, with the same id.
//   - The events of a task arrive at an endpoint in order: one is sent only after the one before was received or given up.
//   - A slow, hostile or dead endpoint does not affect others. Each endpoint has a bounded number of requests in progress, which
//     grows while they succeed. Each tenant has a bounded share of all requests. A circuit breaker pauses an endpoint whose requests
//     fail.
//   - No request leads to a private address or follows a redirect.
//   - The body is made when it is sent, so its download links are valid when it arrives.
//
// When the database fails, nothing is sent, and requests in progress are sent again after their lease. When an endpoint fails, its
// deliveries wait for their next attempt. When an event can't be written or signed, which is a failure of ours, it is no attempt:
// the delivery waits for the end of its lease.
package notify

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// EndpointID names an endpoint: a UUID of version 7.
type EndpointID string

// Endpoint is a URL of a tenant to which events are posted.
type Endpoint struct {
	ID     EndpointID
	Tenant string
	// URL is empty for the endpoint of the tenant's tasks that have a URI of their own.
	URL         string
	Description string
	States      []task.State      // The states of a task whose events are sent, of Subscribable.
	Labels      map[string]string // The labels that a task must have, all of them.
	RateLimit   int               // Requests per second over all replicas; 0 means no limit.
	Secrets     Secrets

	Disabled    DisableReason // Empty while it is enabled.
	DisableTime time.Time     // Zero while it is enabled.
	Failures    int           // How many requests have failed in a row.
	FailingTime time.Time     // When the first of them failed; zero if there is none.
	PausedUntil time.Time     // Until when nothing is sent; zero if nothing holds events back.

	CreateTime time.Time
	UpdateTime time.Time
}

// Secrets are the keys of an endpoint, as the keeper has encrypted them.
type Secrets struct {
	Current  []byte
	Previous []byte // Nil if there is none.
	// PreviousExpire is when the previous secret no longer signs; zero if there is none.
	PreviousExpire time.Time
}

// DisableReason says why an endpoint is disabled.
type DisableReason string

// The reasons for which an endpoint is disabled.
const (
	DisabledByCaller DisableReason = "REQUESTED" // A caller disabled it.
	DisabledGone     DisableReason = "GONE"      // It answered 410.
	DisabledFailing  DisableReason = "FAILING"   // Every request failed for MaxFailing.
)

const (
	// MaxEndpoints is how many endpoints a tenant may have.
	MaxEndpoints = 32
	// MaxFailing is for how long every request to an endpoint may fail before the endpoint is disabled.
	MaxFailing = 5 * 24 * time.Hour
	// MaxAnswer is how much of an answer is kept, in bytes.
	MaxAnswer = 4 << 10
	// MaxBody is the size of the largest body that is sent, in bytes.
	MaxBody = 64 << 10
	// MaxRedeliveries is how many deliveries one call begins again.
	MaxRedeliveries = 10_000
)

// The errors of package notify and of its store.
var (
	// ErrEndpointNotFound means that the tenant has no such endpoint.
	ErrEndpointNotFound = errors.New("webhook endpoint not found")
	// ErrEndpointLimit means that the tenant has MaxEndpoints, or an endpoint without a URL already.
	ErrEndpointLimit = errors.New("the tenant has as many webhook endpoints as it may have")
	// ErrDeliveryNotFound means that there is no such delivery, or that it is no longer kept.
	ErrDeliveryNotFound = errors.New("webhook delivery not found")
	// ErrSecretMissing means that the tenant has no endpoint without a URL, whose secret would sign the events of a task.
	ErrSecretMissing = errors.New("the tenant has no webhook endpoint without a URL")
)

// Subscribable are the states whose events can be sent.
var Subscribable = []task.State{task.Queued, task.Running, task.Saving, task.Succeeded, task.Failed, task.Canceled}

// Terminal are the states whose events are sent unless an endpoint names others.
var Terminal = []task.State{task.Succeeded, task.Failed, task.Canceled}

// EventType returns the type of the events with this state, such as task.succeeded.
func EventType(s task.State) string { return "task." + strings.ToLower(string(s)) }

// EventID names an event. It is the same at each endpoint and in each attempt.
type EventID struct {
	Task     task.ID
	Revision int64
}

// String returns the id as receivers and callers see it.
func (e EventID) String() string { return fmt.Sprintf("evt_%s_%d", e.Task, e.Revision) }

// ParseEventID reads an id that String wrote.
func ParseEventID(s string) (EventID, error) {
	parts := strings.Split(s, "_")
	if len(parts) != 3 || parts[0] != "evt" || parts[1] == "" {
		return EventID{}, fmt.Errorf("%q is not the id of an event", s)
	}
	revision, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || revision < 1 {
		return EventID{}, fmt.Errorf("%q is not the id of an event", s)
	}
	return EventID{task.ID(parts[1]), revision}, nil
}

// DeliveryState is the state of a delivery.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "PENDING"   // The event will be sent.
	DeliverySucceeded DeliveryState = "SUCCEEDED" // The endpoint answered with a 2xx status.
	DeliveryFailed    DeliveryState = "FAILED"    // Every attempt of the schedule failed.
)

// Delivery is one event for one endpoint.
type Delivery struct {
	Endpoint EndpointID
	Event    EventID

	TaskState   task.State // The state of the task after the event, which gives the event its type.
	State       DeliveryState
	Attempts    int       // Since the event happened, or was last sent again by request.
	NextAttempt time.Time // Zero unless the state is PENDING.
	EventTime   time.Time
}

// Attempt is one request to an endpoint.
type Attempt struct {
	StartTime time.Time
	Duration  time.Duration
	Status    int    // The HTTP status; 0 without an answer.
	Error     string // Why it failed, one sentence; empty if it succeeded.
	Answer    string // At most MaxAnswer bytes of valid UTF-8 without NUL.
}

// Claimed is a delivery that this replica sends now, with what its body needs.
type Claimed struct {
	Delivery

	// Target is the part of the endpoint that sending needs: ID, Tenant, URL (the task's own where the endpoint has none), Secrets,
	// RateLimit, Failures, FailingTime, PausedUntil and UpdateTime.
	Target Endpoint
	// PerTask reports whether the endpoint has no URL, so that Target.URL is that of the task.
	PerTask bool
	// Task is the task as it is now, with its attempts and outputs.
	Task task.Task
	// TaskEvent is the event. NewestAttempt is the number of the newest attempt at its revision; 0 means none.
	TaskEvent     task.Event
	NewestAttempt int
}

// Result is what one attempt did to a delivery and its endpoint.
type Result struct {
	Delivery Delivery // As it was claimed.
	Attempt  Attempt
	// EndpointUpdate is the UpdateTime of the endpoint as it was claimed. The result of a request to an endpoint that has changed since
	// changes the delivery, and not the endpoint.
	EndpointUpdate time.Time
	// State is the new state. With PENDING, the next attempt is after Retry.
	State DeliveryState
	Retry time.Duration

	// Disable, if not empty, disables the endpoint.
	Disable DisableReason
	// Pause, if not 0, pauses the endpoint for at least this long from now.
	Pause time.Duration
	// Healthy reports whether the endpoint's failures in a row end. Otherwise the attempt counts as one more.
	Healthy bool
}

// DueEndpoint is an endpoint with deliveries that may be sent now.
type DueEndpoint struct {
	ID     EndpointID
	Tenant string
	// Failures are the requests that failed in a row. An endpoint whose circuit breaker is half-open takes one request.
	Failures int
}

// Quota is how many deliveries of an endpoint a claim may take.
type Quota struct {
	Endpoint EndpointID
	Limit    int
}
