package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Path is the budget of a latency: a number of durable commits and one POST, one after another on the same machine. A budget in
// milliseconds would depend on the machine.
type Path struct {
	Commits  int
	P50, P99 float64 // The ratios that must not be exceeded.
	Goal     float64 // The ratio that the design aims at for the median; 0 for none.
}

// pause precedes each step of a baseline. Connections sleep between the steps of an idle service too, and wake up slower than
// those that work without a break.
const pause = 5 * time.Millisecond

// Baseline returns a call that does the commits and the POST, and returns the sum of their latencies. It is measured in turn
// with the latency of the service, and not computed from single commits: medians and percentiles of parts do not add up.
func (p Path) Baseline(commit, post Call) Call {
	return func(ctx context.Context, n int) (time.Duration, error) {
		var sum time.Duration
		for _, step := range append(slices.Repeat([]Call{commit}, p.Commits), post) {
			time.Sleep(pause)
			d, err := step(ctx, n)
			if err != nil {
				return 0, err
			}
			sum += d
		}
		return sum, nil
	}
}

// Rows returns the rows of a latency and its baseline.
func (p Path) Rows(budget string, l, baseline Latency) []Row {
	by := fmt.Sprintf("%d durable commits + 1 POST", p.Commits)
	if p.Commits == 1 {
		by = "1 durable commit + 1 POST"
	}
	return []Row{
		WithinTimes(budget+", p50", "ms", millis(l.P50), millis(baseline.P50), by, p.P50).Aiming(p.Goal),
		WithinTimes(budget+", p99", "ms", millis(l.P99), millis(baseline.P99), by, p.P99),
	}
}

// PlainPost returns a call that posts a callback to a server that does nothing with it, on a connection that stays open: the
// latency that the machine and its network stack need by themselves.
func PlainPost(url string) Call {
	return Timed(func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(CallbackBody(ProviderTaskID(0))))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("post the baseline: %w", err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	})
}
