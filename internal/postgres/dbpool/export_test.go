package dbpool

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PatientFor is Patient with another limit.
var PatientFor = patientFor

// OpenWithin is Open with another deadline for statements.
var OpenWithin = open

// SetCalm sets for how long a full disk must have refused nothing.
func SetCalm(pool *pgxpool.Pool, d time.Duration) {
	s := StateOf(pool)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = d
}
