package bench

import (
	"fmt"
	"slices"
	"time"
)

// Load is a load that takes turns with its baseline, and its budget.
type Load struct {
	Name    string // Such as "64 connections".
	Callers int
	Floor   float64 // The least ratio of its rate to that of the baseline.
	Goal    float64 // The ratio to pgbench that the design aims at; 0 for none.
	// Than names another load whose rate is the baseline instead of pgbench's. A load of many callers is compared with one of
	// few in this way, and its latencies have a budget too.
	Than string
}

// Turn is one turn of the baseline and the loads.
type Turn struct {
	Baseline Trial
	Rates    []Rate // Of the loads, in their order.
}

// tailTimes bounds the 99th percentile of a load of many callers, as a multiple of the mean latency.
const tailTimes = 3

// LoadRows returns the rows of the loads of an operation, each with the median ratio of the turns.
func LoadRows(operation string, loads []Load, turns []Turn) []Row {
	var rows []Row
	for i, l := range loads {
		budget := operation + ", " + l.Name
		than := slices.IndexFunc(loads, func(other Load) bool { return other.Name == l.Than })
		var rates, tails []Row
		for _, t := range turns {
			if than >= 0 {
				rates = append(rates, l.againstLoad(budget, t, t.Rates[i], t.Rates[than]))
			} else {
				rates = append(rates, l.againstPgbench(budget, t, t.Rates[i]))
			}
			tails = append(tails, l.tail(budget, t.Rates[i]))
		}
		rows = append(rows, Median(rates))
		if than >= 0 {
			rows = append(rows, Median(tails))
		}
	}
	return rows
}

func (l Load) againstPgbench(budget string, t Turn, r Rate) Row {
	return AtLeast(budget, "/s", r.PerSecond, t.Baseline.Rate.PerSecond, t.Baseline.String(), l.Floor).Aiming(l.Goal).Noting("%s", r.latencies())
}

func (l Load) againstLoad(budget string, t Turn, r, other Rate) Row {
	note := fmt.Sprintf("%.2f × pgbench", r.PerSecond/t.Baseline.Rate.PerSecond)
	if l.Goal != 0 {
		note += fmt.Sprintf(", goal %g", l.Goal)
	}
	return AtLeast(budget, "/s", r.PerSecond, other.PerSecond, l.Than, l.Floor).Noting("%s; %s", note, r.latencies())
}

// tail compares the 99th percentile with the mean latency, which Little's law derives from the rate: the mean latency
// of callers that each have one call under way is their number divided by the rate.
func (l Load) tail(budget string, r Rate) Row {
	return WithinTimes(budget+", p99", "ms", millis(r.P99), float64(l.Callers)/r.PerSecond*1000, "callers / rate", tailTimes)
}

func (r Rate) latencies() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", millis(r.P50), millis(r.P99))
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }
