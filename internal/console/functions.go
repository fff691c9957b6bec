package console

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// functions are what templates can call.
var functions = template.FuncMap{
	"age":      func(t *timestamppb.Timestamp) age { return age{t} },
	"bytes":    formatBytes,
	"cause":    causeText,
	"entry":    menuEntry,
	"duration": func(d *durationpb.Duration) string { return formatDuration(d.AsDuration()) },
	"field":    noteField,
	"state":    stateName,
	"word":     word,
}

// age is a time that a page shows as how long ago it is.
type age struct{ t *timestamppb.Timestamp }

// Known reports whether there is a time.
func (a age) Known() bool { return a.t.IsValid() && a.t.AsTime().Unix() != 0 }

// Ahead reports whether the time is known and has not come yet.
func (a age) Ahead() bool { return a.Known() && time.Now().Before(a.t.AsTime()) }

// Exact returns the time for programs and for readers without script.
func (a age) Exact() string { return a.t.AsTime().UTC().Format(time.RFC3339) }

// Text returns how long ago the time is, or how far ahead.
func (a age) Text() string {
	d := time.Since(a.t.AsTime())
	if d < 0 {
		return "in " + formatDuration(-d)
	}
	return formatDuration(d) + " ago"
}

// formatDuration returns a duration with its two largest units that are not zero.
func formatDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour && int(d.Seconds())%60 == 0:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour && int(d.Minutes())%60 == 0:
		return fmt.Sprintf("%d h", int(d.Hours()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
}

// formatBytes returns a size in decimal units.
func formatBytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	size, unit := float64(n), 0
	for size >= 1000 && unit < len(units)-1 {
		size, unit = size/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}

func stateName(s refractv1.TaskState) string { return word("TASK_STATE_", s) }

// word returns a value of an enum without the prefix of its type, such as "SUCCEEDED".
func word(prefix string, v fmt.Stringer) string { return strings.TrimPrefix(v.String(), prefix) }

// menuItem is an entry of the menu.
type menuItem struct {
	Section, Name string
	Current       bool
}

func menuEntry(v view, section, name string) menuItem {
	return menuItem{section, name, v.Section == section}
}
