package server

import (
	"time"

	"github.com/refract-video/refract/internal/retention"
)

// Retention say how long things are kept.
type Retention struct {
	KeepOutputs   time.Duration `name:"keep-outputs" env:"REFRACT_KEEP_OUTPUTS" default:"720h" help:"How long outputs are kept after they were saved, unless the tenant has a period of its own. 0 means without an end, as in the next three." json:"keep_outputs"`
	KeepSources   time.Duration `name:"keep-sources" env:"REFRACT_KEEP_SOURCES" default:"168h" help:"How long uploaded sources are kept after their last use; at least 24h." json:"keep_sources"`
	KeepCallbacks time.Duration `name:"keep-callbacks" env:"REFRACT_KEEP_CALLBACKS" default:"720h" help:"How long callbacks are kept." json:"keep_callbacks"`
	KeepTasks     time.Duration `name:"keep-tasks" env:"REFRACT_KEEP_TASKS" default:"2160h" help:"How long tasks are kept after they ended, with all that belongs to them; at least 24h." json:"keep_tasks"`
	KeepAudit     time.Duration `name:"keep-audit" env:"REFRACT_KEEP_AUDIT" default:"9600h" help:"How long the events of the audit log are kept; at least 720h, or without an end with 0." json:"keep_audit"`
	SweepOrphans  bool          `name:"sweep-orphans" env:"REFRACT_SWEEP_ORPHANS" help:"Delete files that no row names once they are 48 hours old. It says that this bucket is this database's alone, and the database not one restored from a backup." json:"sweep_orphans"`
}

// Keep are the periods as the store takes them.
func (f Retention) Keep() retention.Periods {
	return retention.Periods{Outputs: f.KeepOutputs, Sources: f.KeepSources, Callbacks: f.KeepCallbacks, Tasks: f.KeepTasks, Audit: f.KeepAudit}
}
