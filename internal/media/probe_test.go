package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/task"
)

// clipHost serves one file and counts what it sends.
type clipHost struct {
	*httptest.Server
	sent, asked atomic.Int64
}

// serveClip serves a file through a handler, or with ranges where that is nil.
func serveClip(t *testing.T, path string, handle func(w http.ResponseWriter, r *http.Request, file *os.File)) *clipHost {
	t.Helper()
	h := &clipHost{}
	if handle == nil {
		handle = func(w http.ResponseWriter, r *http.Request, file *os.File) {
			http.ServeContent(w, r, "", time.Time{}, file)
		}
	}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.asked.Add(1)
		file, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		handle(&countingWriter{w, &h.sent}, r, file)
	}))
	t.Cleanup(h.Close)
	return h
}

type countingWriter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// boxesOf takes a file apart at its top level.
func boxesOf(t *testing.T, file []byte) map[string][]byte {
	t.Helper()
	boxes := map[string][]byte{}
	for len(file) >= 8 {
		n := binary.BigEndian.Uint32(file)
		if n < 8 || int(n) > len(file) {
			t.Fatal("the clip is no plain MP4")
		}
		boxes[string(file[4:8])] = file[:n]
		file = file[n:]
	}
	return boxes
}

// largeClip writes a video of a size, with its index before or after the frames, which are left out.
func largeClip(t *testing.T, size int, indexFirst bool) string {
	t.Helper()
	boxes := boxesOf(t, sim.TinyClip())
	ftyp, moov := boxes["ftyp"], boxes["moov"]
	frames := size - len(ftyp) - len(moov)
	mdat := append(binary.BigEndian.AppendUint32(nil, uint32(frames)), "mdat"...)
	path := filepath.Join(t.TempDir(), "clip.mp4")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	at := int64(0)
	write := func(b []byte, length int) {
		if _, err := file.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		at += int64(length)
	}
	write(ftyp, len(ftyp))
	if indexFirst {
		write(moov, len(moov))
	}
	write(mdat, frames)
	if !indexFirst {
		write(moov, len(moov))
	}
	if err := file.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeClip(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newProber(t *testing.T) *Prober {
	t.Helper()
	client := NewClient(Guard{AllowPrivate: true})
	t.Cleanup(client.CloseIdleConnections)
	return &Prober{Client: client}
}

// without serves the file without ranges, and with its size only when size is set.
func without(size bool) func(http.ResponseWriter, *http.Request, *os.File) {
	return func(w http.ResponseWriter, _ *http.Request, file *os.File) {
		if info, err := file.Stat(); err == nil && size {
			w.Header().Set("Content-Length", fmt.Sprint(info.Size()))
		} else {
			w.(*countingWriter).ResponseWriter.(http.Flusher).Flush()
		}
		_, _ = io.Copy(w, file)
	}
}

func TestProbe_ReadsOnlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	const large = 50_000_000
	known := task.Clip{SizeBytes: large, ContentType: "video/mp4", Duration: time.Second, Width: 160, Height: 90}
	for name, tc := range map[string]struct {
		indexFirst bool
		handle     func(http.ResponseWriter, *http.Request, *os.File)
		want       task.Clip
		asked      int64
	}{
		"index at the end":       {false, nil, known, 3},
		"index at the beginning": {true, nil, known, 1},
		"no ranges":              {true, without(true), known, 1},
		"no ranges, index at the end": {
			false, without(true), task.Clip{SizeBytes: large, ContentType: "video/mp4"}, 1,
		},
		"no ranges and no size":                   {true, without(false), task.Clip{ContentType: "video/mp4", Duration: time.Second, Width: 160, Height: 90}, 1},
		"no ranges and no size, index at the end": {false, without(false), task.Clip{ContentType: "video/mp4"}, 1},
		"ranges beyond its end": {true, func(w http.ResponseWriter, r *http.Request, file *os.File) {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", "bytes */50000000")
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			without(true)(w, r, file)
		}, known, 2},
		"another range": {true, func(w http.ResponseWriter, r *http.Request, file *os.File) {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", "bytes 100-199/50000000")
				w.WriteHeader(http.StatusPartialContent)
				return
			}
			without(true)(w, r, file)
		}, known, 2},
		"several ranges": {true, func(w http.ResponseWriter, r *http.Request, file *os.File) {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
				w.WriteHeader(http.StatusPartialContent)
				return
			}
			without(true)(w, r, file)
		}, known, 2},
		"parts of ranges": {false, func(w http.ResponseWriter, r *http.Request, file *os.File) {
			var from, to int64
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
			to = min(to, from+9999, large-1)
			w.Header().Set("Content-Range", fmt.Sprintf("Bytes %d-%d/%d", from, to, large))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.Copy(w, io.NewSectionReader(file, from, to-from+1))
		}, known, 12},
		"ranges at first": {false, func(w http.ResponseWriter, r *http.Request, file *os.File) {
			if r.Header.Get("Range") == "bytes=0-65535" {
				http.ServeContent(w, r, "", time.Time{}, file)
				return
			}
			without(true)(w, r, file)
		}, task.Clip{SizeBytes: large, ContentType: "video/mp4"}, 2},
		"dislikes ranges": {true, func(w http.ResponseWriter, r *http.Request, file *os.File) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusNotImplemented)
				return
			}
			without(true)(w, r, file)
		}, known, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveClip(t, largeClip(t, large, tc.indexFirst), tc.handle)
			got, err := newProber(t).Probe(t.Context(), h.URL)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("clip (-want +got):\n%s", diff)
			}
			if n := h.asked.Load(); n > tc.asked {
				t.Errorf("asked %d times, want %d", n, tc.asked)
			}
			h.Close() // What is on its way is counted, too.
			// A host without ranges has sent more than was read: what the buffers of both systems hold.
			if sent := h.sent.Load(); sent > 2<<20 && tc.handle == nil || sent > 12<<20 {
				t.Errorf("the host sent %d bytes", sent)
			}
		})
	}
}

