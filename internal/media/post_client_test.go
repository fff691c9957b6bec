package media

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// post posts to a URL and returns the status.
func post(t *testing.T, client *http.Client, url string) (int, error) {
	t.Helper()
	t.Cleanup(client.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// A name that leads to a public address leads to a private one by the second connection.
func TestPostClient_JudgesTheAddressOfEachConnection(t *testing.T) {
	t.Parallel()
	for _, later := range [][4]byte{{127, 0, 0, 2}, {0, 0, 0, 0}, {10, 0, 0, 1}, {169, 254, 169, 254}} {
		var asked atomic.Int64
		srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Connection", "close")
		}))
		t.Cleanup(srv.Close)
		trust, ok := srv.Client().Transport.(*http.Transport)
		if !ok {
			t.Fatalf("transport of the test server's client is a %T", srv.Client().Transport)
		}
		allowed, err := ParseAllowed([]string{"127.0.0.1"}) // It stands for the public one.
		if err != nil {
			t.Fatal(err)
		}
		client := NewPostClient(Guard{Allow: allowed, Roots: trust.TLSClientConfig.RootCAs, Resolver: resolveTo(t, func() [4]byte {
			if asked.Load() == 0 {
				return [4]byte{127, 0, 0, 1}
			}
			return later
		})})
		u, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		link := "https://" + net.JoinHostPort("example.com", u.Port())
		if status, err := post(t, client, link); err != nil || status != http.StatusOK {
			t.Fatalf("at first: %d, %v", status, err)
		}
		if _, err := post(t, client, link); !errors.Is(err, ErrBlocked) || asked.Load() != 1 {
			t.Errorf("%v: got %v after %d requests, want ErrBlocked after 1", later, err, asked.Load())
		}
	}
}

func TestPostClient_RefusesWhatIsNotPublic(t *testing.T) {
	t.Parallel()
	client := NewPostClient(Guard{})
	for _, link := range []string{
		"https://127.0.0.1/", "https://0.0.0.0/", "https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:10.0.0.1]/",
		"https://localhost/", "http://192.0.2.1/", "https://user@192.0.2.1/", "https:///path",
	} {
		if _, err := post(t, client, link); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: got %v, want ErrBlocked", link, err)
		}
	}
}

func TestPostClient_ReturnsARedirect(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	t.Cleanup(inner.Close)
	outer := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusTemporaryRedirect))
	t.Cleanup(outer.Close)
	status, err := post(t, NewPostClient(Guard{AllowPrivate: true}), outer.URL)
	if err != nil || status != http.StatusTemporaryRedirect || followed.Load() {
		t.Errorf("got %d, %v, followed: %v", status, err, followed.Load())
	}
}

func TestPostClient_UsesAConnectionAgain(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	client := NewPostClient(Guard{AllowPrivate: true})
	for range 3 {
		if _, err := post(t, client, srv.URL); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
