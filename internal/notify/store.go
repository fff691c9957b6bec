package notify

import (
	"context"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// Deliveries are the deliveries that wait to be sent, as a Sender claims and finishes them. All replicas share them.
type Deliveries interface {
	// DueEndpoints returns endpoints that are enabled, are not paused and have deliveries to send now, in the order of their ids
	// after the given one, at most limit.
	DueEndpoints(ctx context.Context, after EndpointID, limit int) ([]DueEndpoint, error)
	// Claim leases deliveries of endpoints, up to a quota for each, so that no other replica sends them for the time of the lease.
	// Of the deliveries of a task for an endpoint it takes only the earliest, and none while that one is leased. It takes no more
	// than the endpoints' rate limits allow. Its cost does not grow with the number of deliveries that wait.
	Claim(ctx context.Context, quotas []Quota, lease time.Duration) ([]Claimed, error)
	// Finish stores the results of attempts. A result whose lease has expired, and whose delivery was finished elsewhere, changes
	// nothing but the list of attempts. An endpoint that has failed for MaxFailing is disabled; Finish returns the endpoints that
	// this call disabled.
	Finish(ctx context.Context, results []Result) ([]Endpoint, error)
	// Backlog returns the number of pending deliveries, counted up to a bound, the time of the oldest event among them, or zero, and
	// the number of disabled endpoints, without those that a caller disabled.
	Backlog(ctx context.Context) (Backlog, error)
}

// Backlog is what waits to be sent, over all tenants.
type Backlog struct {
	Pending     int64     // Counted up to 1,000,001.
	OldestEvent time.Time // Of the pending deliveries of enabled endpoints; zero if there are none.
	Disabled    int64     // The endpoints that are disabled because they are gone or fail.
}

// DeliveryFilter selects deliveries of a tenant. One of Endpoint and Task is set.
type DeliveryFilter struct {
	Tenant   string
	Endpoint EndpointID // Empty means all.
	Task     task.ID    // Empty means all.
	States   []DeliveryState
	Before   *DeliveryPlace // Where the page before ended; nil means from the newest.
	Limit    int
}

// DeliveryPlace is the place of a delivery in a list: newest event first.
type DeliveryPlace struct {
	EventTime time.Time
	Event     EventID
	Endpoint  EndpointID
}

// TaskStateError means that a task is not terminal, so that there is no last event to send again.
type TaskStateError struct{ State task.State }

// Error implements error.
func (e *TaskStateError) Error() string { return "the task is not terminal: " + string(e.State) }