func TestProbe_DistinguishesKindsOfFiles(t *testing.T) {
	t.Parallel()
	clip := sim.TinyClip()
	for name, tc := range map[string]struct {
		content     []byte
		contentType string
		flaw        string
	}{
		"video":             {clip, "video/mp4", ""},
		"cut short":         {clip[:len(clip)-100], "video/mp4", "not a video"},
		"empty":             {nil, "application/octet-stream", "it is empty"},
		"web page":          {[]byte("<!DOCTYPE html><html><body>hello"), "text/html", ""},
		"picture":           {[]byte("\x89PNG\r\n\x1a\n"), "image/png", ""},
		"AVI":               {aviOf(aviStream("vids")), "video/x-msvideo", ""},
		"sound in AVI":      {aviOf(aviStream("auds")), "video/x-msvideo", "no video stream"},
		"Matroska":          {matroskaTracks(1, 2), "video/x-matroska", ""},
		"sound in Matroska": {matroskaTracks(2, 17), "video/x-matroska", "no video track"},
		"early QuickTime":   {append([]byte("\x00\x00\x00\x20free"), clip[8:]...), "video/quicktime", ""},
		"sound in MP4":      {bytes.ReplaceAll(clip, []byte("vide"), []byte("soun")), "video/mp4", "only sound"},
		"photo":             {append([]byte("\x00\x00\x00\x10ftypheic\x00\x00\x00\x00"), boxOf("meta", make([]byte, 100))...), "video/mp4", "it is a photo"},
		"of no known kind":  {[]byte{0xfe, 0xdc, 0xba, 0x00}, "application/octet-stream", ""},
		"of no known kind2": {bytes.Repeat([]byte{0xfe, 0x00}, headBytes), "application/octet-stream", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveClip(t, writeClip(t, tc.content), func(w http.ResponseWriter, r *http.Request, file *os.File) {
				w.Header().Set("Content-Type", "video/mp4") // Whatever it is.
				http.ServeContent(w, r, "", time.Time{}, file)
			})
			got, err := newProber(t).Probe(t.Context(), h.URL)
			if err != nil || got.ContentType != tc.contentType || got.SizeBytes != int64(len(tc.content)) || (got.Flaw == "") != (tc.flaw == "") || !strings.Contains(got.Flaw, tc.flaw) {
				t.Errorf("clip %+v, %v, want %s, flaw %q", got, err, tc.contentType, tc.flaw)
			}
		})
	}
}

