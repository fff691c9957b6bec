package sim_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/simtest"
)

func TestResult_IsAVideoWithRangesThatDiffersPerFile(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id, urls := w.Result("results=2")
	if len(urls) != 2 {
		t.Fatalf("results %v, want 2", urls)
	}
	for n, u := range urls {
		if got := w.Get(u); got.Status != 200 || got.Raw != string(sim.ResultClip(id, n)) {
			t.Errorf("result %d: status %d, %d bytes; want its clip", n, got.Status, len(got.Raw))
		}
	}
	if string(sim.ResultClip(id, 0)) == string(sim.ResultClip(id, 1)) {
		t.Error("both results are alike")
	}
	resp := w.Ranged(urls[0], "bytes=4-7")
	if resp.Status != http.StatusPartialContent || resp.Raw != "ftyp" {
		t.Errorf("range: got status %d, %q; want 206 and ftyp", resp.Status, resp.Raw)
	}
	if got := w.Get(w.Sim.URL() + "/results/guess.mp4"); got.Status != 404 {
		t.Errorf("unknown link: status %d, want 404", got.Status)
	}
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
			w := simtest.Setup(t, nil)
			id, urls := w.Result(tt.directive)
			got := []int{w.Get(urls[0]).Status, w.Get(urls[0]).Status}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
			if tt.renew != 200 {
				if got := w.DownloadURL(urls[0]); got.Code != tt.renew {
					t.Errorf("download-url: got %s, want %d", got.Raw, tt.renew)
				}
				return
			}
			fresh := w.Renewed(urls[0])
			for range 2 {
				if got := w.Get(fresh); fresh == urls[0] || got.Status != 200 || got.Raw != string(sim.ResultClip(id, 0)) {
					t.Errorf("fresh link %s: status %d, %d bytes", fresh, got.Status, len(got.Raw))
				}
			}
		})
	}
}

func TestResult_ExpiresAfterItsTime(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, func(c *simtest.Config) { c.LinkTTL, c.Kie.DownloadTTL, c.ExpiredStatus = 1, time.Hour, 403 })
	_, urls := w.Result("results=1")
	if got := w.Get(urls[0]); got.Status != 403 {
		t.Errorf("status %d, want 403", got.Status)
	}
	if got := w.Get(w.Renewed(urls[0])); got.Status != 200 {
		t.Errorf("fresh link: status %d, want 200", got.Status)
	}
}

func TestDownloadURL_RefusesForeignURLs(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	for url, code := range map[string]int{
		"https://elsewhere.example/a.mp4": 422, w.Sim.URL() + "0/results/a.mp4": 422, "": 422, w.Sim.URL() + "/results/guess.mp4": 404,
	} {
		if got := w.DownloadURL(url); got.Code != code {
			t.Errorf("%q: got %s, want %d", url, got.Raw, code)
		}
	}
	got, err := w.Call(http.MethodPost, w.Sim.URL()+"/api/v1/common/download-url", "bad", []byte(`{}`), "application/json")
	if err != nil || got.Code != 401 {
		t.Errorf("bad key: got %s, %v", got.Raw, err)
	}
}

func TestResult_BreaksOffAndResumes(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id, urls := w.Result("cut")
	whole := string(sim.ResultClip(id, 0))
	first := w.Ranged(urls[0], "bytes=0-")
	if half := (len(whole) + 1) / 2; len(first.Raw) != half {
		t.Fatalf("first download has %d bytes, want %d of %d", len(first.Raw), half, len(whole))
	}
	if _, err := w.Call(http.MethodGet, urls[0], simtest.APIKey, nil, ""); err == nil {
		t.Error("a whole download ended without an error")
	}
	rest := w.Ranged(urls[0], "bytes="+strconv.Itoa(len(first.Raw))+"-")
	if first.Raw+rest.Raw != whole {
		t.Errorf("both parts make %d bytes, want the %d of the file", len(first.Raw)+len(rest.Raw), len(whole))
	}
	_, urls = w.Result("cut=100")
	if got := w.Ranged(urls[0], "bytes=0-"); len(got.Raw) != 100 {
		t.Errorf("download has %d bytes, want 100", len(got.Raw))
	}
}

func TestResult_IsSlow(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	id, urls := w.Result("slow=100ms")
	begun := time.Now()
	if got := w.Get(urls[0]); got.Raw != string(sim.ResultClip(id, 0)) {
		t.Errorf("got %d bytes, want the clip", len(got.Raw))
	}
	if took := time.Since(begun); took < 100*time.Millisecond {
		t.Errorf("download took %v, want at least 100ms", took)
	}
}

func TestResult_IsHTMLInsteadOfAVideo(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	_, urls := w.Result("html-result")
	if got := w.Get(urls[0]); got.Status != 200 || !strings.HasPrefix(got.Raw, "<!doctype html>") {
		t.Errorf("got status %d, %.40q; want an HTML page", got.Status, got.Raw)
	}
}

func TestResult_FaultyHostsServeWhatTheySay(t *testing.T) {
	t.Parallel()
	w := simtest.Setup(t, nil)
	clip := func(id string) string { return string(sim.ResultClip(id, 0)) }

	id, urls := w.Result("half-result")
	if got := w.Get(urls[0]); got.Status != 200 || got.Raw != clip(id)[:len(clip(id))/2] {
		t.Errorf("half-result: status %d with %d bytes, want the first half of %d", got.Status, len(got.Raw), len(clip(id)))
	}
	id, urls = w.Result("long-length=7")
	if length, raw := w.Broken(urls[0], len(clip(id))); length != int64(len(clip(id))+7) || raw != clip(id) {
		t.Errorf("long-length: %d bytes announced as %d, want the clip of %d and 7 more", len(raw), length, len(clip(id)))
	}
	if got := w.Ranged(urls[0], fmt.Sprintf("bytes=%d-", len(clip(id)))); got.Status != 416 {
		t.Errorf("long-length: the rest is answered %d, want 416", got.Status)
	}
	_, urls = w.Result("loris=1h")
	if _, raw := w.Broken(urls[0], 1); len(raw) != 1 {
		t.Errorf("loris: %d bytes at once, want 1", len(raw))
	}
	id, urls = w.Result("endless")
	if length, raw := w.Broken(urls[0], 1<<20); length != -1 || len(raw) != 1<<20 || !strings.HasPrefix(raw, clip(id)) {
		t.Errorf("endless: %d bytes of %d, want a megabyte of an unknown length that begins like the clip", len(raw), length)
	}
	_, urls = w.Result("redirect=http://127.0.0.1:1/elsewhere")
	w.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if got := w.Get(urls[0]); got.Status != 302 {
		t.Errorf("redirect: status %d, want 302", got.Status)
	}
}
