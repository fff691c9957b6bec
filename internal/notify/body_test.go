package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/task"
)

func TestBody_ShowsAsMuchAsFits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		sizes map[Detail]int
		want  Detail
		err   error
	}{
		{"all", map[Detail]int{Whole: 1000}, Whole, nil},
		{"long inputs", map[Detail]int{Whole: MaxBody, WithoutInputs: 1000}, WithoutInputs, nil},
		{"long inputs and links", map[Detail]int{Whole: MaxBody, WithoutInputs: MaxBody, WithoutLinks: 1000}, WithoutLinks, nil},
		{"too much", map[Detail]int{Whole: MaxBody, WithoutInputs: MaxBody, WithoutLinks: MaxBody}, 0, errTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, _, _ := config(t, newMemory(), nil)
			cfg.Task = func(_ context.Context, _ task.Task, d Detail) ([]byte, error) {
				return fmt.Appendf(nil, `{"detail":%d,"fill":%q}`, d, strings.Repeat("x", tt.sizes[d])), nil
			}
			c := Claimed{Delivery: Delivery{TaskState: task.Succeeded, EventTime: time.Date(2026, 11, 30, 12, 0, 0, 5000, time.FixedZone("", 3600))}}
			body, err := newSender(t, cfg).body(t.Context(), c)
			if !errors.Is(err, tt.err) || len(body) > MaxBody {
				t.Fatalf("%d bytes, %v; want %v", len(body), err, tt.err)
			}
			if err != nil {
				return
			}
			var got struct {
				Type, Timestamp string
				Data            struct{ Detail Detail }
			}
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			if got.Type != "task.succeeded" || got.Timestamp != "2026-11-30T11:00:00.000005Z" || got.Data.Detail != tt.want {
				t.Errorf("got %+v, want detail %d", got, tt.want)
			}
		})
	}
}

func TestSend_AnEventThatIsTooLargeFailsAtOnce(t *testing.T) {
	t.Parallel()
	cfg, _, secrets := config(t, newMemory(), nil)
	cfg.Task = func(context.Context, task.Task, Detail) ([]byte, error) { return make([]byte, MaxBody), nil }
	r, v, err := newSender(t, cfg).send(t.Context(), Claimed{Target: Endpoint{URL: "https://a.example/", Secrets: secrets}})
	if err != nil || r.State != DeliveryFailed || v.outcome != outcomeTooLarge || r.Attempt.Error != "the event is larger than 64 KiB" {
		t.Errorf("got %+v with %+v, %v", r, v, err)
	}
}
