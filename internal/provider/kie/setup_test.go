package kie

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey   = "kie-api-key-0123456789"
	testToken = "attempt-7.c2VjcmV0LXRva2Vu"
	taskID    = "774d9a7dd608a0e49293903095e45a4c"
	accepted  = `{"code":200,"msg":"success","data":{"taskId":"774d9a7dd608a0e49293903095e45a4c"}}`
)

var submission = provider.Submission{
	Prompt:      "A city at night <with> \"spires\" & stars",
	SourceURI:   "https://example.com/input-video.mp4?a=1&b=2",
	CallbackURL: "https://refract.example.com/v1/callbacks/kie/" + testToken,
}

// newProvider returns an adapter for the server at url that leaves no connection behind.
func newProvider(t testing.TB, url string, change ...func(*Config)) *Provider {
	t.Helper()
	cfg := Config{BaseURL: url, APIKey: testKey}
	for _, f := range change {
		f(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(p.http.CloseIdleConnections)
	return p
}

// serve starts a server and counts its requests.
func serve(t testing.TB, handler http.HandlerFunc) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		handler(w, r)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, requests
}

// answering returns an adapter whose provider gives one answer to everything.
func answering(t testing.TB, status int, body string, header ...string) *Provider {
	t.Helper()
	url, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	return newProvider(t, url)
}

// do runs one operation for its error.
func do(t testing.TB, p *Provider, op operation) error {
	t.Helper()
	var err error
	switch op {
	case opSubmit:
		_, err = p.Submit(t.Context(), submission)
	case opCheck:
		_, err = p.Check(t.Context(), taskID, time.Now().Add(-time.Hour))
	case opLink:
		_, err = p.RefreshLink(t.Context(), "https://tempfile.aiquickdraw.com/l/f7.mp4?sig=s3cr3t")
	}
	return err
}

// providerError returns err as the type that every error of the adapter has, without secrets in it.
func providerError(t testing.TB, err error) *provider.Error {
	t.Helper()
	perr, ok := errors.AsType[*provider.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), want *provider.Error", err, err)
	}
	for _, text := range []string{perr.Error(), perr.Message} {
		for _, secret := range []string{testKey, testToken, submission.CallbackURL, "s3cr3t"} {
			if strings.Contains(text, secret) {
				t.Fatalf("error %q tells the secret %q", text, secret)
			}
		}
	}
	if len(perr.Message) > provider.MaxMessage {
		t.Fatalf("message has %d bytes, want at most %d", len(perr.Message), provider.MaxMessage)
	}
	return perr
}

func wantClass(t testing.TB, err error, class provider.Class) *provider.Error {
	t.Helper()
	perr := providerError(t, err)
	if perr.Class != class {
		t.Fatalf("class is %v, want %v: %v", perr.Class, class, perr)
	}
	return perr
}
