package source_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/refract-video/refract/internal/source"
)

func TestLimits_AdmitWhatThereIsRoomFor(t *testing.T) {
	t.Parallel()
	limits := source.Limits{Bytes: 1000, Sources: 5, Uploads: 2}
	for name, tc := range map[string]struct {
		limits source.Limits
		used   source.Usage
		bytes  int64
		want   source.Quota
	}{
		"nothing used":             {limits, source.Usage{}, 1000, ""},
		"a byte too many":          {limits, source.Usage{}, 1001, source.QuotaBytes},
		"the last byte":            {limits, source.Usage{Bytes: 999}, 1, ""},
		"more than was ever left":  {limits, source.Usage{Bytes: 5000}, 0, source.QuotaBytes},
		"a size that overflows":    {limits, source.Usage{Bytes: 999}, 1<<63 - 1, source.QuotaBytes},
		"of unknown size, no room": {limits, source.Usage{Bytes: 1000}, 1, source.QuotaBytes},
		"the last upload":          {limits, source.Usage{Uploads: 1}, 1, ""},
		"an upload too many":       {limits, source.Usage{Uploads: 2}, 1, source.QuotaUploads},
		"the last source":          {limits, source.Usage{Sources: 3, Uploads: 1}, 1, ""},
		"a source too many":        {limits, source.Usage{Sources: 4, Uploads: 1}, 1, source.QuotaSources},
		"within the defaults":      {source.Limits{}, source.Usage{Sources: 8_999, Uploads: 999, Bytes: 99 << 30}, 1 << 30, ""},
		"over the default bytes":   {source.Limits{}, source.Usage{}, 100<<30 + 1, source.QuotaBytes},
		"over the default sources": {source.Limits{}, source.Usage{Sources: 10_000}, 1, source.QuotaSources},
		"over the default uploads": {source.Limits{}, source.Usage{Uploads: 1_000}, 1, source.QuotaUploads},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tc.limits.Admit("films", tc.used, tc.bytes)
			var got source.Quota
			if qe, ok := errors.AsType[*source.QuotaError](err); ok {
				got = qe.Quota
			}
			if got != tc.want || (err != nil) != (tc.want != "") {
				t.Errorf("Admit(%+v, %d) = %v, want quota %q", tc.used, tc.bytes, err, tc.want)
			}
		})
	}
}

// TestReceive_QuotasAreExactUnderConcurrency begins more uploads at once, at two replicas, than a tenant has room for.
func TestReceive_QuotasAreExactUnderConcurrency(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		terms string
		want  source.QuotaError
		whole bool // Whether the uploads are finished.
		fit   int
	}{
		"bytes of sources":   {"max_source_bytes = 5500", source.QuotaError{Tenant: "films", Quota: source.QuotaBytes, Limit: 5500}, true, 5},
		"announced bytes":    {"max_source_bytes = 5500", source.QuotaError{Tenant: "films", Quota: source.QuotaBytes, Limit: 5500}, false, 5},
		"sources":            {"max_sources = 3", source.QuotaError{Tenant: "films", Quota: source.QuotaSources, Limit: 3}, true, 3},
		"unfinished uploads": {"max_unfinished_uploads = 4", source.QuotaError{Tenant: "films", Quota: source.QuotaUploads, Limit: 4}, false, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.exec(t, "INSERT INTO tenant (tenant) VALUES ('films')")
			s.exec(t, "UPDATE tenant SET "+tc.terms)
			replicas := []*source.Uploads{s.replica(), s.replica()}
			send := func(u *source.Uploads, tenant string) error {
				file := random(1000)
				h := source.Header{Upload: newUpload(), SizeBytes: int64(len(file))}
				if !tc.whole {
					file = file[:10]
				}
				_, err := u.Receive(t.Context(), tenant, h, bytes.NewReader(file))
				return err
			}
			errs := make([]error, 16)
			var sending sync.WaitGroup
			for i := range errs {
				sending.Go(func() { errs[i] = send(replicas[i%2], "films") })
			}
			sending.Wait()
			accepted := 0
			for _, err := range errs {
				qe, full := errors.AsType[*source.QuotaError](err)
				if err == nil {
					accepted++
				} else if !full || *qe != tc.want {
					t.Errorf("got %v, want %v", err, &tc.want)
				}
			}
			if accepted != tc.fit {
				t.Errorf("%d uploads were accepted, want %d", accepted, tc.fit)
			}
			if err := send(replicas[0], "ads"); err != nil {
				t.Errorf("another tenant: %v", err)
			}
			if tc.whole { // Retention makes room.
				s.exec(t, "UPDATE source SET state = 'EXPIRED' WHERE id = (SELECT id FROM source WHERE tenant = 'films' LIMIT 1)")
			} else {
				s.exec(t, "DELETE FROM source_upload WHERE (tenant, id) = (SELECT tenant, id FROM source_upload WHERE tenant = 'films' LIMIT 1)")
			}
			if err := send(replicas[0], "films"); err != nil {
				t.Errorf("after one is gone: %v", err)
			}
			if left := s.files(t, "uploads"); tc.whole && len(left) > 0 {
				t.Errorf("refused uploads left %q", left)
			}
		})
	}
}

