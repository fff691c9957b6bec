package media_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/media"
)

// fickleHost serves a file, and breaks its connections off.
type fickleHost struct {
	file     func(request int) []byte // What it serves to the nth request, from 1.
	header   func(h http.Header, request int)
	cuts     int // How many connections break off,
	after    int // after so many bytes of the body.
	noRanges bool
	requests atomic.Int32
	starts   atomic.Int32 // Those that asked for the whole file.
	sent     atomic.Int64
}

func (f *fickleHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(f.requests.Add(1))
	if r.Header.Get("Range") == "" {
		f.starts.Add(1)
	}
	file := f.file(n)
	if f.header != nil {
		f.header(w.Header(), n)
	}
	if f.noRanges {
		r.Header.Del("Range")
	}
	if n <= f.cuts {
		w = &cutWriter{w, f.after}
	}
	counted := &countingWriter{w, &f.sent}
	modified, _ := http.ParseTime(w.Header().Get("Last-Modified"))
	http.ServeContent(counted, r, "", modified, bytes.NewReader(file))
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func always(file []byte) func(int) []byte { return func(int) []byte { return file } }

func etag(value string) func(http.Header, int) {
	return func(h http.Header, _ int) { h.Set("ETag", value) }
}

// TestSave_AConnectionCutTenTimesCostsOnlyItsTail saves 30 MB over eleven connections.
func TestSave_AConnectionCutTenTimesCostsOnlyItsTail(t *testing.T) {
	t.Parallel()
	data := video(30_000_000)
	host := &fickleHost{file: always(data), header: etag(`"v1"`), cuts: 10, after: 2_500_000}
	saver, folder, link := setup(t, host.ServeHTTP)
	saved, err := saver.Save(t.Context(), link, key)
	if err != nil {
		t.Fatal(err)
	}
	want := media.Saved{SizeBytes: int64(len(data)), SHA256: sha256.Sum256(data), Container: clipSays}
	if diff := cmp.Diff(want, saved); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
	if sha256.Sum256(content(t, saver.Bucket, key)) != want.SHA256 {
		t.Error("the bucket holds other bytes than the server has")
	}
	if diff := cmp.Diff([]string{key}, filesIn(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if n := host.requests.Load(); n != 11 {
		t.Errorf("%d requests, want 11", n)
	}
	if extra := host.sent.Load() - int64(len(data)); extra > 1<<20 {
		t.Errorf("the server sent %d bytes more than the file has", extra)
	}
}

// TestSave_AsManyBreaksAsTheHostLikes breaks far more connections than may bring nothing: each of these brings something.
func TestSave_AsManyBreaksAsTheHostLikes(t *testing.T) {
	t.Parallel()
	data := video(3_000_000)
	host := &fickleHost{file: always(data), header: etag(`"v1"`), cuts: 25, after: 100_000}
	saver, _, link := setup(t, host.ServeHTTP)
	if saved, err := saver.Save(t.Context(), link, key); err != nil || saved.SHA256 != sha256.Sum256(data) {
		t.Errorf("saved %+v, %v", saved, err)
	}
}

func TestSave_GoesOnOrBeginsAnew(t *testing.T) {
	t.Parallel()
	first, second := video(1_000_000), video(1_000_000)
	other := video(900_000)
	changes := func(to []byte) func(int) []byte {
		return func(n int) []byte {
			if n == 1 {
				return first
			}
			return to
		}
	}
	versions := func(h http.Header, n int) { h.Set("ETag", fmt.Sprintf(`"v%d"`, min(n, 2))) }
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Format(http.TimeFormat)
	for _, tt := range []struct {
		name     string
		host     *fickleHost
		want     []byte
		requests int32
		starts   int32
	}{
		{"by a strong ETag", &fickleHost{file: always(first), header: etag(`"v1"`)}, first, 2, 1},
		{"by a date", &fickleHost{file: always(first), header: func(h http.Header, _ int) { h.Set("Last-Modified", day) }}, first, 2, 1},
		{"a weak ETag", &fickleHost{file: always(first), header: etag(`W/"v1"`)}, first, 2, 2},
		{"a date of this second", &fickleHost{file: always(first), header: func(h http.Header, _ int) {
			now := time.Now().UTC().Format(http.TimeFormat)
			h.Set("Last-Modified", now)
			h.Set("Date", now) // The server's own may be of the next second.
		}}, first, 2, 2},
		{"no validator", &fickleHost{file: always(first)}, first, 2, 2},
		{"a server without ranges", &fickleHost{file: always(first), header: etag(`"v1"`), noRanges: true}, first, 3, 2},
		{"a file that has changed", &fickleHost{file: changes(second), header: versions}, second, 3, 2},
		{"a shorter file behind the same ETag", &fickleHost{file: changes(other), header: etag(`"v1"`)}, other, 3, 2},
		{"an encoding that names itself identity", &fickleHost{file: always(first), header: func(h http.Header, _ int) {
			h.Set("Content-Encoding", "identity")
			h.Set("Etag", `"v1"`)
		}}, first, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host := tt.host
			host.cuts, host.after = 1, 500_000
			saver, _, link := setup(t, host.ServeHTTP)
			saved, err := saver.Save(t.Context(), link, key)
			if err != nil {
				t.Fatal(err)
			}
			if saved.SHA256 != sha256.Sum256(tt.want) || !bytes.Equal(content(t, saver.Bucket, key), tt.want) {
				t.Error("the bucket holds another file, or a mixture")
			}
			if n, starts := host.requests.Load(), host.starts.Load(); n != tt.requests || starts != tt.starts {
				t.Errorf("%d requests, %d of them for the whole, want %d and %d", n, starts, tt.requests, tt.starts)
			}
		})
	}
}

// TestSave_DistrustsParts answers the request for the rest of a file with something else than that.
func TestSave_DistrustsParts(t *testing.T) {
	t.Parallel()
	data := video(1_000_000)
	for name, answer := range map[string]func(w http.ResponseWriter, from int){
		"that begin elsewhere": func(w http.ResponseWriter, from int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from-1, len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
			_ = http.NewResponseController(w).Flush() // Without a length that would give it away.
			_, _ = w.Write(data[from-1:])
		},
		"of a longer file": func(w http.ResponseWriter, from int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data), len(data)+1))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(append(data[from:len(data):len(data)], 0))
		},
		"of another version": func(w http.ResponseWriter, from int) {
			w.Header().Set("ETag", `"v2"`)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[from:])
		},
		"that don't say": func(w http.ResponseWriter, from int) {
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[from:])
		},
		"in several parts": func(w http.ResponseWriter, from int) {
			w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data))) // That of its first part.
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[from:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var starts atomic.Int32
			saver, folder, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"v1"`)
				if span := r.Header.Get("Range"); span != "" {
					from, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(span, "bytes="), "-"))
					answer(w, from)
					return
				}
				starts.Add(1)
				sendHalf(w, data)
				panic(http.ErrAbortHandler)
			})
			_, err := saver.Save(t.Context(), link, key)
			checkFailure(t, err, nil)
			if !strings.Contains(err.Error(), "started 5 times") || starts.Load() != 5 {
				t.Errorf("%d starts, and %v", starts.Load(), err)
			}
			if files := filesIn(t, folder); len(files) > 0 {
				t.Errorf("files were left: %v", files)
			}
		})
	}
}

func TestSave_NeverUnpacks(t *testing.T) {
	t.Parallel()
	saver, _, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding %q, want identity", got)
		}
		if r.UserAgent() == "" || strings.HasPrefix(r.UserAgent(), "Go-http-client") {
			t.Errorf("User-Agent %q", r.UserAgent())
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(video(100_000))
	})
	_, err := saver.Save(t.Context(), link, key)
	checkFailure(t, err, media.ErrNotVideo)
}

// TestSave_WaitsAsAskedAndGivesUpInTime asks a host that is always busy, in a bubble without network. The host asks to wait
// for longer than a saver ever does.
func TestSave_WaitsAsAskedAndGivesUpInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		busy := roundTripper(func(*http.Request) (*http.Response, error) {
			times = append(times, time.Now())
			return &http.Response{
				StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"3600"}}, Body: http.NoBody,
			}, nil
		})
		saver := &media.Saver{Client: &http.Client{Transport: busy}}
		_, err := saver.Save(t.Context(), "https://example.com"+secret, key)
		checkFailure(t, err, nil)
		if n := len(times); n != 11 || !strings.Contains(err.Error(), "status 503") {
			t.Errorf("%d requests, want 11, and %v", n, err)
		}
		if total := times[len(times)-1].Sub(times[0]); total < 100*time.Second || total > 2*time.Minute {
			t.Errorf("the requests came within %s, want ten pauses of 10 s or a little more", total)
		}
	})
}

func TestSave_SlowLorisIsCut(t *testing.T) {
	t.Parallel()
	data := video(maxBytes)
	saver, folder, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for _, b := range data {
			if _, err := w.Write([]byte{b}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	saver.Client = newClient(t, 50*time.Millisecond)
	_, err := saver.Save(t.Context(), link, key)
	checkFailure(t, err, nil)
	if !strings.Contains(err.Error(), "too slowly") {
		t.Errorf("got %v, want that it came too slowly", err)
	}
	if files := filesIn(t, folder); len(files) > 0 {
		t.Errorf("files were left: %v", files)
	}
}

// TestSave_SurvivesHeaders sends headers without end.
func TestSave_SurvivesHeaders(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"one that is huge":      "HTTP/1.1 200 OK\r\nX-Bomb: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"very many":             "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Bomb: x\r\n", 100_000) + "\r\n",
		"informational answers": strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 50_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			saver, _, link := setup(t, sendRaw(answer))
			_, err := saver.Save(t.Context(), link, key)
			checkFailure(t, err, nil)
		})
	}
}

// TestSave_CutAnywhereIsWholeInTheEnd cuts connections at random and compares what is saved.
func TestSave_CutAnywhereIsWholeInTheEnd(t *testing.T) {
	t.Parallel()
	data := video(300_000)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		host := &fickleHost{file: always(data), header: etag(`"v1"`), cuts: 1 + random.IntN(8), after: 1 + random.IntN(40_000)}
		saver, _, link := setup(t, host.ServeHTTP)
		saved, err := saver.Save(t.Context(), link, key)
		if err != nil || saved.SHA256 != sha256.Sum256(data) || saved.Container != clipSays {
			t.Errorf("%d cuts after %d bytes: %+v, %v", host.cuts, host.after, saved, err)
		}
	}
}

// TestSaver_PausesGrow looks at when connections are made, in a bubble without network.
func TestSaver_PausesGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		refused := roundTripper(func(*http.Request) (*http.Response, error) {
			times = append(times, time.Now())
			return nil, errors.New("refused")
		})
		saver := &media.Saver{Client: &http.Client{Transport: refused}}
		if _, err := saver.Save(t.Context(), "https://example.com/x", key); err == nil {
			t.Fatal("it succeeded")
		}
		total := times[len(times)-1].Sub(times[0])
		if len(times) != 11 || total < 15*time.Second || total > time.Minute {
			t.Errorf("%d connections within %s, want 11 within 15 s to a minute", len(times), total)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestSave_LearnsTheSizeFromALaterAnswer breaks off an answer without length; the next one has a length beyond the limit.
func TestSave_LearnsTheSizeFromALaterAnswer(t *testing.T) {
	t.Parallel()
	data := video(200_000)
	saver, _, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("Range") == "" {
			(&cutWriter{w, 100_000}).Write(data)
		}
		from := 100_000
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(data[from : from+1000])
	})
	saver.MaxBytes = 150_000
	if _, err := saver.Save(t.Context(), link, key); !errors.Is(err, media.ErrTooLarge) || !strings.Contains(err.Error(), "200000 bytes") {
		t.Errorf("Save: %v, want that 200000 bytes are too large", err)
	}
}

// TestSave_AConnectionThatBreaksAfterTheLastByteBreaksNothing sends whole files and then breaks off, so that the size is
// learned from the answer to the request for more.
func TestSave_AConnectionThatBreaksAfterTheLastByteBreaksNothing(t *testing.T) {
	t.Parallel()
	data, other := video(300_000), video(200_000)
	for _, tt := range []struct {
		name   string
		header http.Header // Of the answer to the request for more, with the status 416.
		starts int32
		want   []byte
	}{
		{"the file ends there", http.Header{"Content-Range": {"bytes */300000"}}, 1, data},
		{"the file ends there, in other letters", http.Header{"Content-Range": {"Bytes  */300000 "}, "Etag": {`"v1"`}}, 1, data},
		{"the file is shorter now", http.Header{"Content-Range": {"bytes */200000"}}, 2, other},
		{"the file is another of the same size", http.Header{"Content-Range": {"bytes */300000"}, "Etag": {`"v2"`}}, 2, other},
		{"the size is not named", http.Header{}, 2, other},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var starts atomic.Int32
			saver, _, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"v1"`)
				if r.Header.Get("Range") != "" {
					w.Header().Del("ETag")
					for name, values := range tt.header {
						w.Header()[name] = values
					}
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
					return
				}
				if starts.Add(1) > 1 {
					_, _ = w.Write(other)
					return
				}
				(&cutWriter{w, len(data)}).Write(data) // Without the end of the last chunk.
			})
			saved, err := saver.Save(t.Context(), link, key)
			if err != nil || saved.SHA256 != sha256.Sum256(tt.want) || starts.Load() != tt.starts {
				t.Errorf("%d starts, %d bytes, %v, want %d and %d", starts.Load(), saved.SizeBytes, err, tt.starts, len(tt.want))
			}
		})
	}
}

