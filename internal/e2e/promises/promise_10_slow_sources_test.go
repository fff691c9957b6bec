package promises_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/source"
)

// TestPromise10_SlowSourcesDelayTheirOwnTenantAlone gives two tenants 20 sources each on a host that hangs. The
// provider allows four submissions an hour, so the other tenants' tasks can be sent only if the hanging ones hold no
// permit. The third tenant's source is too slow for a submission to wait for, and must get a slot for its preparation.
//
// It fails when countUsage (internal/postgres/admit_tasks.go) counts attempts that were not sent, when deferTask
// (internal/postgres/preparation.go) leaves tasks to admission, and, for the third tenant, when claimPreparations
// (internal/postgres/preparation.go) gives all slots to two tenants.
func TestPromise10_SlowSourcesDelayTheirOwnTenantAlone(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Fetching(f, c)
		f.KIE.Limits, f.KIE.Poll = []string{"4/1h/4"}, 300*time.Millisecond
		f.Tuning.Sources = source.Timing{SubmitWait: 100 * time.Millisecond}
		f.Tuning.Look = 5 * time.Second // The tenant's own good source may wait behind five rounds of its hanging ones.
	})
	release := make(chan struct{})
	var hung atomic.Int64
	hanging := e2etest.ClipServer(t, func(_ http.ResponseWriter, r *http.Request) {
		hung.Add(1)
		defer hung.Add(-1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	slow := e2etest.ClipServer(t, func(http.ResponseWriter, *http.Request) { <-time.After(300 * time.Millisecond) })
	ids, slowToo := make([]string, 40), ts.As(t, "films")
	for i := range ids {
		tenant := []*e2etest.Service{ts, slowToo}[i/20]
		ids[i] = tenant.Submit(t, "", e2etest.ByURI(fmt.Sprintf("%s/%d.mp4", hanging.URL, i))).GetId()
	}
	e2etest.Eventually(t, "all of them to wait for their source", func() bool {
		return postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM preparation_task") == len(ids)
	})
	if n := postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM attempt WHERE state <> 'REFUSED' OR sent"); n != 0 {
		t.Errorf("%d attempts hold a permit", n)
	}
	if w := ts.Get(t, ids[7]).GetWaiting(); w.GetCause() != refractv1.WaitingCause_WAITING_CAUSE_SOURCE {
		t.Errorf("one waits for %v, want its source", w)
	}
	other := ts.As(t, "ads")
	second := other.Submit(t, "", e2etest.ByURI(slow.URL+"/slow.mp4"))
	if last := other.End(t, second.GetId()); last.GetState() != e2etest.Succeeded {
		t.Errorf("another tenant's task ended %v", last)
	}
	own := ts.Submit(t, "", e2etest.ByURI(ts.Sim.URL()+"/clips/sample.mp4"))
	if last := ts.End(t, own.GetId()); last.GetState() != e2etest.Succeeded {
		t.Errorf("the tenant's own task with a good source ended %v", last)
	}
	if n := postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM attempt WHERE task_id = $1", ids[0]); n != 1 {
		t.Errorf("a task that waits has %d attempts, want the one that was not sent", n)
	}
	if got := ts.Get(t, ids[0]); got.GetState() != e2etest.Queued {
		t.Errorf("one of the slow ones is %v", got.GetState())
	}
	if n := hung.Load(); n > 16 {
		t.Errorf("%d sources on one host are looked at at a time for two tenants, want 8 for each", n)
	}
}
