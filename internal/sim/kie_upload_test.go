package sim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/sim"
)

func itoa(n int) string { return strconv.Itoa(n) }

// form is a multipart body with its fields after the file, in the order given.
func form(t *testing.T, file []byte, fields ...[2]string) (body []byte, contentType string) {
	t.Helper()
	var buf bytes.Buffer
	m := multipart.NewWriter(&buf)
	if file != nil {
		part, err := m.CreateFormFile("file", "own.mp4")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(file); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range fields {
		if err := m.WriteField(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), m.FormDataContentType()
}

// uploaded is data of an upload answer.
type uploaded struct {
	FileName, FilePath, DownloadURL, MimeType, UploadedAt string
	FileSize                                              int
}

func (w *world) checkUpload(got envelope, name string, file []byte) uploaded {
	w.Helper()
	var data uploaded
	if err := json.Unmarshal(got.Data, &data); err != nil || got.Code != 200 || !strings.HasPrefix(got.raw, `{"success":true,`) {
		w.Fatalf("upload: got %s", got.raw)
	}
	if data.FileName != name || data.FilePath != "videos/in/"+name || data.FileSize != len(file) || data.MimeType != "video/mp4" {
		w.Errorf("upload: got %+v", data)
	}
	if got := w.get(data.DownloadURL); got.raw != string(file) {
		w.Errorf("download: got status %d, %d bytes, want %d", got.status, len(got.raw), len(file))
	}
	return data
}

func TestUpload_StreamStoresAndServes(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	post := func(file []byte, fields ...[2]string) envelope {
		body, contentType := form(t, file, fields...)
		got, err := w.call(http.MethodPost, w.sim.URL()+"/api/file-stream-upload", apiKey, body, contentType)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	clip := sim.TinyClip()
	w.checkUpload(post(clip, [2]string{"uploadPath", "videos/in"}), "own.mp4", clip)
	first := w.checkUpload(post(clip, [2]string{"uploadPath", "videos/in"}, [2]string{"fileName", "a b.mp4"}), "a b.mp4", clip)
	other := sim.ResultClip("x", 0)
	second := w.checkUpload(post(other, [2]string{"uploadPath", "videos/in"}, [2]string{"fileName", "a b.mp4"}), "a b.mp4", other)
	if first.DownloadURL != second.DownloadURL {
		t.Errorf("a repeated name gave %s and %s, want the same link", first.DownloadURL, second.DownloadURL)
	}
	if got := w.downloadURL(second.DownloadURL); got.Code != 200 {
		t.Errorf("download-url of an upload: got %s", got.raw)
	}
	for name, got := range map[string]envelope{
		"no file":  post(nil, [2]string{"uploadPath", "videos/in"}),
		"no path":  post(clip),
		"slash":    post(clip, [2]string{"uploadPath", "videos/"}),
		"dots":     post(clip, [2]string{"uploadPath", "../etc"}),
		"no form":  w.post("/api/file-stream-upload", "text"),
		"bad JSON": w.post("/api/file-url-upload", 5),
	} {
		if got.Code != 400 || !strings.HasPrefix(got.raw, `{"success":false,`) {
			t.Errorf("%s: got %s, want 400", name, got.raw)
		}
	}
}

func TestUpload_RefusesAFileOverTheBound(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.MaxFile = 100 })
	got := w.post("/api/file-base64-upload", map[string]string{
		"base64Data": base64.StdEncoding.EncodeToString(make([]byte, 101)), "uploadPath": "a",
	})
	if got.Code != 400 || !strings.Contains(got.Msg, "too large") {
		t.Errorf("got %s, want 400", got.raw)
	}
}

func TestUpload_Base64AndURLStoreAndServe(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	clip := sim.TinyClip()
	text := base64.StdEncoding.EncodeToString(clip)
	var last uploaded
	for _, data := range []string{text, "data:video/mp4;base64," + text} {
		got := w.post("/api/file-base64-upload", map[string]string{"base64Data": data, "uploadPath": "videos/in", "fileName": "b.mp4"})
		last = w.checkUpload(got, "b.mp4", clip)
	}
	got := w.post("/api/file-url-upload", map[string]string{"fileUrl": last.DownloadURL, "uploadPath": "videos/in", "fileName": "c.mp4"})
	w.checkUpload(got, "c.mp4", clip)
	for _, bad := range []string{"file:///etc/passwd", w.sim.URL() + "/files/none.mp4", ""} {
		if got := w.post("/api/file-url-upload", map[string]string{"fileUrl": bad, "uploadPath": "a"}); got.Code != 400 {
			t.Errorf("%q: got %s, want 400", bad, got.raw)
		}
	}
	denied, err := w.call(http.MethodPost, w.sim.URL()+"/api/file-url-upload", "bad", []byte("{}"), "application/json")
	if err != nil || denied.Code != 401 {
		t.Errorf("bad key: got %s, %v", denied.raw, err)
	}
}
