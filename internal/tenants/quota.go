package tenants

import (
	"fmt"
	"time"
)

// Quota is a limit of a tenant that is enforced at submit.
type Quota string

// The quotas.
const (
	QuotaQueued Quota = "max_queued"  // How many tasks may be QUEUED.
	QuotaPerDay Quota = "max_per_day" // How many tasks may be submitted in a day of UTC.
)

// QuotaError means that a tenant has used up a quota, and that nothing was submitted.
type QuotaError struct {
	Tenant string
	Quota  Quota
	Limit  int
	Retry  time.Duration // When to submit again.
}

// Error names the quota that is used up, and says what to do.
func (e *QuotaError) Error() string {
	switch e.Quota {
	case QuotaQueued:
		return fmt.Sprintf("tenant %s has %d tasks queued, which is its quota: submit again when some have gone", e.Tenant, e.Limit)
	default:
		return fmt.Sprintf("tenant %s has submitted %d tasks today, which is its quota: the next day of UTC begins in %s",
			e.Tenant, e.Limit, e.Retry.Round(time.Second))
	}
}
