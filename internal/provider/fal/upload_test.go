package fal

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
	"github.com/refract-video/refract/internal/sim"
	simfal "github.com/refract-video/refract/internal/sim/fal"
)

func file(content string) provider.File {
	return provider.File{Name: "a-1.mp4", ContentType: "video/mp4", SizeBytes: int64(len(content)), Content: strings.NewReader(content)}
}

// TestUpload_GivesALinkToTheFile uploads a file that goes in one request, and the smallest that goes in parts.
func TestUpload_GivesALinkToTheFile(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"clip": len(sim.TinyClip()), "parts": maxWhole + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uploads(t, append(sim.TinyClip(), make([]byte, size-len(sim.TinyClip()))...))
		})
	}
}

func uploads(t *testing.T, clip []byte) {
	t.Helper()
	s, err := sim.Start(sim.Config{APIKeys: []string{wiretest.Key}}, simfal.Profile{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p := newProvider(t, s.BaseURL(Name), func(c *Config) { c.RestURL = restOf(s.BaseURL(Name)) })
	link, err := p.Upload(t.Context(), provider.File{
		Name: "a-1.mp4", ContentType: "video/mp4", SizeBytes: int64(len(clip)), Content: bytes.NewReader(clip),
	})
	if err != nil || !strings.HasSuffix(link, "/a-1.mp4") {
		t.Fatalf("link %q, %v", link, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, clip) {
		t.Errorf("the link leads to %d bytes, %v, want the %d that were uploaded", len(got), err, len(clip))
	}
}

// TestUpload_SendsTheKeyToTheAPIAlone wants the file to go to the place that the API named, with the length and without the key.
func TestUpload_SendsTheKeyToTheAPIAlone(t *testing.T) {
	t.Parallel()
	var got [][]string
	var url string
	url, _ = wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, []string{
			r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get("X-Fal-Object-Lifecycle"),
			strconv.FormatInt(r.ContentLength-int64(len(body)), 10), strings.TrimSpace(string(body)),
		})
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, `{"file_url":"https://v3b.fal.media/files/b/a-1.mp4","upload_url":"`+url+`/place?sig=s3cr3t"}`)
		}
	})
	link, err := newProvider(t, "http://127.0.0.1:1", func(c *Config) { c.RestURL = url }).Upload(t.Context(), file("hello"))
	if err != nil || link != "https://v3b.fal.media/files/b/a-1.mp4" {
		t.Fatalf("link %q, %v", link, err)
	}
	const life = `{"expiration_duration_seconds":604800}`
	want := [][]string{
		{"POST", "/storage/upload/initiate?storage_type=fal-cdn-v3", "Key " + wiretest.Key, "application/json", life, "0", `{"content_type":"video/mp4","file_name":"a-1.mp4"}`},
		{"PUT", "/place?sig=s3cr3t", "", "video/mp4", "", "0", "hello"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestUpload_SendsALargeFileInParts wants each part to be a bare PUT, and the last call to list them.
func TestUpload_SendsALargeFileInParts(t *testing.T) {
	t.Parallel()
	var got []string
	var url string
	url, _ = wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got = append(got, strings.Join([]string{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type")}, " "))
		switch {
		case strings.HasPrefix(r.URL.Path, "/storage/"):
			_, _ = io.WriteString(w, `{"file_url":"https://v3b.fal.media/files/b/a-1.mp4","upload_url":"`+url+`/place?sig=s3cr3t"}`)
		case r.Method == http.MethodPut:
			number := strings.TrimPrefix(r.URL.Path, "/place/")
			_, _ = io.WriteString(w, `{"partNumber":`+number+`,"etag":"`+strconv.FormatInt(n, 10)+`"}`)
		}
	})
	large := provider.File{Name: "a-1.mp4", ContentType: "video/mp4", SizeBytes: maxWhole + 1, Content: zeros{}}
	link, err := newProvider(t, url).Upload(t.Context(), large)
	if err != nil || link != "https://v3b.fal.media/files/b/a-1.mp4" {
		t.Fatalf("link %q, %v", link, err)
	}
	want := []string{"POST /storage/upload/initiate-multipart?storage_type=fal-cdn-v3 Key " + wiretest.Key + " application/json"}
	for i := range 10 {
		want = append(want, "PUT /place/"+strconv.Itoa(i+1)+"?sig=s3cr3t  ")
	}
	want = append(want, "POST /place/complete?sig=s3cr3t  application/json")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestUpload_EndsWithAPartThatIsNotStored(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]http.HandlerFunc{
		"refused":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"no etag":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"partNumber":1}`) },
		"another part": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"partNumber":2,"etag":"x"}`) },
		"a page":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<html>`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var url string
			var requests *atomic.Int32
			url, requests = wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if strings.HasPrefix(r.URL.Path, "/storage/") {
					_, _ = io.WriteString(w, `{"file_url":"https://h/a.mp4","upload_url":"`+url+`/place?sig=s3cr3t"}`)
					return
				}
				handle(w, r)
			})
			_, err := newProvider(t, url).Upload(t.Context(), provider.File{Name: "a.mp4", SizeBytes: maxWhole + 1, Content: zeros{}})
			wiretest.WantClass(t, err, provider.Unavailable)
			if n := requests.Load(); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
		})
	}
}

func TestUpload_SaysWhatTheStoreSaid(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]wire.Verdict{
		403: wire.Unavailable, 413: wire.BadInput, 302: wire.Unavailable, 404: wire.Unavailable, 500: wire.Unavailable,
	} {
		var url string
		url, _ = wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				_, _ = io.WriteString(w, `{"file_url":"https://h/a.mp4","upload_url":"`+url+`/place?sig=s3cr3t"}`)
				return
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `<Error>no `+url+`/place?sig=s3cr3t</Error>`)
		})
		perr := wiretest.ProviderError(t, adapter().Do(t, newProvider(t, url), wire.OpUpload))
		if got := (wire.Verdict{Class: perr.Class, Pause: perr.Pause, Input: perr.Input}); got != want || perr.Code != status {
			t.Errorf("%d means %+v, want %+v", status, got, want)
		}
	}
}

func TestUpload_TakesNoPlaceThatIsNone(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		`{}`, `{"file_url":"https://h/a.mp4"}`, `{"upload_url":"https://h/a.mp4"}`, `{"upload_url":"ftp://h/a","file_url":"https://h/a.mp4"}`,
		`{"upload_url":"https://h/a","file_url":"/a.mp4"}`, `{"upload_url":7,"file_url":"https://h/a.mp4"}`,
	} {
		wiretest.WantClass(t, adapter().Do(t, answering(t, 200, answer), wire.OpUpload), provider.Unavailable)
	}
}

func TestUpload_SendsNoFileInTheClear(t *testing.T) {
	t.Parallel()
	secure, plain := newProvider(t, ""), newProvider(t, "http://127.0.0.1:1")
	for target, want := range map[string][2]bool{
		"https://store.example.com/a": {true, true},
		"http://store.example.com/a":  {false, true},
		"file:///etc/passwd":          {false, false},
		"":                            {false, false},
	} {
		if got := [2]bool{secure.mayUpload(target), plain.mayUpload(target)}; got != want {
			t.Errorf("%q: %v, want %v", target, got, want)
		}
	}
}
