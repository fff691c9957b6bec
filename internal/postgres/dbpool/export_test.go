package dbpool

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PatientFor is Patient with another limit.
var PatientFor = patientFor

// ConnectTimeoutOf returns how long a connect may take with a context.
func ConnectTimeoutOf(ctx context.Context, databaseURL string) (time.Duration, error) {
	c, err := configure(databaseURL, statementTimeout)
	if err != nil {
		return 0, err
	}
	conn := c.pool.ConnConfig.Copy()
	err = c.pool.BeforeConnect(ctx, conn)
	return conn.ConnectTimeout, err
}

// OpenWithin is Open with another deadline for statements.
var OpenWithin = open

// SetCalm sets for how long a full disk must have refused nothing.
func SetCalm(pool *pgxpool.Pool, d time.Duration) {
	s := StateOf(pool)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = d
}
