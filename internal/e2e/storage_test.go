package e2e_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// TestStorage_ItsTroubleIsNotTheDatabases puts a file in place of the bucket's folder, so that every call to it fails
// with an errno.
//
// It fails when Unavailable (internal/postgres/dbpool/errors.go) tests for net.Error, and when downloads do not convert their
// errors (internal/server/files.go).
func TestStorage_ItsTroubleIsNotTheDatabases(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	id := ts.Submit(t, "").GetId()
	ts.End(t, id)
	output := ts.Get(t, id).GetOutputs()[0]
	folder := strings.TrimPrefix(ts.BucketURL, "file://")
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	clip := e2etest.DistinctClip(t.Name())
	_, err := ts.Send(t, ts.Token, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip)
	if got := e2etest.RefusalOf(err); got.Code != codes.Unavailable || got.Reason != "STORAGE_UNAVAILABLE" || e2etest.RetryOf(err) == 0 {
		t.Errorf("an upload ended with %v, want UNAVAILABLE, STORAGE_UNAVAILABLE and RetryInfo", err)
	}
	for what, address := range map[string]string{
		"a download": "http://" + ts.HTTPAddr() + "/v1/tasks/" + id + "/outputs/0", "a link": output.GetSignedUri(),
	} {
		httpStatus, header, answer := e2etest.Request(t, http.MethodGet, address, "", "Authorization", "Bearer "+ts.Token)
		got := e2etest.DecodeRefusal(t, answer)
		if httpStatus != http.StatusServiceUnavailable || got.Reason != "STORAGE_UNAVAILABLE" || header.Get("Retry-After") == "" {
			t.Errorf("%s was answered %d, %s; want 503, STORAGE_UNAVAILABLE and Retry-After", what, httpStatus, answer)
		}
		if strings.Contains(string(answer), folder) {
			t.Errorf("the answer to %s names the folder: %s", what, answer)
		}
	}
	if log := ts.Log.String(); !strings.Contains(log, "storage failed; the caller may call again") || !strings.Contains(log, "not a directory") {
		t.Errorf("the log has no line with the cause:\n%s", log)
	}
	if ts.Metric(t, "refract_storage_failures_total", `operation="put"`) == 0 || ts.Metric(t, "refract_storage_failures_total", `operation="open"`) != 2 {
		t.Error("the failures were not counted")
	}
	if httpStatus, answer := ts.Rest(t, http.MethodGet, "/v1/tasks/"+id, ""); httpStatus != http.StatusOK {
		t.Errorf("a call without the storage was answered %d, %s", httpStatus, answer)
	}
}