// TestReceive_AnUploadOfUnknownSizeTakesRoomAsItGrows has parts of 1000 bytes.
func TestReceive_AnUploadOfUnknownSizeTakesRoomAsItGrows(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.exec(t, "INSERT INTO tenant (tenant, max_source_bytes) VALUES ('', 2500)")
	u, file, h := s.replica(), random(3000), source.Header{Upload: newUpload()}
	if _, err := u.Receive(t.Context(), "films", h, bytes.NewReader(file)); !isFull(err) {
		t.Errorf("more than there is room for: %v, want a QuotaError", err)
	}
	p, err := u.Receive(t.Context(), "films", h, nothing())
	if err != nil || p.Received != 2000 {
		t.Errorf("the upload has %d bytes, %v, want the 2000 that there was room for", p.Received, err)
	}
	if files := s.files(t, "uploads"); len(files) != 2 {
		t.Errorf("the bucket has %d parts, want 2", len(files))
	}
	h.SizeBytes, h.Offset = 3000, 2000 // As much, announced.
	if _, err := u.Receive(t.Context(), "films", h, bytes.NewReader(file[2000:])); !isFull(err) {
		t.Errorf("a size over the quota: %v, want a QuotaError", err)
	}
	h.SizeBytes = 2400
	if p, err := u.Receive(t.Context(), "films", h, bytes.NewReader(file[2000:2400])); err != nil || p.Source == nil {
		t.Errorf("a size within the quota: %+v, %v, want the source", p, err)
	}
}

func isFull(err error) bool { _, ok := errors.AsType[*source.QuotaError](err); return ok }

// An upload that was begun is finished whatever the quota says by then, and bytes that the tenant has need no room.
func TestReceive_QuotasRefuseNoUploadThatHasItsRoom(t *testing.T) {
	t.Parallel()
	s := setup(t)
	u, file, h := s.replica(), random(2000), source.Header{Upload: newUpload(), SizeBytes: 2000}
	if _, err := u.Receive(t.Context(), "films", h, bytes.NewReader(file[:500])); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "INSERT INTO tenant (tenant, max_source_bytes, max_sources, max_unfinished_uploads) VALUES ('films', 1, 1, 1)")
	h.Offset = 500
	if p, err := u.Receive(t.Context(), "films", h, bytes.NewReader(file[500:])); err != nil || p.Source == nil {
		t.Fatalf("the rest of the upload: %+v, %v, want the source", p, err)
	}
	again := source.Header{Upload: newUpload(), SizeBytes: 2000, SHA256: sum(file)}
	if p, err := u.Receive(t.Context(), "films", again, bytes.NewReader(file)); err != nil || !p.Duplicate {
		t.Errorf("bytes that were there before: %+v, %v, want the source", p, err)
	}
	if _, err := u.Receive(t.Context(), "films", source.Header{Upload: newUpload(), SizeBytes: 1}, bytes.NewReader(file[:1])); !isFull(err) {
		t.Errorf("another upload: %v, want a QuotaError", err)
	}
}
