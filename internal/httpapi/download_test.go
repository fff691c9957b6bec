package httpapi_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
)

const (
	video  = "0123456789abcdef"
	sum    = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f"
	fileAt = "/v1/tasks/" + taskID + "/outputs/"
)

// folder has outputs as <task id>/<index>.
type folder string

func (f folder) OpenOutput(_ context.Context, id string, index int) (io.ReadSeekCloser, time.Time, error) {
	if index == 3 {
		return nil, time.Time{}, errors.New("bucket key hunter2")
	}
	if index == 4 {
		return brokenFile{}, time.Time{}, nil
	}
	file, err := os.Open(filepath.Join(string(f), id, strconv.Itoa(index)))
	if err != nil {
		return nil, time.Time{}, err
	}
	info, err := file.Stat()
	return file, info.ModTime(), err
}

// goodLink is the token of output 0, and goneLink that of an output whose file is gone. The bucket fails for badLink.
const goodLink, goneLink, badLink = "good-token", "gone-token", "bad-token"

func (f folder) OpenLink(ctx context.Context, token string) (*httpapi.LinkedOutput, error) {
	index, ok := map[string]int{goodLink: 0, goneLink: 2, badLink: 3}[token]
	if !ok {
		return nil, fs.ErrNotExist
	}
	content, modTime, err := f.OpenOutput(ctx, taskID, index)
	if err != nil {
		return nil, err
	}
	return &httpapi.LinkedOutput{
		TaskID: taskID, Output: &refractv1.Output{ContentType: "video/mp4", Sha256: sum}, Content: content, ModTime: modTime,
	}, nil
}

// brokenFile is a file whose bucket fails after it was opened.
type brokenFile struct{}

func (brokenFile) Read([]byte) (int, error)       { return 0, errors.New("hunter2") }
func (brokenFile) Seek(int64, int) (int64, error) { return 0, errors.New("hunter2") }
func (brokenFile) Close() error                   { return nil }

