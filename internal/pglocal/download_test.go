//go:build !release

package pglocal

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// right leaves a checksum as it is.
func right(sum string) string { return sum }

// repository serves the stand-in archive in the way of the real one, with its checksum amended, and counts requests. An empty
// checksum is not there.
func repository(t *testing.T, amend func(sum string) string) (url string, requests *[]string) {
	t.Helper()
	archive, err := os.ReadFile(filepath.Join("testdata", "standin.txz"))
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	zw := zip.NewWriter(&jar)
	w, err := zw.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(jar.Bytes())
	text := amend(hex.EncodeToString(sum[:]))
	requests = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests = append(*requests, r.URL.Path)
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			if text == "" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_, _ = w.Write([]byte(text))
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections() // Those of the library.
	})
	return server.URL, requests
}

func TestFetch_LeavesOnlyThePrograms(t *testing.T) {
	t.Parallel()
	url, requests := repository(t, right)
	cache := programDir(t)
	got, err := fetch(t.Context(), source{cache: cache, repository: url}, 0)
	if err != nil {
		t.Fatal(err)
	}
	user, err := serverAccount(cache + "/none")
	if err != nil {
		t.Fatal(err)
	}
	if major, err := version(t.Context(), user, got.dir); err != nil || major != fetchedMajor || got.major != fetchedMajor {
		t.Errorf("got %v, which says %d, %v", got, major, err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || !strings.HasPrefix(entries[0].Name(), "postgresql-18.") {
		t.Errorf("the cache holds %v", entries)
	}
	if len(*requests) != 2 || !strings.Contains((*requests)[0], "/18.") {
		t.Errorf("requests: %q", *requests)
	}
}

func TestFetch_FailsWithoutTraces(t *testing.T) {
	t.Parallel()
	good, _ := repository(t, right)
	broken, _ := repository(t, func(sum string) string { return strings.Map(func(r rune) rune { return '0' + (r+1)%10 }, sum) })
	bare, _ := repository(t, func(string) string { return "" })
	blank, _ := repository(t, func(string) string { return " \n" })
	page, _ := repository(t, func(string) string { return "<html>" })
	tests := []struct {
		name  string
		url   string
		major int
		want  string
	}{
		{"unknown version", good, 12, "not available"},
		{"damaged archive", broken, 0, "checksums do not match"},
		{"no checksum", bare, 0, "404"},
		{"empty checksum", blank, 0, "checksum is empty"},
		{"another checksum", page, 0, "no SHA-256"},
		{"no server", "http://127.0.0.1:1", 0, "unable to connect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cache := programDir(t)
			_, err := fetch(t.Context(), source{cache: cache, repository: tt.url}, tt.major)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			eventually(t, func() bool {
				entries, err := os.ReadDir(cache)
				return err == nil && len(entries) == 0
			})
		})
	}
}

func TestFetch_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		<-answer
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	cache := programDir(t)
	if _, err := fetch(ctx, source{cache: cache, repository: server.URL}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	close(answer)
	eventually(t, func() bool {
		entries, err := os.ReadDir(cache)
		return err == nil && len(entries) == 0
	})
}