func TestProbe_SaysWhatMayPass(t *testing.T) {
	t.Parallel()
	status := func(code int, retryAfter string) func(*testing.T) string {
		return func(t *testing.T) string {
			t.Helper()
			return serveClip(t, writeClip(t, nil), func(w http.ResponseWriter, _ *http.Request, _ *os.File) {
				w.Header().Set("Retry-After", retryAfter)
				w.WriteHeader(code)
			}).URL
		}
	}
	at := func(url string) func(*testing.T) string { return func(*testing.T) string { return url } }
	for name, tc := range map[string]struct {
		link  func(*testing.T) string
		final bool
		after time.Duration
		says  string
	}{
		"missing":                            {status(http.StatusNotFound, ""), true, 0, "status 404"},
		"gone":                               {status(http.StatusGone, ""), true, 0, "status 410"},
		"forbidden":                          {status(http.StatusForbidden, ""), true, 0, "status 403"},
		"refused":                            {status(http.StatusTeapot, ""), true, 0, "status 418"},
		"in trouble":                         {status(http.StatusServiceUnavailable, ""), false, 0, "status 503"},
		"asks to wait":                       {status(http.StatusTooManyRequests, "7"), false, 7 * time.Second, "status 429"},
		"asks to wait, and how":              {status(http.StatusServiceUnavailable, " 1.5 "), false, 1500 * time.Millisecond, "status 503"},
		"asks to wait without end":           {status(http.StatusServiceUnavailable, "99999999999999999999"), false, time.Hour, "status 503"},
		"asks to wait until a date":          {status(http.StatusServiceUnavailable, "Fri, 31 Dec 9999 23:59:59 GMT"), false, time.Hour, "status 503"},
		"asks to wait until a date long ago": {status(http.StatusServiceUnavailable, "Sunday, 06-Nov-94 08:49:37 GMT"), false, 0, "status 503"},
		"hung up": {func(t *testing.T) string {
			t.Helper()
			return serveClip(t, writeClip(t, nil), func(http.ResponseWriter, *http.Request, *os.File) { panic(http.ErrAbortHandler) }).URL
		}, false, 0, ""},
		"no server":    {at("http://127.0.0.1:1"), false, 0, "connection refused"},
		"no such name": {at("http://nowhere.invalid"), false, 0, "host nowhere.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newProber(t).Probe(t.Context(), tc.link(t)+"/secret?signature=hunter2")
			got, ok := errors.AsType[*UnreachableError](err)
			if !ok || !errors.Is(err, ErrUnreachable) || got.Final != tc.final || got.RetryAfter != tc.after {
				t.Fatalf("got %+v, want final %t, after %s", err, tc.final, tc.after)
			}
			for _, secret := range []string{"hunter2", "dial", "lookup", "[::"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("it leaks %q: %v", secret, err)
				}
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

func TestProbe_SaysNothingOfOurNetwork(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		says string
	}{
		"no such name":     {&net.DNSError{Err: "no such host", Name: "example.com", Server: "10.0.0.53:53", IsNotFound: true}, "host example.com does not resolve"},
		"resolver is down": {&net.DNSError{Err: "server misbehaving", Name: "example.com", Server: "10.0.0.53:53", IsTemporary: true}, "host example.com can't be looked up now"},
		"resolver is slow": {&net.DNSError{Err: "i/o timeout", Name: "example.com", Server: "10.0.0.53:53", IsTimeout: true}, "host example.com could not be looked up in time"},
		"refused":          {&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 443}, Err: syscall.ECONNREFUSED}, "connection refused"},
		"reset":            {&net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}, Err: syscall.ECONNRESET}, "connection reset"},
		"no route":         {&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}, Err: syscall.EHOSTUNREACH}, "no route to the host"},
		"odd":              {&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}, Err: errors.New("10.0.0.7 is odd")}, "the connection failed"},
		"blocked":          {&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}, Err: Guard{}.control("tcp4", "10.0.0.7:443", nil)}, "refused by the network guard: the address is not public"},
		"too late":         {context.DeadlineExceeded, "no answer in time"},
		"no HTTP":          {errors.New("malformed HTTP response 10.0.0.7"), "the answer is not usable HTTP"},
		"a disk of ours":   {&fs.PathError{Op: "write", Path: "/var/10.0.0.7", Err: syscall.ENOSPC}, "the answer is not usable HTTP"},
	} {
		if got := withoutQuotes(&url.Error{Op: "Get", URL: "https://example.com/?signature=hunter2", Err: tc.err}); got.Error() != tc.says {
			t.Errorf("%s: %q, want %q", name, got, tc.says)
		} else if tc.says != errAnswer.Error() && !errors.Is(got, tc.err) && name != "blocked" {
			t.Errorf("%s: the cause is lost", name)
		}
	}
}

