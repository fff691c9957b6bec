package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/sim"
)

// idleCalls is how many calls the latencies are measured by: 300 with the default duration.
func (r *benchRig) idleCalls() int { return max(10, int(60*r.For.Seconds())) }

// start measures a cold start on a private PostgreSQL that does not exist yet: from the start of the program to its first
// accepted task.
func (r *benchRig) start(ctx context.Context) (rows []bench.Row, err error) {
	began := time.Now()
	s, err := r.startService(ctx, []string{"KIE_API_KEY=bench", "KIE_URL=" + noProvider}, "--auth=none", "--data-dir="+filepath.Join(r.dir, "cold"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_, err = refractv1.NewTaskServiceClient(conn).SubmitTask(ctx, &refractv1.SubmitTaskRequest{
		RequestId: uuid.NewString(), Prompt: "the first",
		Source: &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: "https://example.com/clip.mp4"}},
	})
	if err != nil {
		return nil, err
	}
	return []bench.Row{bench.AtMost("start of the program to first task accepted, new database", "s", time.Since(began).Seconds(), 5)}, nil
}

// idle measures the latencies of an idle service.
func (r *benchRig) idle(ctx context.Context) ([]bench.Row, error) {
	return r.withProvider(ctx, time.Hour, r.withoutSaves, r.idleWith)
}

func (r *benchRig) idleWith(ctx context.Context, s *benchService, p *benchProvider) ([]bench.Row, error) {
	plain, err := bench.PlainPost(ctx, p.host.URL, r.idleCalls())
	if err != nil {
		return nil, err
	}
	idle := bench.Idle{Address: s.grpc, Token: r.token, Calls: r.idleCalls()}
	submit, err := idle.SubmitToPost(ctx, p.host.URL+"/%d.mp4", p.posted)
	if err != nil {
		return nil, err
	}
	first, err := r.rows(ctx, r.idleCalls()+100, true) // Some warm up.
	if err != nil {
		return nil, err
	}
	seen, err := idle.CallbackToWatcher(ctx, r.callbackLoad(s, 1, first))
	if err != nil {
		return nil, err
	}
	by := "plain net/http POST"
	return []bench.Row{
		bench.AtMost("SubmitTask to provider's POST, idle, p50", "ms", millis(submit.P50), 10).Beside(millis(plain.P50), by),
		bench.AtMost("SubmitTask to provider's POST, idle, p99", "ms", millis(submit.P99), 50).Beside(millis(plain.P99), by),
		bench.AtMost("callback to watcher's message, idle, p50", "ms", millis(seen.P50), 5).Beside(millis(plain.P50), by),
		bench.AtMost("callback to watcher's message, idle, p99", "ms", millis(seen.P99), 30).Beside(millis(plain.P99), by),
	}, nil
}

// posted waits for the submission with a prompt and returns when it arrived.
func (p *benchProvider) posted(ctx context.Context, prompt string) (at time.Time, err error) {
	return at, p.sim.Await(ctx, func() bool {
		ledger := p.sim.Ledger()
		i := slices.IndexFunc(ledger, func(e sim.Entry) bool { return e.Prompt == prompt })
		if i < 0 {
			return false
		}
		at = ledger[i].Time
		return true
	})
}
