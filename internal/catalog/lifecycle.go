package catalog

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// Lifecycle is when a provider withdraws a model. A date that is not set is not known.
type Lifecycle struct {
	Deprecate  Date   `yaml:"deprecate"` // From then on the provider advises against it.
	Retire     Date   `yaml:"retire"`    // From then on it is gone.
	ReplacedBy string `yaml:"replaced_by"`
}

// RetireNotice is how long before its retire date a model is warned about.
const RetireNotice = 60 * 24 * time.Hour

// Stage is where a model is in its life.
type Stage string

// The stages of a model.
const (
	Available  Stage = "available"
	Deprecated Stage = "deprecated" // It works, and its end is announced or near.
	Retired    Stage = "retired"    // It is skipped.
)

// Stage returns where the model is at a time.
func (l Lifecycle) Stage(now time.Time) Stage {
	switch {
	case l.Retire.reached(now):
		return Retired
	case l.Deprecate.reached(now), l.Ends(now):
		return Deprecated
	default:
		return Available
	}
}

// Ends reports whether the model retires within the notice, so that operators are to be warned.
func (l Lifecycle) Ends(now time.Time) bool {
	return !l.Retire.IsZero() && !now.Before(l.Retire.Add(-RetireNotice)) && !l.Retire.reached(now)
}

// Date is a day, which begins at midnight UTC.
type Date struct{ time.Time }

func (d Date) reached(now time.Time) bool { return !d.IsZero() && !now.Before(d.Time) }

// UnmarshalYAML reads a date such as 2026-08-19.
func (d *Date) UnmarshalYAML(node *yaml.Node) error {
	day, err := time.Parse(time.DateOnly, node.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a date such as 2026-08-19", node.Line, node.Value)
	}
	d.Time = day
	return nil
}

// String returns the date, or nothing where it is not known.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}
