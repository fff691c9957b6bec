package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Row is one budget: the figure, its baseline, and whether the figure meets the budget.
type Row struct {
	Budget   string  `json:"budget"`
	Figure   float64 `json:"figure"`
	Unit     string  `json:"unit"` // Of the figure and the baseline.
	Baseline float64 `json:"baseline,omitempty"`
	By       string  `json:"by,omitempty"`    // What the baseline measures; empty without a baseline.
	Ratio    float64 `json:"ratio,omitempty"` // Figure divided by baseline.
	Need     string  `json:"need"`            // The budget in words.
	Goal     float64 `json:"goal,omitempty"`  // The ratio that the design aims at; 0 means that the budget is the goal.
	Pass     bool    `json:"pass"`            // Reports whether the figure meets the budget, whatever the goal.
	Note     string  `json:"note,omitempty"`
}

// AtLeast returns a row that passes when the figure is at least the baseline multiplied by times.
func AtLeast(budget, unit string, figure, baseline float64, by string, times float64) Row {
	r := ratioRow(budget, unit, figure, baseline, by)
	r.Need, r.Pass = fmt.Sprintf("ratio ≥ %g", times), r.Ratio >= times
	return r
}

// WithinTimes returns a row that passes when the figure is at most the baseline multiplied by times.
func WithinTimes(budget, unit string, figure, baseline float64, by string, times float64) Row {
	r := ratioRow(budget, unit, figure, baseline, by)
	r.Need, r.Pass = fmt.Sprintf("ratio ≤ %g", times), r.Ratio <= times
	return r
}

func ratioRow(budget, unit string, figure, baseline float64, by string) Row {
	return Row{Budget: budget, Figure: figure, Unit: unit, Baseline: baseline, By: by, Ratio: figure / baseline}
}

// AtMost returns a row that passes when the figure is at most bound. It is for amounts of memory: a bound on a time would
// depend on the machine.
func AtMost(budget, unit string, figure, bound float64) Row {
	return Row{Budget: budget, Figure: figure, Unit: unit, Need: fmt.Sprintf("≤ %g %s", bound, unit), Pass: figure <= bound}
}

// Aiming adds the ratio that the design aims at. The row passes without it.
func (r Row) Aiming(goal float64) Row {
	r.Goal = goal
	return r
}

// Noting adds a remark.
func (r Row) Noting(format string, args ...any) Row {
	r.Note = fmt.Sprintf(format, args...)
	return r
}

// Median returns the row with the median ratio of several turns: figure and baseline of one turn ran with the same
// neighbours.
func Median(turns []Row) Row {
	turns = slices.SortedFunc(slices.Values(turns), func(a, b Row) int { return cmp.Compare(a.Ratio, b.Ratio) })
	return turns[len(turns)/2]
}

// Report holds the budgets and describes the machine that they were measured on.
type Report struct {
	CPUs       int    `json:"cpus"`
	CPU        string `json:"cpu,omitempty"`
	MemoryMiB  int    `json:"memory_mib,omitempty"`
	System     string `json:"system"`
	Go         string `json:"go"`
	Version    string `json:"version"`
	PostgreSQL string `json:"postgresql"`
	Fsync      string `json:"fsync"`
	SyncCommit string `json:"synchronous_commit"`
	Rows       []Row  `json:"rows"`
}

// ShortError means that a report is complete and that some of its budgets are not met.
type ShortError struct {
	Short []string // The budgets that are not met.
	Rows  int      // The number of budgets.
}

// Error names the budgets that are not met.
func (e *ShortError) Error() string {
	return fmt.Sprintf("%d of %d budgets not met: %s", len(e.Short), e.Rows, strings.Join(e.Short, "; "))
}

// ExitStatus returns the exit status of a program whose every measurement was made and that is short of a budget.
func (e *ShortError) ExitStatus() int { return exitShort }

// exitShort is no status of a failure, so that scripts can distinguish the two.
const exitShort = 2

// Check returns a *ShortError if any row is short of its budget, or else nil.
func (r Report) Check() error {
	var short []string
	for _, row := range r.Rows {
		if !row.Pass {
			short = append(short, row.Budget)
		}
	}
	if len(short) == 0 {
		return nil
	}
	return &ShortError{Short: short, Rows: len(r.Rows)}
}

// PrintJSON prints the report as JSON.
func (r Report) PrintJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Print prints the report as a table.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells ...string) error {
		for _, c := range cells {
			if _, err := io.WriteString(t, c+"\t"); err != nil {
				return err
			}
		}
		_, err := io.WriteString(t, "\n")
		return err
	}
	if err := line("budget", "figure", "baseline", "ratio", "needed", ""); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if err := line(row.cells()...); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d CPUs (%s), %d MiB, %s, shared by load, service and PostgreSQL %s (fsync %s, synchronous_commit %s); %s, refract %s\n",
		r.CPUs, cmp.Or(r.CPU, "of an unknown kind"), r.MemoryMiB, r.System, r.PostgreSQL, r.Fsync, r.SyncCommit, r.Go, r.Version)
	return err
}

// cells returns the columns of the table.
func (r Row) cells() []string {
	verdict := "SHORT"
	if r.Pass {
		verdict = "pass"
	}
	if r.Note != "" {
		verdict += " (" + r.Note + ")"
	}
	need := r.Need
	if r.Goal != 0 {
		need += fmt.Sprintf(" (goal %g)", r.Goal)
	}
	baseline, ratio := "", ""
	if r.By != "" {
		baseline, ratio = fmt.Sprintf("%s (%s)", amount(r.Baseline, r.Unit), r.By), fmt.Sprintf("%.2f", r.Ratio)
	}
	return []string{r.Budget, amount(r.Figure, r.Unit), baseline, ratio, need, verdict}
}

// amount writes a figure with about three digits.
func amount(v float64, unit string) string {
	digits := 0
	if v != 0 {
		digits = max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	}
	return strconv.FormatFloat(v, 'f', min(digits, 3), 64) + " " + unit
}
