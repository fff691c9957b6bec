package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
)

// TestExpiredOutput_IsRefusedBeforeItsFileIsGone makes an output expire while readers download it.
func TestExpiredOutput_IsRefusedBeforeItsFileIsGone(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) { f.KeepOutputs = time.Hour })
	id := ts.Submit(t, "").GetId()
	if last := ts.End(t, id); last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
		t.Fatalf("ended %v", last)
	}
	young := ts.Get(t, id).GetOutputs()[0]
	if left := time.Until(young.GetExpireTime().AsTime()); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the output expires in %s, want an hour", left)
	}
	if young.GetSignedUriExpireTime().AsTime().After(young.GetExpireTime().AsTime().Add(time.Second)) {
		t.Errorf("the link works until %v, after the output has expired at %v", young.GetSignedUriExpireTime(), young.GetExpireTime())
	}
	if status, _, _ := e2etest.Request(t, http.MethodGet, young.GetDownloadUri(), "", "Authorization", "Bearer "+ts.Token); status != http.StatusOK {
		t.Fatalf("a download of a young output gave %d", status)
	}
	if _, err := ts.Pool.Exec(t.Context(), `UPDATE output SET create_time = now() - interval '2 hours'`); err != nil {
		t.Fatal(err)
	}
	old := ts.Get(t, id).GetOutputs()[0]
	if old.GetDownloadUri() != "" || old.GetSignedUri() != "" || old.GetSha256() != young.GetSha256() || old.GetSizeBytes() != young.GetSizeBytes() {
		t.Errorf("the expired output is %v, want size and SHA-256 and no address", old)
	}
	status, _, body := e2etest.Request(t, http.MethodGet, young.GetDownloadUri(), "", "Authorization", "Bearer "+ts.Token)
	if status != http.StatusGone || !strings.Contains(string(body), "no longer kept") {
		t.Errorf("a download of an expired output gave %d: %s", status, body)
	}
	if status, _, _ := e2etest.Request(t, http.MethodGet, young.GetSignedUri(), ""); status != http.StatusNotFound {
		t.Errorf("the link to an expired output gave %d, want 404", status)
	}
}
