package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/refract-video/refract/internal/bench"
)

// budget is what a figure must reach, with what it reached.
type budget struct {
	Name     string  `json:"name"`
	Figure   float64 `json:"per_second"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Baseline float64 `json:"baseline_per_second"`
	By       string  `json:"baseline"`
	Ratio    float64 `json:"ratio"`
	Needed   float64 `json:"needed"`
	Pass     bool    `json:"pass"`
}

// benchReport is what was measured on what.
type benchReport struct {
	CPUs       int      `json:"cpus"`
	Go         string   `json:"go"`
	PostgreSQL string   `json:"postgresql"`
	Fsync      string   `json:"fsync"`
	SyncCommit string   `json:"synchronous_commit"`
	Budgets    []budget `json:"budgets"`
}

func (r benchReport) printJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r benchReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "budget\tper second\tp50\tp99\tbaseline\tratio\tneeded\t\n")
	for _, m := range r.Budgets {
		verdict := "pass"
		if !m.Pass {
			verdict = "short"
		}
		fmt.Fprintf(&b, "%s\t%.0f\t%.1f ms\t%.1f ms\t%.0f (%s)\t%.2f\t%.1f\t%s\n", m.Name, m.Figure, m.P50, m.P99, m.Baseline, m.By, m.Ratio, m.Needed, verdict)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(t, b.String()); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\non %d CPUs, shared by the load, the service and PostgreSQL %s (fsync %s, synchronous_commit %s); %s\n",
		r.CPUs, r.PostgreSQL, r.Fsync, r.SyncCommit, r.Go)
	return err
}

// measure takes every figure beside its baseline.
func (r *benchRig) measure(ctx context.Context, con console) (benchReport, error) {
	report := benchReport{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	err := r.pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')`).
		Scan(&report.PostgreSQL, &report.Fsync, &report.SyncCommit)
	if err != nil {
		return report, err
	}
	if r.Only != "submit" {
		b, err := r.callbacks(ctx, con)
		if err != nil {
			return report, err
		}
		report.Budgets = append(report.Budgets, b)
	}
	if r.Only != "callbacks" {
		all, err := r.submits(ctx, con)
		if err != nil {
			return report, err
		}
		report.Budgets = append(report.Budgets, all...)
	}
	return report, nil
}

// How many rows are set aside for a load, a second: above what any does here. Those of callbacks have to be prepared.
const (
	callbackRows = 10_000
	submitRows   = 50_000
)

// loadRows is how many rows a load may need.
func loadRows(duration time.Duration, tasks bool) int {
	perSecond := submitRows
	if tasks {
		perSecond = callbackRows
	}
	return int(duration.Seconds()*float64(perSecond)) + 1000
}

// callbacks measures callbacks, each verified and committed, against pgbench.
func (r *benchRig) callbacks(ctx context.Context, con console) (budget, error) {
	script := bench.CallbackScript()
	clients, err := r.best(ctx, script, true)
	if err != nil {
		return budget{}, err
	}
	var figures, baselines []bench.Rate
	for range r.Rounds {
		first, err := r.rows(ctx, loadRows(r.For, true), true)
		if err != nil {
			return budget{}, err
		}
		rate, err := bench.Callbacks{
			Ingress: r.service.ingress, SigningKey: r.signingKey, Connections: 64, For: r.For, Token: r.callbackToken, From: first, To: r.row,
		}.Run(ctx)
		if err != nil {
			return budget{}, err
		}
		baseline, err := r.baseline(ctx, script, clients, true)
		if err != nil {
			return budget{}, err
		}
		r.progress(con, "callbacks", rate, baseline)
		figures, baselines = append(figures, rate), append(baselines, baseline)
	}
	return compare("callbacks over HTTP, 64 connections", figures, baselines, clients, 1.0), nil
}

// submits measures submissions, one by one and in batches, against pgbench.
func (r *benchRig) submits(ctx context.Context, con console) ([]budget, error) {
	script := bench.SubmitScript()
	clients, err := r.best(ctx, script, false)
	if err != nil {
		return nil, err
	}
	var single, batched, baselines []bench.Rate
	for range r.Rounds {
		one, err := bench.Submits{Address: r.service.grpc, Token: r.token, Callers: 64, For: r.For}.Run(ctx)
		if err != nil {
			return nil, err
		}
		baseline, err := r.baseline(ctx, script, clients, false)
		if err != nil {
			return nil, err
		}
		many, err := bench.Submits{Address: r.service.grpc, Token: r.token, Callers: 4, Batch: 500, For: r.For}.Run(ctx)
		if err != nil {
			return nil, err
		}
		r.progress(con, "SubmitTask", one, baseline)
		r.progress(con, "BatchSubmitTasks", many, baseline)
		single, batched, baselines = append(single, one), append(batched, many), append(baselines, baseline)
	}
	return []budget{
		compare("SubmitTask over gRPC, 64 callers", single, baselines, clients, 0.7),
		compare("BatchSubmitTasks, 4 callers of 500", batched, baselines, clients, 3),
	}, nil
}

func (r *benchRig) progress(con console, name string, rate, baseline bench.Rate) {
	if !r.JSON {
		_, _ = fmt.Fprintf(con.err, "%s: %.0f/s, p50 %s, p99 %s; baseline %.0f/s\n", name, rate.PerSecond, rate.P50, rate.P99, baseline.PerSecond)
	}
}

func (r *benchRig) best(ctx context.Context, script string, tasks bool) (int, error) {
	duration := r.For / 2
	return r.pgbench.Best(ctx, script, duration, func() (int, error) { return r.rows(ctx, loadRows(duration, tasks), tasks) })
}

func (r *benchRig) baseline(ctx context.Context, script string, clients int, tasks bool) (bench.Rate, error) {
	first, err := r.rows(ctx, loadRows(r.For, tasks), tasks)
	if err != nil {
		return bench.Rate{}, err
	}
	return r.pgbench.Run(ctx, script, clients, r.For, first)
}

// compare takes the turn whose ratio is the median: figure and baseline of one turn had the same neighbours.
func compare(name string, figures, baselines []bench.Rate, clients int, needed float64) budget {
	turns := make([]budget, len(figures))
	for i, f := range figures {
		b := baselines[i]
		ratio := f.PerSecond / b.PerSecond
		turns[i] = budget{
			Name: name, Figure: f.PerSecond, P50: f.P50.Seconds() * 1000, P99: f.P99.Seconds() * 1000,
			Baseline: b.PerSecond, By: fmt.Sprintf("pgbench, %d clients", clients), Ratio: ratio, Needed: needed, Pass: ratio >= needed,
		}
	}
	slices.SortFunc(turns, func(a, b budget) int { return cmp.Compare(a.Ratio, b.Ratio) })
	return turns[len(turns)/2]
}
