// Package wiretest is what the tests of provider adapters share: servers with faults, checks of every error and status that an
// adapter returns, and the runners of the tables in which each adapter has its own wire format.
package wiretest

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// What tests send, and the parts of it that no error may hold.
const (
	Key   = "provider-api-key-0123456789"
	Token = "attempt-7.c2VjcmV0LXRva2Vu" //nolint:gosec // Made up.
	// LinkSecret stands for the signature of a signed link.
	LinkSecret  = "s3cr3t"
	CallbackURL = "https://refract.example.com/v1/callbacks/provider/" + Token
)

// Submission has every character that JSON encoders like to escape.
var Submission = provider.Submission{
	Remote:      "modify/generate",
	Inputs:      map[string]any{"prompt": "A city at night <with> \"spires\" & stars", "source": "https://example.com/input-video.mp4?a=1&b=2"},
	CallbackURL: CallbackURL,
}

// SubmissionOf returns what a task asks of an offering: of the built-in catalog, by the provider and our or its name of the model.
func SubmissionOf(t testing.TB, providerName, model string, r catalog.Request, callbackURL string) provider.Submission {
	t.Helper()
	all, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	o := all.Offering(providerName, model)
	if o == nil {
		t.Fatalf("%s has no offering of %q", providerName, model)
	}
	return provider.Submission{Remote: o.Remote, Inputs: o.Inputs(r), CallbackURL: callbackURL}
}

// Serve starts a server and counts its requests.
func Serve(t testing.TB, handler http.HandlerFunc) (url string, requests *atomic.Int32) {
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

// Answering starts a server that gives one answer to everything, with headers as pairs of name and value.
func Answering(t testing.TB, status int, body string, header ...string) (url string) {
	t.Helper()
	url, _ = Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	return url
}

// Drop is a handler that reads the request and resets the connection.
func Drop(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// ClosedAddress returns an address of this machine without a listener.
func ClosedAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// ProviderError returns err as the type that every error of an adapter has, without secrets in it.
func ProviderError(t testing.TB, err error) *provider.Error {
	t.Helper()
	perr, ok := errors.AsType[*provider.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), want *provider.Error", err, err)
	}
	for _, text := range []string{perr.Error(), perr.Message} {
		for _, secret := range []string{Key, Token, CallbackURL, LinkSecret} {
			if strings.Contains(text, secret) {
				t.Fatalf("error %q leaks the secret %q", text, secret)
			}
		}
	}
	CheckError(t, perr)
	return perr
}

// CheckError wants an error to be one that an adapter can report.
func CheckError(t testing.TB, perr *provider.Error) {
	t.Helper()
	CheckText(t, perr.Message)
	if (perr.Class == provider.AccountBlocked) != (perr.Pause != "") {
		t.Fatalf("class %v with pause %q", perr.Class, perr.Pause)
	}
	if perr.Input && perr.Class != provider.Rejected {
		t.Fatalf("class %v blames the input", perr.Class)
	}
}

// WantClass returns err as ProviderError does, and wants it to be of a class.
func WantClass(t testing.TB, err error, class provider.Class) *provider.Error {
	t.Helper()
	perr := ProviderError(t, err)
	if perr.Class != class {
		t.Fatalf("class is %v, want %v: %v", perr.Class, class, perr)
	}
	return perr
}

// CheckStatus wants a status to be one that an adapter can report.
func CheckStatus(t testing.TB, s provider.Status) {
	t.Helper()
	switch s.Phase {
	case provider.Running, provider.Succeeded:
		if s.Phase == provider.Running && s.Cost != (provider.Cost{}) {
			t.Fatalf("cost reported of a task that runs: %+v", s)
		}
		if s.Code != 0 || s.Message != "" || s.Cause != provider.CauseUnspecified {
			t.Fatalf("failure reported of a task that did not fail: %+v", s)
		}
	case provider.Failed:
		CheckText(t, s.Message)
	default:
		t.Fatalf("phase is %v", s.Phase)
	}
	if len(s.ResultURLs) > wire.MaxLinks || len(s.ResultURLs) > 0 && s.Phase != provider.Succeeded {
		t.Fatalf("links of a %v task: %q", s.Phase, s.ResultURLs)
	}
	for _, link := range s.ResultURLs {
		if !strings.HasPrefix(strings.ToLower(link), "http") || !strings.Contains(link, "://") {
			t.Fatalf("%q is no link", link)
		}
	}
}

// shownURL finds what is left of a URL in a text: the scheme, the host, and what stands after it.
var shownURL = regexp.MustCompile(`(?i)https?:(?:\\*/){2,}[^\s/\\?#"<>]*([^\s"<>]*)`)

// CheckText wants what is shown to be bounded, and no URL in it to have a user, a path or a query.
func CheckText(t testing.TB, s string) {
	t.Helper()
	if len(s) > provider.MaxMessage || !utf8.ValidString(s) {
		t.Fatalf("message is unbounded or broken: %q", s)
	}
	for _, match := range shownURL.FindAllStringSubmatch(s, -1) {
		if strings.Contains(strings.TrimSuffix(match[0], match[1]), "@") || !strings.HasPrefix("/[redacted]", match[1]) {
			t.Fatalf("message %q leaks the URL %q", s, match[0])
		}
	}
}
