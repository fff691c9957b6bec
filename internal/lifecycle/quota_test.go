package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/tenants"
)

// submitAtOnce makes n submissions at the same time and returns how many were accepted. Every other must have been
// refused for the quota.
func (s service) submitAtOnce(t *testing.T, tenant string, n int, want tenants.Quota) int {
	t.Helper()
	accepted := 0
	for _, err := range atOnce(t.Context(), n, func(ctx context.Context, _ int) error {
		_, err := s.Submit(ctx, tenant, newID(), plain())
		return err
	}) {
		if err == nil {
			accepted++
			continue
		}
		if qe, ok := errors.AsType[*tenants.QuotaError](err); !ok || qe.Quota != want || qe.Tenant != tenant || qe.Retry <= 0 {
			t.Errorf("Submit = %v, want a QuotaError for %s with a time to retry", err, want)
		}
	}
	return accepted
}

func TestSubmit_QuotasAreExactUnderConcurrency(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.exec(t, `INSERT INTO tenant (tenant, max_queued, max_per_day) VALUES ('films', 7, 10), ('', NULL, 3), ('free', NULL, NULL)`)
	if n := s.submitAtOnce(t, "films", 30, tenants.QuotaQueued); n != 7 {
		t.Errorf("%d submissions were accepted, want 7", n)
	}
	s.admit(t)
	if n := s.submitAtOnce(t, "films", 30, tenants.QuotaPerDay); n != 3 {
		t.Errorf("%d more submissions were accepted, want the 3 that the day leaves", n)
	}
	if n := s.submitAtOnce(t, "anyone", 10, tenants.QuotaPerDay); n != 3 {
		t.Errorf("%d submissions of a tenant without a row were accepted, want the default quota of 3", n)
	}
	if n := s.submitAtOnce(t, "free", 20, ""); n != 20 {
		t.Errorf("%d submissions of a tenant without quotas were accepted, want all 20", n)
	}
}

// TestSubmit_QuotasAreExactWhenSubmissionsOverlap holds a submission up before its commit until another one has begun.
func TestSubmit_QuotasAreExactWhenSubmissionsOverlap(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.exec(t, `INSERT INTO tenant (tenant, max_queued, max_per_day) VALUES ('films', 1, 10)`)
	s.exec(t, `INSERT INTO tenant_day SELECT 'films', (now() AT TIME ZONE 'UTC')::date + day, 0 FROM generate_series(0, 1) AS day`) // Midnight may pass.
	held := postgrestest.Begin(t, s.pool)
	if _, err := held.Exec(t.Context(), "SELECT FROM tenant_day FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	submitted := make(chan error, 2)
	for i := range cap(submitted) {
		go func() {
			_, err := s.Submit(t.Context(), "films", newID(), plain())
			submitted <- err
		}()
		postgrestest.Until(t, func() bool { return query[int](t, s, waiting) == i+1 })
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for range cap(submitted) {
		err := <-submitted
		if qe, ok := errors.AsType[*tenants.QuotaError](err); err == nil {
			accepted++
		} else if !ok || qe.Quota != tenants.QuotaQueued {
			t.Errorf("Submit = %v, want a QuotaError for %s", err, tenants.QuotaQueued)
		}
	}
	if accepted != 1 {
		t.Errorf("%d submissions were accepted, want 1", accepted)
	}
}

func TestSubmit_QuotasComeBack(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.exec(t, `INSERT INTO tenant (tenant, max_queued, max_per_day) VALUES ('films', 1, 2)`)
	first := s.submit(t, plain())
	if n := s.submitAtOnce(t, "films", 1, tenants.QuotaQueued); n != 0 {
		t.Error("a second task was queued")
	}
	if _, err := s.Cancel(t.Context(), "films", first.ID); err != nil {
		t.Fatal(err)
	}
	s.submit(t, plain())
	s.exec(t, "UPDATE tenant SET max_queued = NULL")
	_, err := s.Submit(t.Context(), "films", newID(), plain())
	if qe, ok := errors.AsType[*tenants.QuotaError](err); !ok || qe.Quota != tenants.QuotaPerDay || qe.Retry > 24*time.Hour {
		t.Errorf("Submit = %v, want a QuotaError until tomorrow", err)
	}
	s.exec(t, "UPDATE tenant_day SET day = day - 1")
	s.submit(t, plain())
}

// What was accepted is answered again, whatever has become of the quota.
func TestSubmit_RepeatedCallNeedsNoQuota(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.exec(t, `INSERT INTO tenant (tenant, max_queued) VALUES ('films', 1)`)
	first, err := s.Submit(t.Context(), "films", "order-1", plain())
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Submit(t.Context(), "films", "order-1", plain())
	if err != nil || again.ID != first.ID {
		t.Errorf("a repeated Submit = %s, %v, want %s", again.ID, err, first.ID)
	}
	other := plain()
	other.Prompt = "make it rain"
	_, err = s.Submit(t.Context(), "films", "order-1", other)
	if _, ok := errors.AsType[*lifecycle.ConflictError](err); !ok {
		t.Errorf("a conflicting Submit = %v, want a ConflictError", err)
	}
}
