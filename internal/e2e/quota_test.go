package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
)

// TestQuota_IsReportedWithItsDetails uses up a tenant's quota, over gRPC and REST.
func TestQuota_IsReportedWithItsDetails(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.KIE.Limits = []string{"1/1h/1"} })
	if _, err := ts.Pool.Exec(t.Context(), "INSERT INTO tenant (tenant, max_per_day) VALUES ('acme', 2)"); err != nil {
		t.Fatal(err)
	}
	ts.Submit(t, "[sim:processing=1h]")
	second := ts.Submit(t, "")

	_, err := ts.Tasks.SubmitTask(ts.Ctx(t), e2etest.GoodRequest())
	var info *errdetails.ErrorInfo
	var retry time.Duration
	var subject string
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.RetryInfo:
			retry = d.GetRetryDelay().AsDuration()
		case *errdetails.QuotaFailure:
			subject = d.GetViolations()[0].GetSubject()
		}
	}
	if status.Code(err) != codes.ResourceExhausted || info.GetReason() != "QUOTA_EXCEEDED" || info.GetMetadata()["quota"] != "max_per_day" || info.GetMetadata()["limit"] != "2" {
		t.Errorf("a submission over the quota is answered %v, want RESOURCE_EXHAUSTED with QUOTA_EXCEEDED, quota and limit", err)
	}
	if retry <= 0 || retry > 24*time.Hour || subject != "tenant:acme" {
		t.Errorf("the details say retry in %s and subject %q, want within a day and tenant:acme", retry, subject)
	}
	code, body := ts.Rest(t, http.MethodPost, "/v1/tasks", `{"requestId":"`+uuid.NewString()+`","prompt":"x","source":{"uri":"https://example.com/a.mp4"}}`)
	if code != http.StatusTooManyRequests || e2etest.DecodeError(t, body).Details[0].Reason != "QUOTA_EXCEEDED" {
		t.Errorf("over REST it is %d %s, want 429 with QUOTA_EXCEEDED", code, body)
	}
	// The second task waits and says why, since only one may be sent per hour.
	if err := ts.Sim.Await(ts.Ctx(t), func() bool { return len(ts.Sim.Ledger()) == 1 }); err != nil {
		t.Fatal(err)
	}
	w := ts.Get(t, second.GetId()).GetWaiting()
	if w.GetCause() != refractv1.WaitingCause_WAITING_CAUSE_IN_FLIGHT_CAP || w.GetPlaceInLine() != 1 {
		t.Errorf("the second task waits for %v, want IN_FLIGHT_CAP at place 1", w)
	}

	// Uploads have their own quotas, which an operator sets and sees.
	o := ts.Operator(t)
	clip := e2etest.DistinctClip(t.Name())
	h := &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}
	if out := o.Command(t, "tenant", "set", "acme", "--max-source-bytes=1000000", "--max-sources=1", "--max-unfinished-uploads=7"); !strings.Contains(out, "0/1000000  0/1      0/7") {
		t.Errorf("tenant set printed\n%s", out)
	}
	if _, err := ts.Send(t, ts.Token, h, clip); err != nil {
		t.Fatal(err)
	}
	h.UploadId, clip = uuid.NewString(), e2etest.DistinctClip("another")
	h.SizeBytes = int64(len(clip))
	_, err = ts.Send(t, ts.Token, h, clip)
	refused := e2etest.RefusalOf(err)
	if refused.Code != codes.ResourceExhausted || refused.Reason != "QUOTA_EXCEEDED" {
		t.Errorf("an upload over the quota is answered %v, want RESOURCE_EXHAUSTED with QUOTA_EXCEEDED", err)
	}
	code, body = ts.Rest(t, http.MethodPut, "/v1/sources/"+uuid.NewString(), string(clip))
	if code != http.StatusTooManyRequests || e2etest.DecodeError(t, body).Details[0].Metadata["quota"] != "max_sources" {
		t.Errorf("over REST it is %d %s, want 429 with the quota", code, body)
	}
	if out := o.Command(t, "tenant", "list"); !strings.Contains(strings.Join(strings.Fields(out), " "), "/1000000 1/1 0/7") {
		t.Errorf("tenant list printed\n%s", out)
	}
}
