package bench_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/bench"
)

func TestReceiver_CountsEventsAndPostsThemAgain(t *testing.T) {
	t.Parallel()
	r := bench.StartReceiver(0)
	t.Cleanup(r.Close)
	if _, err := r.Plain(t.Context(), 2, 0); err == nil {
		t.Error("events are posted again before any arrived")
	}
	rate, connections, err := r.Receive(t.Context(), 3, func(ctx context.Context) error {
		for range 3 {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL(), strings.NewReader(`{"type":"task.succeeded"}`))
			if err != nil {
				return err
			}
			req.Header.Set("Webhook-Id", "evt_1")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			resp.Body.Close()
		}
		return nil
	})
	if err != nil || rate.Done != 3 || rate.PerSecond <= 0 || connections < 1 {
		t.Errorf("%+v over %d connections, %v; want 3 events over at least 1", rate, connections, err)
	}
	const callers = 4
	var plain bench.Rate
	rate, connections, err = r.Receive(t.Context(), callers, func(ctx context.Context) (err error) {
		plain, err = r.Plain(ctx, callers, 0)
		return err
	})
	if err != nil || rate.Done != callers || plain.Done != callers || connections < 1 {
		t.Errorf("%d of %d plain posts arrived over %d connections, %v; want %d", rate.Done, plain.Done, connections, err, callers)
	}
}

func TestReceiver_ReportsEventsThatDoNotArrive(t *testing.T) {
	t.Parallel()
	r := bench.StartReceiver(time.Millisecond)
	t.Cleanup(r.Close)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := r.Receive(ctx, 1, func(context.Context) error { cancel(); return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "0 of 1 events arrived") {
		t.Errorf("got %v, want 0 of 1 events", err)
	}
}
