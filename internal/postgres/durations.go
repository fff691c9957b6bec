package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// selectTypicalDurations looks at the last thousand attempts that succeeded, so that a model which is hardly used costs no more. Of
// each model it takes the median of the last fifty, once there are ten.
const selectTypicalDurations = `
SELECT remote_model, extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY took))::float8
FROM (SELECT remote_model, took, row_number() OVER (PARTITION BY remote_model ORDER BY settle_time DESC) AS place
      FROM (SELECT remote_model, settle_time, settle_time - create_time AS took
            FROM attempt
            WHERE account = $1 AND state = 'SUCCEEDED' AND settle_time IS NOT NULL
            ORDER BY settle_time DESC
            LIMIT 1000) AS recent) AS placed
WHERE place <= 50 AND remote_model <> ''
GROUP BY remote_model
HAVING count(*) >= 10`

// TypicalDurations returns how long recent attempts of an account took, by what the provider calls their model. Models of which too
// few attempts are known are left out.
func (s *Tasks) TypicalDurations(ctx context.Context, account string) (map[string]time.Duration, error) {
	rows, err := s.pool.Query(ctx, selectTypicalDurations, account)
	if err != nil {
		return nil, fmt.Errorf("read how long attempts of account %s take: %w", account, err)
	}
	typical := map[string]time.Duration{}
	var model string
	var seconds float64
	_, err = pgx.ForEachRow(rows, []any{&model, &seconds}, func() error {
		typical[model] = time.Duration(seconds * float64(time.Second))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how long attempts of account %s take: %w", account, err)
	}
	return typical, nil
}
