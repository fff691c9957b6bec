package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
)

// result submits a task and returns its id and its result URLs.
func (w *world) result(directives string) (string, []string) {
	w.Helper()
	id := w.submit("p [sim:" + directives + "]")
	return id, w.finished(id, 1).Response.ResultURLs
}

func (w *world) downloadURL(old string) envelope {
	w.Helper()
	return w.post("/api/v1/common/download-url", map[string]string{"url": old})
}

// renewed returns the fresh link that download-url gives.
func (w *world) renewed(old string) string {
	w.Helper()
	var fresh string
	if got := w.downloadURL(old); json.Unmarshal(got.Data, &fresh) != nil || got.Code != 200 {
		w.Fatalf("download-url: got %s", got.raw)
	}
	return fresh
}

func TestResult_IsAVideoWithRangesThatDiffersPerFile(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	id, urls := w.result("results=2")
	if len(urls) != 2 {
		t.Fatalf("results %v, want 2", urls)
	}
	for n, u := range urls {
		if got := w.get(u); got.status != 200 || got.raw != string(sim.ResultClip(id, n)) {
			t.Errorf("result %d: status %d, %d bytes; want its clip", n, got.status, len(got.raw))
		}
	}
	if string(sim.ResultClip(id, 0)) == string(sim.ResultClip(id, 1)) {
		t.Error("both results are alike")
	}
	resp := w.ranged(urls[0], "bytes=4-7")
	if resp.status != http.StatusPartialContent || resp.raw != "ftyp" {
		t.Errorf("range: got status %d, %q; want 206 and ftyp", resp.status, resp.raw)
	}
	if got := w.get(w.sim.URL() + "/results/guess.mp4"); got.status != 404 {
		t.Errorf("unknown link: status %d, want 404", got.status)
	}
}

// ranged downloads a part of a file; what arrived before a broken connection is kept.
func (w *world) ranged(url, part string) envelope {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Range", part)
	resp, err := w.http.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil && !strings.Contains(err.Error(), "unexpected EOF") {
		w.Fatal(err)
	}
	return envelope{status: resp.StatusCode, raw: string(raw)}
}

func TestResult_LinksDieAndReviveAsScripted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directive string
		want      []int // statuses of two downloads
		renew     int
	}{
		{"expired", []int{404, 404}, 200},
		{"expired=403", []int{403, 403}, 200},
		{"gone=410", []int{410, 410}, 404},
		{"once", []int{200, 404}, 200},
		{"results=1", []int{200, 200}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.directive, func(t *testing.T) {
			t.Parallel()
			w := setup(t, nil)
			id, urls := w.result(tt.directive)
			got := []int{w.get(urls[0]).status, w.get(urls[0]).status}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
			if tt.renew != 200 {
				if got := w.downloadURL(urls[0]); got.Code != tt.renew {
					t.Errorf("download-url: got %s, want %d", got.raw, tt.renew)
				}
				return
			}
			fresh := w.renewed(urls[0])
			for range 2 {
				if got := w.get(fresh); fresh == urls[0] || got.status != 200 || got.raw != string(sim.ResultClip(id, 0)) {
					t.Errorf("fresh link %s: status %d, %d bytes", fresh, got.status, len(got.raw))
				}
			}
		})
	}
}

func TestResult_ExpiresAfterItsTime(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *config) { c.LinkTTL, c.Kie.DownloadTTL, c.ExpiredStatus = 1, time.Hour, 403 })
	_, urls := w.result("results=1")
	if got := w.get(urls[0]); got.status != 403 {
		t.Errorf("status %d, want 403", got.status)
	}
	if got := w.get(w.renewed(urls[0])); got.status != 200 {
		t.Errorf("fresh link: status %d, want 200", got.status)
	}
}

func TestDownloadURL_RefusesForeignURLs(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	for url, code := range map[string]int{
		"https://elsewhere.example/a.mp4": 422, w.sim.URL() + "0/results/a.mp4": 422, "": 422, w.sim.URL() + "/results/guess.mp4": 404,
	} {
		if got := w.downloadURL(url); got.Code != code {
			t.Errorf("%q: got %s, want %d", url, got.raw, code)
		}
	}
	got, err := w.call(http.MethodPost, w.sim.URL()+"/api/v1/common/download-url", "bad", []byte(`{}`), "application/json")
	if err != nil || got.Code != 401 {
		t.Errorf("bad key: got %s, %v", got.raw, err)
	}
}

