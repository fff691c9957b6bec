package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Status is how good what a check found is.
type Status int

// The statuses. The zero value is not one of them.
const (
	OK   Status = iota + 1
	Warn        // The service works, and may fail later.
	Fail        // The service does not start, or can't do a part of its work.
	Skip        // The check was not made; what it found says why.
)

// String returns the status as reports show it.
func (s Status) String() string {
	switch s {
	case OK:
		return "OK"
	case Warn:
		return "WARN"
	case Fail:
		return "FAIL"
	case Skip:
		return "SKIP"
	default:
		return "unknown"
	}
}

// MarshalText makes JSON show the status as reports do.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Result is what a check found.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Action string `json:"action,omitempty"` // What to do about it; empty where nothing is to be done.
}

// Report has the results of all checks, in a fixed order.
type Report []Result

// Failed reports whether a check failed.
func (r Report) Failed() bool { return r.count(Fail) > 0 }

func (r Report) count(s Status) (n int) {
	for _, result := range r {
		if result.Status == s {
			n++
		}
	}
	return n
}

// Print writes a report for people: a line for each check, with the action below it, and a line with the counts.
func (r Report) Print(w io.Writer) error {
	width := 0
	for _, result := range r {
		width = max(width, len(result.Check))
	}
	var text strings.Builder
	for _, result := range r {
		fmt.Fprintf(&text, "%-4s  %-*s  %s\n", result.Status, width, result.Check, result.Found)
		if result.Action != "" {
			fmt.Fprintf(&text, "      %*s  → %s\n", width, "", result.Action)
		}
	}
	var counts []string
	for _, s := range []Status{OK, Warn, Fail, Skip} {
		if n := r.count(s); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	fmt.Fprintf(&text, "\n%s\n", strings.Join(counts, ", "))
	_, err := io.WriteString(w, text.String())
	return err
}

// PrintJSON writes a report for programs: an object with the results, and whether a check failed.
func (r Report) PrintJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(struct {
		Failed bool   `json:"failed"`
		Checks Report `json:"checks"`
	}{r.Failed(), r})
}
