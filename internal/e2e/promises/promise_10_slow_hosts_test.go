package promises_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/server"
)

// TestPromise10_SlowHostsOfOneTenantDelayNoOther gives two tenants results on a host that never answers, and uploads
// that stall, more of each than a replica has slots. The third tenant's result must be saved and its upload must end
// while all of them still hang.
//
// It fails when may (internal/fair/fair.go) gives a tenant every free slot.
func TestPromise10_SlowHostsOfOneTenantDelayNoOther(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		f.Tuning.Stall = e2etest.Hung // No stalled upload ends by itself, even on a slow machine.
	})
	good, hostile := ts.As(t, "good"), []*e2etest.Service{ts.As(t, "films"), ts.As(t, "ads")}

	t.Run("results", func(t *testing.T) {
		t.Parallel()
		var hanging atomic.Int64
		over := make(chan struct{})
		host := e2etest.ClipServer(t, func(_ http.ResponseWriter, r *http.Request) {
			hanging.Add(1)
			defer hanging.Add(-1)
			select {
			case <-over:
			case <-r.Context().Done():
			}
		})
		t.Cleanup(func() { close(over) })
		saves := int64(0)
		for _, tenant := range hostile {
			for range 12 {
				tenant.Submit(t, "[sim:redirect="+host.URL+"]")
			}
			saves += 4 // At least these are left for the second tenant.
			e2etest.Eventually(t, "the tenant's saves to hang", func() bool { return hanging.Load() >= saves })
		}
		if last := good.End(t, good.Submit(t, "").GetId()); last.GetState() != e2etest.Succeeded {
			t.Errorf("the good tenant's task ended %v", last)
		}
		if n := postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM task WHERE tenant <> 'good' AND state = 'SAVING'"); n != 24 {
			t.Errorf("%d of 24 results still hang", n)
		}
	})
	t.Run("uploads", func(t *testing.T) {
		t.Parallel()
		ended := make(chan error, 16)
		for _, tenant := range hostile {
			for range 8 { // As many as a tenant may have.
				stream, err := tenant.Tasks.UploadSource(tenant.Ctx(t))
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range []*refractv1.UploadSourceRequest{
					{Part: &refractv1.UploadSourceRequest_Header{Header: &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: 1000}}},
					{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: []byte("hello")}},
				} {
					if err := stream.Send(m); err != nil {
						t.Fatal(err)
					}
				}
				go func() { ended <- stream.RecvMsg(&refractv1.UploadSourceResponse{}) }()
			}
		}
		e2etest.Eventually(t, "the stalled uploads to be written", func() bool {
			files, err := filepath.Glob(filepath.Join(strings.TrimPrefix(ts.BucketURL, "file://"), "uploads", "*", "*", "*.tmp"))
			return err == nil && len(files) >= 10 // Of 16: between five each, and eight and four.
		})
		clip := e2etest.DistinctClip(t.Name())
		if _, err := good.Send(t, good.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip); err != nil {
			t.Errorf("the good tenant's upload: %v", err)
		}
		select {
		case err := <-ended:
			t.Errorf("a stalled upload ended before it: %v", err)
		default:
		}
	})
}