func TestResult_BreaksOffAndResumes(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	id, urls := w.result("cut")
	whole := string(sim.ResultClip(id, 0))
	first := w.ranged(urls[0], "bytes=0-")
	if half := (len(whole) + 1) / 2; len(first.raw) != half {
		t.Fatalf("first download has %d bytes, want %d of %d", len(first.raw), half, len(whole))
	}
	if _, err := w.call(http.MethodGet, urls[0], apiKey, nil, ""); err == nil {
		t.Error("a whole download ended without an error")
	}
	rest := w.ranged(urls[0], "bytes="+itoa(len(first.raw))+"-")
	if first.raw+rest.raw != whole {
		t.Errorf("both parts make %d bytes, want the %d of the file", len(first.raw)+len(rest.raw), len(whole))
	}
	_, urls = w.result("cut=100")
	if got := w.ranged(urls[0], "bytes=0-"); len(got.raw) != 100 {
		t.Errorf("download has %d bytes, want 100", len(got.raw))
	}
}

func TestResult_IsSlow(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	id, urls := w.result("slow=100ms")
	begun := time.Now()
	if got := w.get(urls[0]); got.raw != string(sim.ResultClip(id, 0)) {
		t.Errorf("got %d bytes, want the clip", len(got.raw))
	}
	if took := time.Since(begun); took < 100*time.Millisecond {
		t.Errorf("download took %v, want at least 100ms", took)
	}
}

func TestResult_IsHTMLInsteadOfAVideo(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	_, urls := w.result("html-result")
	if got := w.get(urls[0]); got.status != 200 || !strings.HasPrefix(got.raw, "<!doctype html>") {
		t.Errorf("got status %d, %.40q; want an HTML page", got.status, got.raw)
	}
}

func TestResult_FaultyHostsServeWhatTheySay(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	clip := func(id string) string { return string(sim.ResultClip(id, 0)) }

	id, urls := w.result("half-result")
	if got := w.get(urls[0]); got.status != 200 || got.raw != clip(id)[:len(clip(id))/2] {
		t.Errorf("half-result: status %d with %d bytes, want the first half of %d", got.status, len(got.raw), len(clip(id)))
	}
	id, urls = w.result("long-length=7")
	if length, raw := w.broken(urls[0], len(clip(id))); length != int64(len(clip(id))+7) || raw != clip(id) {
		t.Errorf("long-length: %d bytes announced as %d, want the clip of %d and 7 more", len(raw), length, len(clip(id)))
	}
	if got := w.ranged(urls[0], fmt.Sprintf("bytes=%d-", len(clip(id)))); got.status != 416 {
		t.Errorf("long-length: the rest is answered %d, want 416", got.status)
	}
	_, urls = w.result("loris=1h")
	if _, raw := w.broken(urls[0], 1); len(raw) != 1 {
		t.Errorf("loris: %d bytes at once, want 1", len(raw))
	}
	id, urls = w.result("endless")
	if length, raw := w.broken(urls[0], 1<<20); length != -1 || len(raw) != 1<<20 || !strings.HasPrefix(raw, clip(id)) {
		t.Errorf("endless: %d bytes of %d, want a megabyte of an unknown length that begins like the clip", len(raw), length)
	}
	_, urls = w.result("redirect=http://127.0.0.1:1/elsewhere")
	w.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if got := w.get(urls[0]); got.status != 302 {
		t.Errorf("redirect: status %d, want 302", got.status)
	}
}

// broken downloads at least some bytes of a file, then what follows within a moment, at most a megabyte in all. It returns
// them and the length that was announced.
func (w *world) broken(url string, atLeast int) (length int64, raw string) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	text := make([]byte, atLeast)
	if _, err := io.ReadFull(resp.Body, text); err != nil {
		w.Errorf("less than %d bytes came: %v", atLeast, err)
	}
	defer time.AfterFunc(100*time.Millisecond, cancel).Stop()
	rest, _ := io.ReadAll(io.LimitReader(resp.Body, int64(1<<20-atLeast))) // Its end is not an orderly one.
	return resp.ContentLength, string(text) + string(rest)
}
