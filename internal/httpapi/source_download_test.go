package httpapi_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
)

// uploaded is the source of a task that was uploaded.
func uploaded() *refractv1.Source {
	return &refractv1.Source{Location: &refractv1.Source_SourceId{SourceId: "00000000-0000-7000-8000-000000000001"}}
}

// sourceTasks are the sources of tasks, by the ids of the tasks.
var sourceTasks = map[string]*refractv1.Source{
	"mp4": uploaded(), "mov": uploaded(), "page": uploaded(), "gone": uploaded(), "bad": uploaded(),
	"uri": {Location: &refractv1.Source_Uri{Uri: "https://example.com/a.mp4"}},
}

// sources has a file for each content type.
type sources struct{}

func (sources) OpenTaskSource(_ context.Context, id string) (*httpapi.SourceFile, error) {
	types := map[string]string{"mp4": "video/mp4", "mov": "video/quicktime", "page": "text/html"}
	switch contentType, ok := types[id]; {
	case ok:
		hash, err := hex.DecodeString(sum)
		return &httpapi.SourceFile{ContentType: contentType, SHA256: hash, Content: memoryFile{strings.NewReader(video)}}, err
	case id == "bad":
		return nil, errors.New("bucket key hunter2")
	default:
		return nil, fs.ErrNotExist
	}
}

type memoryFile struct{ io.ReadSeeker }

func (memoryFile) Close() error { return nil }

func TestSource_IsServedAsAFile(t *testing.T) {
	t.Parallel()
	s := serveFiles(t)
	for name, tc := range map[string]struct {
		method, id string
		headers    []string
		status     int
		body       string
		want       map[string]string
	}{
		"whole": {method: http.MethodGet, id: "mp4", status: 200, body: video, want: map[string]string{
			"Content-Length": "16", "Content-Type": "video/mp4", "ETag": `"` + sum + `"`, "Accept-Ranges": "bytes",
			"Content-Disposition": "inline; filename=mp4-source.mp4", "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache",
		}},
		"head": {method: http.MethodHead, id: "mp4", status: 200, want: map[string]string{"Content-Length": "16"}},
		"range": {
			method: http.MethodGet, id: "mp4", headers: []string{"Range", "bytes=4-7"}, status: 206, body: "4567",
			want: map[string]string{"Content-Range": "bytes 4-7/16"},
		},
		"range outside": {
			method: http.MethodGet, id: "mp4", headers: []string{"Range", "bytes=16-"}, status: 416,
			body: `{"code":11,"message":"the range is outside the file"}`,
		},
		"known already": {method: http.MethodGet, id: "mp4", headers: []string{"If-None-Match", `"` + sum + `"`}, status: 304},
		"quicktime": {method: http.MethodGet, id: "mov", status: 200, body: video, want: map[string]string{
			"Content-Type": "video/quicktime", "Content-Disposition": "inline; filename=mov-source.mov",
		}},
		"no video": {method: http.MethodGet, id: "page", status: 200, body: video, want: map[string]string{
			"Content-Type": "application/octet-stream", "Content-Disposition": "inline; filename=page-source",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, tc.method, "/v1/tasks/"+tc.id+"/source", nil, append(tc.headers, "Authorization", "Bearer token")...)
			if a.status != tc.status || a.body != tc.body {
				t.Errorf("answer %d %q, want %d %q", a.status, a.body, tc.status, tc.body)
			}
			for key, want := range tc.want {
				if got := a.header.Get(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestSource_IsRefusedWhereThereIsNoFile(t *testing.T) {
	t.Parallel()
	s := serveFiles(t)
	for id, tc := range map[string]struct {
		token  string
		status int
		says   string
	}{
		"mp4":     {"", 401, `"reason":"CREDENTIALS_INVALID"`},
		"unknown": {"Bearer token", 404, `"reason":"TASK_NOT_FOUND"`},
		"uri":     {"Bearer token", 404, "only uploaded sources can be downloaded here"},
		"gone":    {"Bearer token", 404, "the file of this source is no longer kept"},
		"bad":     {"Bearer token", 500, `{"code":13,"message":"internal error"}`},
	} {
		a := s.do(t, http.MethodGet, "/v1/tasks/"+id+"/source", nil, "Authorization", tc.token)
		if a.status != tc.status || !strings.Contains(a.body, tc.says) {
			t.Errorf("%s: answer %d %s\nwant %d with %s", id, a.status, a.body, tc.status, tc.says)
		}
	}
	if a := s.do(t, http.MethodPost, "/v1/tasks/mp4/source", nil, "Authorization", "Bearer token"); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST gave %d, Allow %q", a.status, a.header.Get("Allow"))
	}
}
