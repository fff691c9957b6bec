package expiry

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// permitRemoval is what the trigger of the audit log asks for, until the end of the transaction.
const permitRemoval = `SELECT set_config('refract.audit_retention', 'on', true)`

// removeAuditEvents removes a bounded number of events, the oldest first.
const removeAuditEvents = `
DELETE FROM audit_event
WHERE id IN (
    SELECT id
    FROM audit_event
    WHERE create_time < now() - make_interval(secs => $1)
    ORDER BY create_time, id
    LIMIT 1000
    FOR UPDATE SKIP LOCKED)`

// RemoveAuditEvents implements retention.Store.
func (s *Store) RemoveAuditEvents(ctx context.Context) (rows int64, err error) {
	if s.periods.Audit == 0 {
		return 0, nil
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, permitRemoval); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, removeAuditEvents, s.periods.Audit.Seconds())
		rows = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("remove audit events: %w", err)
	}
	return rows, nil
}
