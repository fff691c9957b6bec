package e2e_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/server"
)

// TestPromise10_SlowHostsOfOneTenantDelayNoOther gives two tenants results on a host that never answers, and uploads
// that stall, more of each than a replica has slots. The third tenant's result must be saved and its upload must end
// while all of them still hang.
//
// It fails when may (internal/fair/fair.go) gives a tenant every free slot.
func TestPromise10_SlowHostsOfOneTenantDelayNoOther(t *testing.T) {
	t.Parallel()
	ts := startService(t, func(f *server.Config, c *simConfig) {
		unlimited(f, c)
		f.Tuning.Stall = hung // No stalled upload ends by itself, even on a slow machine.
	})
	good, hostile := ts.as(t, "good"), []*testService{ts.as(t, "films"), ts.as(t, "ads")}

	t.Run("results", func(t *testing.T) {
		t.Parallel()
		var hanging atomic.Int64
		over := make(chan struct{})
		host := clipServer(t, func(_ http.ResponseWriter, r *http.Request) {
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
				tenant.submit(t, "[sim:redirect="+host.URL+"]")
			}
			saves += 4 // At least these are left for the second tenant.
			eventually(t, "the tenant's saves to hang", func() bool { return hanging.Load() >= saves })
		}
		if last := good.end(t, good.submit(t, "").GetId()); last.GetState() != succeeded {
			t.Errorf("the good tenant's task ended %v", last)
		}
		if n := ask[int](t, ts.pool, "SELECT count(*) FROM task WHERE tenant <> 'good' AND state = 'SAVING'"); n != 24 {
			t.Errorf("%d of 24 results still hang", n)
		}
	})
	t.Run("uploads", func(t *testing.T) {
		t.Parallel()
		ended := make(chan error, 16)
		for _, tenant := range hostile {
			for range 8 { // As many as a tenant may have.
				stream, err := tenant.tasks.UploadSource(tenant.ctx(t))
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
		eventually(t, "the stalled uploads to be written", func() bool {
			files, err := filepath.Glob(filepath.Join(strings.TrimPrefix(ts.bucketURL, "file://"), "uploads", "*", "*", "*.tmp"))
			return err == nil && len(files) >= 10 // Of 16: between five each, and eight and four.
		})
		clip := distinctClip(t.Name())
		if _, err := good.send(t, good.token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip); err != nil {
			t.Errorf("the good tenant's upload: %v", err)
		}
		select {
		case err := <-ended:
			t.Errorf("a stalled upload ended before it: %v", err)
		default:
		}
	})
}

// as returns the service with the token of another tenant.
func (ts *testService) as(t *testing.T, tenant string) *testService {
	t.Helper()
	other := *ts
	other.token = createToken(t, ts.pool, tenant)
	return &other
}
