package webhooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/postgres/auditlog"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/redact"
)

// endpointColumns are the columns that scanEndpoint reads, in its order.
const endpointColumns = `endpoint.id::text, endpoint.tenant, endpoint.url, endpoint.description, endpoint.states, endpoint.labels,
	endpoint.rate_limit, endpoint.secret, endpoint.previous_secret, endpoint.previous_expire_time, endpoint.disabled,
	endpoint.disable_time, endpoint.failures, endpoint.failing_time, endpoint.paused_until, endpoint.create_time, endpoint.update_time`

func scanEndpoint(row pgx.CollectableRow) (notify.Endpoint, error) {
	var e notify.Endpoint
	var disabled *notify.DisableReason
	var previous, disable, failing, paused *time.Time
	err := row.Scan(&e.ID, &e.Tenant, &e.URL, &e.Description, &e.States, &e.Labels, &e.RateLimit, &e.Secrets.Current,
		&e.Secrets.Previous, &previous, &disabled, &disable, &e.Failures, &failing, &paused, &e.CreateTime, &e.UpdateTime)
	e.Secrets.PreviousExpire, e.Disabled, e.DisableTime = value(previous), value(disabled), value(disable)
	e.FailingTime, e.PausedUntil = value(failing), value(paused)
	return e, err
}

// lockEndpoints makes the creations of a tenant's endpoints follow each other, so that their number is exact.
const lockEndpoints = `SELECT pg_advisory_xact_lock(hashtextextended('refract.webhook.endpoint.' || $1, 0))`

// insertEndpoint is a statement of its own, since one that waited for the lock would count in a snapshot from before it.
const insertEndpoint = `
INSERT INTO webhook_endpoint AS endpoint (id, tenant, url, description, states, labels, rate_limit, secret, previous_secret, previous_expire_time)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
WHERE (SELECT count(*) FROM webhook_endpoint WHERE tenant = $2 AND delete_time IS NULL) < $11
RETURNING ` + endpointColumns

// CreateEndpoint implements api.WebhookEndpoints.
func (s *Store) CreateEndpoint(ctx context.Context, e notify.Endpoint) (notify.Endpoint, error) {
	var created notify.Endpoint
	err := dbpool.Transact(ctx, timeout, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, byIndex); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, lockEndpoints, e.Tenant); err != nil {
				return err
			}
			rows, err := tx.Query(ctx, insertEndpoint, e.ID, e.Tenant, e.URL, e.Description, states(e), labels(e), e.RateLimit, e.Secrets.Current,
				e.Secrets.Previous, dbpool.Optional(e.Secrets.PreviousExpire), notify.MaxEndpoints)
			if err != nil {
				return err
			}
			if created, err = pgx.CollectExactlyOneRow(rows, scanEndpoint); err != nil {
				return err
			}
			return auditlog.Record(ctx, tx, recordedChange("create", created.Tenant, created.ID, nil, &created))
		})
	})
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.ConstraintName == "webhook_endpoint_tasks" {
		err = notify.ErrEndpointLimit
	}
	if err = dbpool.NotFound(err, notify.ErrEndpointLimit); err != nil {
		return created, fmt.Errorf("insert a webhook endpoint: %w", err)
	}
	return created, nil
}

func states(e notify.Endpoint) []string {
	states := make([]string, len(e.States))
	for i, s := range e.States {
		states[i] = string(s)
	}
	return states
}

func labels(e notify.Endpoint) map[string]string {
	if e.Labels == nil {
		return map[string]string{} // And not JSON's null.
	}
	return e.Labels
}

const selectEndpoint = `
SELECT ` + endpointColumns + `
FROM webhook_endpoint AS endpoint
WHERE id = $1 AND tenant = $2 AND delete_time IS NULL`

// Endpoint implements api.WebhookEndpoints.
func (s *Store) Endpoint(ctx context.Context, tenant string, id notify.EndpointID) (notify.Endpoint, error) {
	rows, err := s.pool.Query(ctx, selectEndpoint, id, tenant)
	if err != nil {
		return notify.Endpoint{}, fmt.Errorf("read webhook endpoint %s: %w", id, err)
	}
	e, err := pgx.CollectExactlyOneRow(rows, scanEndpoint)
	if err = dbpool.NotFound(err, notify.ErrEndpointNotFound); err != nil {
		return e, fmt.Errorf("read webhook endpoint %s: %w", id, err)
	}
	return e, nil
}

// selectEndpoints needs no pages: a tenant has at most notify.MaxEndpoints.
const selectEndpoints = `
SELECT ` + endpointColumns + `
FROM webhook_endpoint AS endpoint
WHERE tenant = $1 AND delete_time IS NULL
ORDER BY create_time, id`

