package fal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/simtest"
)

// initiated is the answer of both calls that begin an upload.
type initiated struct {
	FileURL   string `json:"file_url"`
	UploadURL string `json:"upload_url"`
}

// initiate begins an upload of a video.
func initiate(w *simtest.Fixture, call string, header http.Header) initiated {
	w.Helper()
	got := w.FalCall(http.MethodPost, w.Sim.URL()+fal.RestPath+"/storage/upload/"+call+"?storage_type=fal-cdn-v3", header,
		map[string]string{"file_name": "clip one.mp4", "content_type": "video/mp4"})
	var answer initiated
	if err := json.Unmarshal([]byte(got.Raw), &answer); err != nil || got.Status != 200 {
		w.Fatalf("%s: status %d, %s", call, got.Status, got.Raw)
	}
	return answer
}

// bare sends a request without a key.
func bare(w *simtest.Fixture, method, address string, body []byte) simtest.Answer {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	resp, err := w.HTTP.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(resp.Body); err != nil {
		w.Fatal(err)
	}
	return simtest.Answer{Status: resp.StatusCode, Header: resp.Header, Raw: raw.String()}
}

func TestUpload_ServesTheFileAfterItsPUT(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Source = sim.SourceFetch })
	up := initiate(w, "initiate", nil)
	if got := bare(w, http.MethodGet, up.FileURL, nil); got.Status != 404 {
		t.Errorf("before the PUT: status %d, want 404", got.Status)
	}
	clip := sim.SampleClip()
	if got := bare(w, http.MethodPut, up.UploadURL, clip); got.Status != 200 || got.Raw != "" {
		t.Errorf("PUT: status %d, %s", got.Status, got.Raw)
	}
	if got := bare(w, http.MethodGet, up.FileURL, nil); got.Raw != string(clip) || got.Header.Get("Content-Type") != "video/mp4" {
		t.Errorf("file: status %d, %d bytes, %v", got.Status, len(got.Raw), got.Header)
	}
	request := w.QueuedInput(grok, simtest.Object{"prompt": "p", "video_url": up.FileURL}, nil)
	if got := w.FalReached(request, "COMPLETED"); got.Error != "" {
		t.Errorf("a request with the file: %+v", got)
	}
	var results []sim.Result
	for _, e := range w.Sim.Ledger() {
		results = append(results, e.Result)
	}
	if diff := cmp.Diff([]sim.Result{sim.ResultServed, sim.ResultServed, sim.ResultCreated}, results); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

func TestUpload_HasTheLifetimeThatTheClientWants(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.Fal.LinkTTL = 1 })
	for life, want := range map[string]int{"{}": 404, `{"expiration_duration_seconds":3600}`: 200} {
		up := initiate(w, "initiate", http.Header{"X-Fal-Object-Lifecycle": {life}})
		bare(w, http.MethodPut, up.UploadURL, sim.TinyClip())
		if got := bare(w, http.MethodGet, up.FileURL, nil); got.Status != want {
			t.Errorf("lifecycle %s: status %d, want %d", life, got.Status, want)
		}
	}
}

func TestUpload_JoinsTheParts(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	up := initiate(w, "initiate-multipart", nil)
	address, query, _ := strings.Cut(up.UploadURL, "?")
	var listed []string
	for n, text := range map[int]string{2: "world", 1: "hello "} {
		got := bare(w, http.MethodPut, fmt.Sprintf("%s/%d?%s", address, n, query), []byte(text))
		if got.Status != 200 || !strings.HasPrefix(got.Raw, fmt.Sprintf(`{"partNumber":%d,"etag":"\"`, n)) {
			t.Errorf("part %d: status %d, %s", n, got.Status, got.Raw)
		}
		listed = append(listed, got.Raw)
		if n == 1 && len(listed) == 2 { // The parts may come in any order, but are listed in theirs.
			listed[0], listed[1] = listed[1], listed[0]
		}
	}
	complete := address + "/complete?" + query
	for name, body := range map[string]string{
		"missing":   fmt.Sprintf(`{"parts":[%s]}`, listed[0]),
		"unordered": fmt.Sprintf(`{"parts":[%s,%s]}`, listed[1], listed[0]),
		"none":      `{"parts":[]}`,
		"changed":   fmt.Sprintf(`{"parts":[%s,{"partNumber":2,"etag":"x"}]}`, listed[0]),
	} {
		if got := bare(w, http.MethodPost, complete, []byte(body)); got.Status != 400 {
			t.Errorf("%s: status %d, %s; want 400", name, got.Status, got.Raw)
		}
	}
	if got := bare(w, http.MethodPost, complete, fmt.Appendf(nil, `{"parts":[%s,%s]}`, listed[0], listed[1])); got.Status != 200 {
		t.Errorf("complete: status %d, %s", got.Status, got.Raw)
	}
	if got := bare(w, http.MethodGet, up.FileURL, nil); got.Raw != "hello world" {
		t.Errorf("file: status %d, %q", got.Status, got.Raw)
	}
}

func TestUpload_RefusesWhatItDoesNotTake(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.MaxFile = 10 })
	whole, parts := initiate(w, "initiate", nil), initiate(w, "initiate-multipart", nil)
	address, query, _ := strings.Cut(parts.UploadURL, "?")
	for _, tt := range []struct {
		name, method, address string
		body                  string
		want                  int
	}{
		{"too large", http.MethodPut, whole.UploadURL, "more than ten bytes", 413},
		{"another signature", http.MethodPut, whole.UploadURL + "0", "x", 403},
		{"unknown upload", http.MethodPut, w.Sim.URL() + fal.RestPath + "/upload/none?" + query, "x", 404},
		{"parts at once", http.MethodPut, parts.UploadURL, "x", 400},
		{"part of a whole", http.MethodPut, strings.Replace(whole.UploadURL, "?", "/1?", 1), "x", 400},
		{"part 0", http.MethodPut, address + "/0?" + query, "x", 400},
		{"no list", http.MethodPost, address + "/complete?" + query, "x", 400},
	} {
		if got := bare(w, tt.method, tt.address, []byte(tt.body)); got.Status != tt.want {
			t.Errorf("%s: status %d, %s; want %d", tt.name, got.Status, got.Raw, tt.want)
		}
	}
	if got := w.FalCall(http.MethodPut, whole.UploadURL, nil, nil); got.Status != 400 {
		t.Errorf("with a key: status %d, want 400", got.Status)
	}
	start := w.Sim.URL() + fal.RestPath + "/storage/upload/initiate"
	file := map[string]string{"file_name": "a.mp4", "content_type": "video/mp4"}
	for name, got := range map[string]simtest.Answer{
		"storage":   w.FalCall(http.MethodPost, start, nil, file),
		"name":      w.FalCall(http.MethodPost, start+"?storage_type=fal-cdn-v3", nil, simtest.Object{}),
		"lifecycle": w.FalCall(http.MethodPost, start+"?storage_type=fal-cdn-v3", http.Header{"X-Fal-Object-Lifecycle": {"1h"}}, file),
	} {
		if got.Status != 422 {
			t.Errorf("%s: status %d, %s; want 422", name, got.Status, got.Raw)
		}
	}
	if got, err := w.Call(http.MethodPost, start, simtest.APIKey, nil, ""); err != nil || got.Status != 401 { // With the scheme Bearer.
		t.Errorf("another scheme: status %d, %v; want 401", got.Status, err)
	}
}
