package retention

import (
	"fmt"
	"time"
)

// Periods are how long things are kept; 0 means without an end. A tenant's own periods come before them.
type Periods struct {
	Outputs   time.Duration // After they were saved.
	Sources   time.Duration // After their last use.
	Callbacks time.Duration // After they came.
	Tasks     time.Duration // After their last change, once they are terminal.
	Audit     time.Duration // The events of the audit log, which no tenant's own periods change.
}

// The shortest times for which things are kept. Providers have links to sources for a day, and attempts count
// against the rate windows of their accounts.
const (
	MinPeriod          = time.Hour
	MinSourcesAndTasks = 24 * time.Hour
	MinAudit           = 30 * 24 * time.Hour
)

// Check refuses times that are too short.
func (k Periods) Check() error {
	for _, c := range []struct {
		name        string
		keep, least time.Duration
	}{
		{"outputs", k.Outputs, MinPeriod},
		{"sources", k.Sources, MinSourcesAndTasks},
		{"callbacks", k.Callbacks, MinPeriod},
		{"tasks", k.Tasks, MinSourcesAndTasks},
		{"the events of the audit log", k.Audit, MinAudit},
	} {
		if c.keep != 0 && c.keep < c.least {
			return fmt.Errorf("%s can be kept for %s at least, or for ever with 0, not for %s", c.name, c.least, c.keep)
		}
	}
	return nil
}

// Kind is a kind of things that are kept for a time and then removed.
type Kind string

// The kinds of things that expire.
const (
	OutputKind       Kind = "output"
	SourceKind       Kind = "source"
	UploadKind       Kind = "upload" // Of a source, finished or given up.
	CallbackKind     Kind = "callback"
	TaskKind         Kind = "task"
	DeliveryKind     Kind = "delivery" // Of a webhook, which every tenant keeps for the same time.
	AuditKind        Kind = "audit"    // An event of the audit log.
	UnreferencedKind Kind = "orphan"   // A file that no row names, which a process that died left behind.
)

// Kinds are all kinds that have rows with a period of their tenant, in the order in which they are removed: a task takes what is left of its own with it.
var Kinds = []Kind{OutputKind, SourceKind, UploadKind, CallbackKind, TaskKind}

// Candidate is a thing that is old enough to be removed under the periods of some tenant. Which fields name it depends on the kind.
type Candidate struct {
	At     time.Time // The time from which it is kept.
	ID     string
	Part   int64
	Tenant string
	Bytes  int64 // What its removal frees in the bucket, or in the database for a callback.
	Old    bool  // Whether it is old under the strictest terms; when nothing in a batch is, nothing behind it is.
	Due    bool  // Whether it is to be removed: old under its tenant's terms, and not in use.
}

// Removed says how much was removed.
type Removed struct {
	Rows  int64
	Bytes int64
}

// Add adds more to it.
func (r *Removed) Add(more Removed) {
	r.Rows += more.Rows
	r.Bytes += more.Bytes
}

// PeriodChanges are changes of a tenant's periods, by kind: outputs, sources, callbacks and
// tasks. What is not in it stays as it is; nil goes back to the default's time, and 0 means without an end.
type PeriodChanges map[Kind]*time.Duration

// Check refuses times that are too short.
func (c PeriodChanges) Check() error {
	kept := func(kind Kind) time.Duration {
		if d := c[kind]; d != nil {
			return *d
		}
		return 0
	}
	k := Periods{
		Outputs: kept(OutputKind), Sources: kept(SourceKind), Callbacks: kept(CallbackKind), Tasks: kept(TaskKind),
	}
	return k.Check()
}