// Endpoints implements api.WebhookEndpoints.
func (s *Store) Endpoints(ctx context.Context, tenant string) ([]notify.Endpoint, error) {
	rows, err := s.pool.Query(ctx, selectEndpoints, tenant)
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanEndpoint)
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints: %w", err)
	}
	return all, nil
}

// updateEndpoint dates by the clock of the database what began with the change: that the endpoint is disabled.
const updateEndpoint = `
UPDATE webhook_endpoint AS endpoint
SET url = $2, description = $3, states = $4, labels = $5, rate_limit = $6, secret = $7, previous_secret = $8, previous_expire_time = $9,
    disabled = $10, disable_time = CASE WHEN $10 = disabled THEN disable_time WHEN $10 IS NOT NULL THEN now() END,
    failures = $11, failing_time = CASE WHEN $11 > 0 THEN coalesce(failing_time, now()) END, paused_until = $12, update_time = now()
WHERE id = $1
RETURNING ` + endpointColumns

// ChangeEndpoint implements api.WebhookEndpoints. The transaction locks the row of the endpoint and nothing else. Claims pass over an
// endpoint with a rate limit meanwhile.
func (s *Store) ChangeEndpoint(
	ctx context.Context, tenant string, id notify.EndpointID, change func(*notify.Endpoint) error,
) (notify.Endpoint, error) {
	var e notify.Endpoint
	var enabled bool
	err := dbpool.Transact(ctx, timeout, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, selectEndpoint+` FOR UPDATE`, id, tenant)
			if err != nil {
				return err
			}
			if e, err = pgx.CollectExactlyOneRow(rows, scanEndpoint); err != nil {
				return dbpool.NotFound(err, notify.ErrEndpointNotFound)
			}
			before := e
			before.Labels = maps.Clone(e.Labels)
			if err := change(&e); err != nil {
				return err
			}
			enabled = before.Disabled != "" && e.Disabled == ""
			rows, err = tx.Query(ctx, updateEndpoint, id, e.URL, e.Description, states(e), labels(e), e.RateLimit, e.Secrets.Current,
				e.Secrets.Previous, dbpool.Optional(e.Secrets.PreviousExpire), dbpool.Optional(e.Disabled), e.Failures, dbpool.Optional(e.PausedUntil))
			if err != nil {
				return err
			}
			if e, err = pgx.CollectExactlyOneRow(rows, scanEndpoint); err != nil {
				return err
			}
			verb := "update"
			if !bytes.Equal(before.Secrets.Current, e.Secrets.Current) {
				verb = "rotate_secret"
			}
			return auditlog.Record(ctx, tx, recordedChange(verb, tenant, id, &before, &e))
		})
	})
	if err != nil {
		return notify.Endpoint{}, fmt.Errorf("change webhook endpoint %s: %w", id, err)
	}
	if enabled {
		s.wake() // Deliveries that were pending before are continued.
	}
	return e, nil
}

const deleteEndpoint = `
UPDATE webhook_endpoint AS endpoint
SET delete_time = now()
WHERE id = $1 AND tenant = $2 AND delete_time IS NULL
RETURNING ` + endpointColumns

// DeleteEndpoint implements api.WebhookEndpoints.
func (s *Store) DeleteEndpoint(ctx context.Context, tenant string, id notify.EndpointID) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, deleteEndpoint, id, tenant)
		if err != nil {
			return err
		}
		deleted, err := pgx.CollectExactlyOneRow(rows, scanEndpoint)
		if err != nil {
			return dbpool.NotFound(err, notify.ErrEndpointNotFound)
		}
		return auditlog.Record(ctx, tx, recordedChange("delete", tenant, id, &deleted, nil))
	})
	if err != nil {
		return fmt.Errorf("delete webhook endpoint %s: %w", id, err)
	}
	return nil
}

// recordedChange returns what the audit log records of a change of an endpoint.
func recordedChange(verb, tenant string, id notify.EndpointID, before, after *notify.Endpoint) audit.Change {
	c := audit.Change{Action: "webhook_endpoint." + verb, Target: string(id), Tenant: tenant}
	if before != nil {
		c.Before = endpointValues(before)
	}
	if after != nil {
		c.After = endpointValues(after)
	}
	return c
}

// endpointValues returns what the audit log records of an endpoint: no secret, and of its URL only the host, since its path may be one.
func endpointValues(e *notify.Endpoint) map[string]any {
	values := map[string]any{
		"url": redact.Words(e.URL), "description": e.Description, "states": states(*e), "labels": labels(*e), "rate_limit": e.RateLimit,
	}
	if e.Disabled != "" {
		values["disabled"] = e.Disabled
	}
	if !e.Secrets.PreviousExpire.IsZero() {
		values["previous_secret_expire_time"] = e.Secrets.PreviousExpire.UTC()
	}
	return values
}
