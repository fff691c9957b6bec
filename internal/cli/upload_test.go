package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

type uploadStream = grpc.ClientStreamingServer[refractv1.UploadSourceRequest, refractv1.UploadSourceResponse]

// shelf is a service that keeps uploads, and breaks calls off after so many bytes each.
type shelf struct {
	mu   sync.Mutex
	cuts []int
	ids  map[string]bool
	got  bytes.Buffer
}

func (s *shelf) receive(stream uploadStream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	h := m.GetHeader()
	s.ids[h.GetUploadId()] = true
	left := -1 // Forever.
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if left < 0 && len(s.cuts) > 0 {
			left, s.cuts = s.cuts[0], s.cuts[1:]
		}
		chunk := m.GetChunk()
		if left >= 0 && len(chunk) >= left {
			s.got.Write(chunk[:left])
			return status.Error(codes.Unavailable, "connection lost")
		}
		left -= min(len(chunk), max(left, 0))
		s.got.Write(chunk)
	}
	resp := &refractv1.UploadSourceResponse{ReceivedBytes: int64(s.got.Len())}
	if sum := sha256.Sum256(s.got.Bytes()); hex.EncodeToString(sum[:]) == h.GetSha256() {
		resp.Source = &refractv1.UploadedSource{
			Id: testID, SizeBytes: int64(s.got.Len()), ContentType: "video/mp4", Duration: durationpb.New(4 * time.Second),
		}
	}
	return stream.SendAndClose(resp)
}

func TestSubmit_GoesOnWithAnUploadThatWasCut(t *testing.T) {
	t.Parallel()
	s := &shelf{ids: map[string]bool{}, cuts: []int{1_000, 600_000, 1}}
	clip := bytes.Repeat([]byte("0123456789"), 150_000)
	path := writeFile(t, clip)
	var source *refractv1.SubmitTaskSource
	r := startRemote(t, &remote{
		upload: s.receive,
		submit: func(req *refractv1.SubmitTaskRequest) (*refractv1.Task, error) {
			source = req.GetSource()
			return newTask(1, queued), nil
		},
	})
	exit, out, errs := command(t, r, "submit", "--video="+path, "--prompt=x", "--request-id=order-1", "--json")
	if exit != 0 || len(jsonLines(t, out)) != 1 {
		t.Fatalf("exit %d: %s\n%s", exit, errs, out)
	}
	if !bytes.Equal(s.got.Bytes(), clip) || len(s.ids) != 1 || source.GetSourceId() != testID {
		t.Errorf("the service has %d of %d bytes, under %d ids; submitted %v", s.got.Len(), len(clip), len(s.ids), source)
	}
	if got := strings.Count(errs, "resuming"); got != 3 || !strings.Contains(errs, "source "+testID+" uploaded: 1500000 bytes, video/mp4, 4s") {
		t.Errorf("reported %d cuts, want 3:\n%s", got, errs)
	}
}

func TestSubmit_TellsWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	r := startRemote(t, &remote{upload: func(uploadStream) error { return status.Error(codes.ResourceExhausted, "the file is too large") }})
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