// TestProbe_AShortageOfThisMachineIsNotTheHosts lets connections fail on this side.
func TestProbe_AShortageOfThisMachineIsNotTheHosts(t *testing.T) {
	t.Parallel()
	for cause, byHost := range map[syscall.Errno]bool{
		syscall.EMFILE: false, syscall.ENFILE: false, syscall.ENOBUFS: false, syscall.ENOMEM: false, syscall.EADDRNOTAVAIL: false,
		syscall.ECONNREFUSED: true, syscall.ECONNRESET: true,
	} {
		p := &Prober{Client: &http.Client{Transport: failing{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", cause)}}}}
		_, err := p.Probe(t.Context(), "https://example.com/clip.mp4?signature=hunter2")
		if _, unreachable := errors.AsType[*UnreachableError](err); unreachable != byHost || err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v gave %v; want the host blamed: %v", cause, err, byHost)
		}
	}
}

// failing is a transport that only fails.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// The host stands for a public one: the dialer lets its address through, and asks the guard about all others.
func TestProbe_StaysOutOfPrivateNetworks(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(inner.Close)
	for name, handler := range map[string]http.HandlerFunc{
		"redirected at once": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(inner.URL, "http:", "https:", 1), http.StatusFound)
		},
		"redirected to a name": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://localhost/", http.StatusTemporaryRedirect)
		},
		"redirected on the way": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "bytes=0-65535" {
				http.Redirect(w, r, inner.URL, http.StatusFound)
				return
			}
			w.Header().Set("Content-Range", "bytes 0-65535/1000000")
			w.WriteHeader(http.StatusPartialContent)
			head := make([]byte, headBytes)
			copy(head, "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x0f\x00\x00mdat")
			_, _ = w.Write(head)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outer := httptest.NewTLSServer(handler)
			t.Cleanup(outer.Close)
			client := clientThatTrusts(t, outer)
			t.Cleanup(client.CloseIdleConnections)
			_, err := (&Prober{Client: client}).Probe(t.Context(), outer.URL)
			if !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrBlocked) {
				t.Errorf("got %v, want ErrUnreachable since ErrBlocked", err)
			}
		})
	}
	t.Cleanup(func() {
		if reached.Load() {
			t.Error("a probe reached the private server")
		}
	})
}
