package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestSubmit_GoesOnWithAnUploadThatWasCut(t *testing.T) {
	t.Parallel()
	s := &clienttest.UploadSink{Cuts: []int{1_000, 600_000, 1}}
	clip := bytes.Repeat([]byte("0123456789"), 150_000)
	path := writeFile(t, clip)
	var source *refractv1.SubmitTaskSource
	r := clienttest.Start(t, &clienttest.Service{
		Upload: s.Receive,
		Submit: func(req *refractv1.SubmitTaskRequest) (*refractv1.Task, error) {
			source = req.GetSource()
			return clienttest.NewTask(1, clienttest.Queued), nil
		},
	})
	exit, out, errs := command(t, r, "submit", "--video="+path, "--prompt=x", "--request-id=order-1", "--json")
	if exit != 0 || len(jsonLines(t, out)) != 1 {
		t.Fatalf("exit %d: %s\n%s", exit, errs, out)
	}
	if !bytes.Equal(s.Bytes(), clip) || s.UploadIDs() != 1 || source.GetSourceId() != clienttest.TaskID {
		t.Errorf("the service has %d of %d bytes, under %d ids; submitted %v", len(s.Bytes()), len(clip), s.UploadIDs(), source)
	}
	if got := strings.Count(errs, "resuming"); got != 3 || !strings.Contains(errs, "source "+clienttest.TaskID+" uploaded: 1500000 bytes, video/mp4, 4s") {
		t.Errorf("reported %d cuts, want 3:\n%s", got, errs)
	}
}

func TestSubmit_PrintsWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	r := clienttest.Start(t, &clienttest.Service{Upload: func(clienttest.UploadStream) error {
		return status.Error(codes.ResourceExhausted, "the file is too large")
	}})
	for name, tc := range map[string]struct{ path, says string }{
		"missing":   {filepath.Join(t.TempDir(), "no.mp4"), "no such file"},
		"a folder":  {t.TempDir(), "is a folder"},
		"empty":     {writeFile(t, nil), "the clip is empty"},
		"too large": {writeFile(t, []byte("x")), "the file is too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exit, _, errs := command(t, r, "submit", "--video="+tc.path, "--prompt=x", "--request-id=order-1")
			if exit != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, tc.says) {
				t.Errorf("exit %d: %s", exit, errs)
			}
		})
	}
}

func TestProgress_ShowsABarOfAnUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, out := liveProgress(t)
		p.uploading(1<<20, 4<<20)
		<-time.After(time.Second) // Longer than the bar waits between two drawings.
		p.uploading(2<<20, 4<<20)
		if line := lastDrawn(p, out); !strings.Contains(line, "uploading") || !strings.Contains(line, "50%") || !strings.Contains(line, "2.1/4.2 MB") {
			t.Errorf("drawn %q", line)
		}
		p.transferred()
		p.done()
	})
}
