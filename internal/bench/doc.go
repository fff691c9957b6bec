// Package bench drives load against a running Refract and against PostgreSQL alone, and compares the two.
//
// A figure by itself depends on the machine, its neighbours and its disk. Every budget of a rate or a latency is therefore a
// ratio to a baseline of the same run: the same rows written with pgbench, in the shape and with the number of clients that are
// fastest; durable commits and plain POSTs that alternate with the calls of an idle service; or the mean latency that follows
// from a rate. Only amounts of memory have absolute bounds.
//
// The drivers take addresses and do not know how the service was started.
package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Rate is the number of operations in a time.
type Rate struct {
	Done      int           `json:"done"`
	PerSecond float64       `json:"per_second"`
	P50       time.Duration `json:"p50_ns"` // Of one call.
	P99       time.Duration `json:"p99_ns"`
}

// drive makes calls from several concurrent callers for a time. Each caller has its own call function, and makes its next call
// when the last one has returned, and at least one call. Each call counts as count operations. drive ends at the first error.
func drive(ctx context.Context, callers int, duration time.Duration, count int, open func() (call func(context.Context) error, end func(), err error)) (Rate, error) {
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	for range callers {
		wg.Go(func() {
			took, err := callAgainAndAgain(ctx, begin.Add(duration), open)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if err != nil && ctx.Err() == nil {
				errs = append(errs, err)
				cancel()
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	if err := errors.Join(errs...); err != nil {
		return Rate{}, err
	}
	if len(all) == 0 {
		return Rate{}, errors.New("no operation was completed")
	}
	p50, p99, _ := quantiles(all)
	done := len(all) * count
	return Rate{Done: done, PerSecond: float64(done) / elapsed.Seconds(), P50: p50, P99: p99}, nil
}

func callAgainAndAgain(ctx context.Context, until time.Time, open func() (func(context.Context) error, func(), error)) ([]time.Duration, error) {
	call, end, err := open()
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer end()
	var took []time.Duration
	for begin := time.Now(); ; {
		if err := call(ctx); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(begin))
		if begin = now; !begin.Before(until) {
			return took, nil
		}
	}
}
