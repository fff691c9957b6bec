package kie_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/simtest"
)

// uploaded is data of an upload answer.
type uploaded struct {
	FileName, FilePath, DownloadURL, MimeType, UploadedAt string
	FileSize                                              int
}

func checkUpload(w *simtest.Fixture, got simtest.Answer, name string, file []byte) uploaded {
	w.Helper()
	var data uploaded
	if err := json.Unmarshal(got.Data, &data); err != nil || got.Code != 200 || !strings.HasPrefix(got.Raw, `{"success":true,`) {
		w.Fatalf("upload: got %s", got.Raw)
	}
	if data.FileName != name || data.FilePath != "videos/in/"+name || data.FileSize != len(file) || data.MimeType != "video/mp4" {
		w.Errorf("upload: got %+v", data)
	}
	if got := w.Get(data.DownloadURL); got.Raw != string(file) {
		w.Errorf("download: got status %d, %d bytes, want %d", got.Status, len(got.Raw), len(file))
	}
	return data
}

func TestUpload_StreamStoresAndServes(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	post := func(file []byte, fields ...[2]string) simtest.Answer {
		body, contentType := simtest.Form(t, file, fields...)
		got, err := w.Call(http.MethodPost, w.Sim.URL()+"/api/file-stream-upload", simtest.APIKey, body, contentType)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	clip := sim.TinyClip()
	checkUpload(w, post(clip, [2]string{"uploadPath", "videos/in"}), "own.mp4", clip)
	first := checkUpload(w, post(clip, [2]string{"uploadPath", "videos/in"}, [2]string{"fileName", "a b.mp4"}), "a b.mp4", clip)
	other := sim.ResultClip("x", 0)
	second := checkUpload(w, post(other, [2]string{"uploadPath", "videos/in"}, [2]string{"fileName", "a b.mp4"}), "a b.mp4", other)
	if first.DownloadURL != second.DownloadURL {
		t.Errorf("a repeated name gave %s and %s, want the same link", first.DownloadURL, second.DownloadURL)
	}
	if got := w.DownloadURL(second.DownloadURL); got.Code != 200 {
		t.Errorf("download-url of an upload: got %s", got.Raw)
	}
	for name, got := range map[string]simtest.Answer{
		"no file":  post(nil, [2]string{"uploadPath", "videos/in"}),
		"no path":  post(clip),
		"slash":    post(clip, [2]string{"uploadPath", "videos/"}),
		"dots":     post(clip, [2]string{"uploadPath", "../etc"}),
		"no form":  w.Post("/api/file-stream-upload", "text"),
		"bad JSON": w.Post("/api/file-url-upload", 5),
	} {
		if got.Code != 400 || !strings.HasPrefix(got.Raw, `{"success":false,`) {
			t.Errorf("%s: got %s, want 400", name, got.Raw)
		}
	}
}

func TestUpload_RefusesAFileOverTheBound(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.MaxFile = 100 })
	got := w.Post("/api/file-base64-upload", map[string]string{
		"base64Data": base64.StdEncoding.EncodeToString(make([]byte, 101)), "uploadPath": "a",
	})
	if got.Code != 400 || !strings.Contains(got.Msg, "too large") {
		t.Errorf("got %s, want 400", got.Raw)
	}
}

func TestUpload_Base64AndURLStoreAndServe(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	clip := sim.TinyClip()
	text := base64.StdEncoding.EncodeToString(clip)
	var last uploaded
	for _, data := range []string{text, "data:video/mp4;base64," + text} {
		got := w.Post("/api/file-base64-upload", map[string]string{"base64Data": data, "uploadPath": "videos/in", "fileName": "b.mp4"})
		last = checkUpload(w, got, "b.mp4", clip)
	}
	got := w.Post("/api/file-url-upload", map[string]string{"fileUrl": last.DownloadURL, "uploadPath": "videos/in", "fileName": "c.mp4"})
	checkUpload(w, got, "c.mp4", clip)
	for _, bad := range []string{"file:///etc/passwd", w.Sim.URL() + "/files/none.mp4", ""} {
		if got := w.Post("/api/file-url-upload", map[string]string{"fileUrl": bad, "uploadPath": "a"}); got.Code != 400 {
			t.Errorf("%q: got %s, want 400", bad, got.Raw)
		}
	}
	denied, err := w.Call(http.MethodPost, w.Sim.URL()+"/api/file-url-upload", "bad", []byte("{}"), "application/json")
	if err != nil || denied.Code != 401 {
		t.Errorf("bad key: got %s, %v", denied.Raw, err)
	}
}