// serveFiles serves a task with output 0 and 1 in the folder, 2 gone, 3 and 4 in a bucket that fails.
func serveFiles(t *testing.T) site {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, taskID), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, index := range []string{"0", "1", "5"} {
		if err := os.WriteFile(filepath.Join(dir, taskID, index), []byte(video), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unauthenticated := refusal(t, codes.Unauthenticated, "CREDENTIALS_INVALID", "no token")
	notFound := refusal(t, codes.NotFound, "TASK_NOT_FOUND", "no such task")
	get := func(ctx context.Context, req *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
		if got := callersMetadata(ctx)["authorization"]; len(got) != 1 || got[0] != "Bearer token" {
			return nil, unauthenticated
		}
		if source, ok := sourceTasks[req.GetTaskId()]; ok {
			return &refractv1.GetTaskResponse{Task: &refractv1.Task{Id: req.GetTaskId(), Source: source}}, nil
		}
		if req.GetTaskId() != taskID {
			return nil, notFound
		}
		outputs := []*refractv1.Output{
			{Index: 0, ContentType: "video/mp4", Sha256: sum},
			{Index: 1, ContentType: "video/quicktime"},
			{Index: 2},
			{Index: 3},
			{Index: 4, ContentType: "video/mp4"},
		}
		return &refractv1.GetTaskResponse{Task: &refractv1.Task{Id: taskID, Outputs: outputs}}, nil
	}
	return serveInternal(t, &remote{get: get}, func(cfg *httpapi.InternalConfig) { cfg.Outputs, cfg.Sources = folder(dir), sources{} })
}

func TestDownload_ServesWhatIsAskedOfTheFile(t *testing.T) {
	t.Parallel()
	s := serveFiles(t)
	for name, tc := range map[string]struct {
		method  string
		headers []string
		status  int
		body    string
		want    map[string]string
	}{
		"whole": {method: http.MethodGet, status: 200, body: video, want: map[string]string{
			"Content-Length": "16", "Content-Type": "video/mp4", "ETag": `"` + sum + `"`, "Accept-Ranges": "bytes",
			"Content-Disposition":    "inline; filename=" + taskID + "-0.mp4",
			"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache",
		}},
		"head": {method: http.MethodHead, status: 200, want: map[string]string{"Content-Length": "16", "ETag": `"` + sum + `"`}},
		"range": {
			method: http.MethodGet, headers: []string{"Range", "bytes=4-7"}, status: 206, body: "4567",
			want: map[string]string{"Content-Range": "bytes 4-7/16", "Content-Length": "4"},
		},
		"range from the end":   {method: http.MethodGet, headers: []string{"Range", "bytes=-3"}, status: 206, body: "def"},
		"range of this file":   {method: http.MethodGet, headers: []string{"Range", "bytes=12-", "If-Range", `"` + sum + `"`}, status: 206, body: "cdef"},
		"range of another":     {method: http.MethodGet, headers: []string{"Range", "bytes=12-", "If-Range", `"other"`}, status: 200, body: video},
		"known already":        {method: http.MethodGet, headers: []string{"If-None-Match", `"` + sum + `"`}, status: 304},
		"another was expected": {method: http.MethodGet, headers: []string{"If-Match", `"other"`}, status: 412},
		"range outside": {
			method: http.MethodGet, headers: []string{"Range", "bytes=16-"}, status: 416,
			body: `{"code":11,"message":"the range is outside the file"}`,
			want: map[string]string{"Content-Range": "bytes */16", "Content-Type": "application/json", "Content-Disposition": "", "ETag": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, tc.method, fileAt+"0", nil, append(tc.headers, "Authorization", "Bearer token")...)
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

func TestDownload_NamesTheFileAfterItsContainer(t *testing.T) {
	t.Parallel()
	a := serveFiles(t).do(t, http.MethodGet, fileAt+"1", nil, "Authorization", "Bearer token")
	if got := a.header.Get("Content-Disposition"); a.body != video || got != "inline; filename="+taskID+"-1.mov" {
		t.Errorf("answer %q, Content-Disposition %q", a.body, got)
	}
	if got := a.header.Values("ETag"); len(got) != 0 {
		t.Errorf("ETag %q of a file without a checksum", got)
	}
}

func TestDownload_RefusesInTheSameShape(t *testing.T) {
	t.Parallel()
	s := serveFiles(t)
	noOutput := `{"code":5,"message":"the task has no such output"}`
	for name, tc := range map[string]struct {
		path, token string
		status      int
		says        string
	}{
		"no credentials":       {fileAt + "0", "", 401, `"reason":"CREDENTIALS_INVALID"`},
		"of another tenant":    {"/v1/tasks/other/outputs/0", "Bearer token", 404, `"reason":"TASK_NOT_FOUND"`},
		"no such index":        {fileAt + "7", "Bearer token", 404, noOutput},
		"not named by the API": {fileAt + "5", "Bearer token", 404, noOutput},
		"another spelling":     {fileAt + "00", "Bearer token", 404, noOutput},
		"not a number":         {fileAt + "..", "Bearer token", 404, `"code":5`},
		"file is gone":         {fileAt + "2", "Bearer token", 410, `{"code":5,"message":"the file of this output is no longer kept"}`},
		"bucket fails":         {fileAt + "3", "Bearer token", 500, `{"code":13,"message":"internal error"}`},
		"bucket fails later":   {fileAt + "4", "Bearer token", 500, `{"code":13,"message":"internal error"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, http.MethodGet, tc.path, nil, "Authorization", tc.token)
			if a.status != tc.status || !strings.Contains(a.body, tc.says) {
				t.Errorf("answer %d %s\nwant %d with %s", a.status, a.body, tc.status, tc.says)
			}
			if got := a.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}

func TestDownload_ALinkIsItsOwnCredential(t *testing.T) {
	t.Parallel()
	s := serveFiles(t)
	a := s.do(t, http.MethodGet, "/v1/outputs/"+goodLink, nil, "Range", "bytes=4-7")
	if a.status != http.StatusPartialContent || a.body != "4567" {
		t.Errorf("answer %d %q, want 206 and 4567", a.status, a.body)
	}
	for key, want := range map[string]string{
		"Content-Type": "video/mp4", "ETag": `"` + sum + `"`, "Referrer-Policy": "no-referrer", "Cache-Control": "private, no-cache",
		"Content-Disposition": "inline; filename=" + taskID + "-0.mp4",
	} {
		if got := a.header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if a := s.do(t, http.MethodHead, "/v1/outputs/"+goodLink, nil); a.status != http.StatusOK || a.header.Get("Content-Length") != "16" {
		t.Errorf("HEAD gave %d with length %s", a.status, a.header.Get("Content-Length"))
	}
	for token, want := range map[string]int{goneLink: 404, "forged": 404, goodLink + "x": 404, badLink: 500} {
		a := s.do(t, http.MethodGet, "/v1/outputs/"+token, nil, "Authorization", "Bearer token")
		if a.status != want || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s gave %d %s, want %d", token, a.status, a.body, want)
		}
	}
	if log := s.log.String(); strings.Contains(log, badLink) {
		t.Errorf("the log holds a token:\n%s", log)
	}
}

// stoppable is a file of 64 MiB, of which most can be read only when a channel is closed.
type stoppable struct {
	read int64
	gate <-chan struct{}
}

const stoppableSize = 64 << 20

func (s *stoppable) Read(p []byte) (int, error) {
	if s.read >= 64<<10 {
		<-s.gate
	}
	n := min(int64(len(p)), stoppableSize-s.read)
	if n == 0 {
		return 0, io.EOF
	}
	s.read += n
	return int(n), nil
}

func (s *stoppable) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return stoppableSize, nil
	}
	s.read = offset
	return offset, nil
}

func (s *stoppable) Close() error { return nil }

// one opens one file for every output.
type one struct{ io.ReadSeekCloser }

func (o one) OpenOutput(context.Context, string, int) (io.ReadSeekCloser, time.Time, error) {
	return o.ReadSeekCloser, time.Time{}, nil
}

func (o one) OpenLink(context.Context, string) (*httpapi.LinkedOutput, error) {
	return nil, fs.ErrNotExist
}

// TestDownload_EndsWithItsCredentials revokes a token during a download. Without Bind the whole file arrives.
func TestDownload_EndsWithItsCredentials(t *testing.T) {
	t.Parallel()
	r := edge()
	r.get = func(context.Context, *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
		return &refractv1.GetTaskResponse{Task: &refractv1.Task{Id: taskID, Outputs: []*refractv1.Output{{ContentType: "video/mp4"}}}}, nil
	}
	gate := make(chan struct{})
	token, revoke := context.WithCancel(t.Context())
	s := serveInternal(t, r, func(cfg *httpapi.InternalConfig) {
		cfg.Outputs = one{&stoppable{gate: gate}}
		cfg.Enter = func(r *http.Request) httpapi.Caller {
			return callerStandIn{token: token, authenticate: func() error {
				if r.Header.Get("Authorization") != "Bearer token" {
					return refusal(t, codes.Unauthenticated, "CREDENTIALS_INVALID", "no token")
				}
				return nil
			}}
		}
	})
	resp := s.start(t, http.MethodGet, fileAt+"0", nil, "Authorization", "Bearer token")
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	revoke()
	close(gate)
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes and the end came after the token was revoked", n)
	}
	if a := s.do(t, http.MethodGet, fileAt+"0", nil); a.status != http.StatusUnauthorized {
		t.Errorf("a download without a token is answered %d %s", a.status, a.body)
	}
}