// TestSave_KnowsTheLastByteByTheSizeOfALaterAnswer breaks off twice: in the middle, and after the last byte.
func TestSave_KnowsTheLastByteByTheSizeOfALaterAnswer(t *testing.T) {
	t.Parallel()
	data := video(300_000)
	var requests atomic.Int32
	saver, _, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("Range") == "" {
			(&cutWriter{w, 100_000}).Write(data)
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 100000-%d/%d", len(data)-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		(&cutWriter{w, 200_000}).Write(data[100_000:])
	})
	if saved, err := saver.Save(t.Context(), link, key); err != nil || saved.SHA256 != sha256.Sum256(data) || requests.Load() != 2 {
		t.Errorf("%d requests, %+v, %v", requests.Load(), saved, err)
	}
}

// TestSave_TakesARestInPieces gives less of the rest than it is asked for, again and again.
func TestSave_TakesARestInPieces(t *testing.T) {
	t.Parallel()
	data := video(300_000)
	saver, _, link := setup(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		span := r.Header.Get("Range")
		if span == "" {
			sendHalf(w, data)
			panic(http.ErrAbortHandler)
		}
		from, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(span, "bytes="), "-"))
		to := min(from+70_000, len(data))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(data[from:to])
	})
	if saved, err := saver.Save(t.Context(), link, key); err != nil || saved.SHA256 != sha256.Sum256(data) {
		t.Errorf("%+v, %v", saved, err)
	}
}
