package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/source"
)

const (
	inputUnreachable = refractv1.FailureReason_FAILURE_REASON_INPUT_UNREACHABLE
	forSource        = refractv1.WaitingCause_WAITING_CAUSE_SOURCE
)

func TestSource_TroubleOfItsHostHeals(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Fetching(f, c)
		f.Tuning.Sources.GiveUp = time.Minute
	})
	for name, trouble := range map[string]http.HandlerFunc{
		"in trouble": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"busy": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			var began, healed atomic.Pointer[time.Time]
			host := e2etest.ClipServer(t, func(w http.ResponseWriter, r *http.Request) {
				switch n := asked.Add(1); {
				case n <= 2:
					began.CompareAndSwap(nil, new(time.Now()))
					trouble(w, r)
				default:
					healed.CompareAndSwap(nil, new(time.Now()))
				}
			})
			id := ts.Submit(t, "", e2etest.ByURI(host.URL)).GetId()
			if last := ts.End(t, id); last.GetState() != e2etest.Succeeded {
				t.Errorf("ended %v", last)
			}
			if n := ts.Get(t, id).GetAttempt().GetNumber(); n < 2 {
				t.Errorf("it took %d attempts, want one at least that was not sent and one that was", n)
			}
			if name == "busy" && healed.Load().Sub(*began.Load()) < time.Second {
				t.Error("the host was asked again sooner than it allowed")
			}
		})
	}
}

// TestSource_HostsThatHangAreGivenUpInTime tries a host more often than is needed to give it up, and then makes the preparation old.
func TestSource_HostsThatHangAreGivenUpInTime(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Fetching(f, c)
		f.Tuning.Sources = source.Timing{SubmitWait: 100 * time.Millisecond, Backoff: 50 * time.Millisecond, GiveUp: time.Hour}
		f.Tuning.Look = 200 * time.Millisecond
	})
	host := e2etest.ClipServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	id := ts.Submit(t, "", e2etest.ByURI(host.URL+"/a.mp4?signature=hunter2")).GetId()
	e2etest.Eventually(t, "its source to be tried five times", func() bool {
		return postgrestest.Value[int](t, ts.Pool, "SELECT coalesce(max(tries), 0) FROM preparation") >= 5
	})
	if w := ts.Get(t, id).GetWaiting(); w.GetCause() != forSource || !strings.Contains(w.GetMessage(), "no answer in time; it is tried again") {
		t.Errorf("within the hour in which the host is tried the task waits for %v", w)
	}
	postgrestest.Exec(t, ts.Pool, "UPDATE preparation SET create_time = create_time - interval '1 h'")
	f := ts.End(t, id).GetFailure()
	if f.GetReason() != inputUnreachable || f.GetPayment() != refractv1.Payment_PAYMENT_NONE ||
		!strings.Contains(f.GetMessage(), host.URL+": no answer in time, tried ") || strings.Contains(f.GetMessage(), "hunter2") {
		t.Errorf("ended with %v", f)
	}
	e2etest.Eventually(t, "its preparation to be removed", func() bool { return postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM preparation") == 0 })
}

// TestSource_AnOutageOfOursSettlesNothing cuts the database off while a source is being probed.
func TestSource_AnOutageOfOursSettlesNothing(t *testing.T) {
	t.Parallel()
	var wire *e2etest.Wiretap
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Fetching(f, c)
		f.Tuning.Sources = source.Timing{SubmitWait: e2etest.Hung, Backoff: 20 * time.Millisecond, GiveUp: time.Millisecond}
		u, err := url.Parse(f.DatabaseURL.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		wire = e2etest.StartWiretap(t, u.Host)
	})
	u, _ := url.Parse(f.Config.DatabaseURL.Reveal())
	u.Host = wire.Address
	f.Config.DatabaseURL = redact.Secret(u.String())
	ts := f.Start(t)
	var looks atomic.Int64
	look := make(chan struct{})
	host := e2etest.ClipServer(t, func(w http.ResponseWriter, r *http.Request) {
		if looks.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable) // The submission leaves the source to the preparer.
			return
		}
		select {
		case <-look:
		case <-r.Context().Done():
		}
	})
	id := ts.Submit(t, "", e2etest.ByURI(host.URL)).GetId()
	e2etest.Eventually(t, "the preparer to look at its source", func() bool { return looks.Load() >= 2 }) // The claim has reached it.
	wire.SetCut(true)
	close(look)
	e2etest.Eventually(t, "the preparation to miss its database", func() bool {
		return strings.Contains(ts.Log.String(), "the result of a preparation could not be recorded")
	})
	wire.SetCut(false)
	postgrestest.Exec(t, f.Pool, "UPDATE preparation SET due_time = now()") // The lease expires.
	e2etest.Eventually(t, "the task to succeed", func() bool {
		return postgrestest.Value[string](t, f.Pool, "SELECT state FROM task WHERE id = $1", id) == "SUCCEEDED"
	})
}

// uploadGate is a proxy to the provider that can make uploads wait or fail.
type uploadGate struct {
	url     string
	uploads atomic.Int64 // How many have started.
}

func startUploadGate(t *testing.T, provider *sim.Server, each func(w http.ResponseWriter, r *http.Request, nth int64) (pass bool)) *uploadGate {
	t.Helper()
	g := &uploadGate{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/file-stream-upload") && !each(w, r, g.uploads.Add(1)) {
			return
		}
		e2etest.Forward(w, r, provider.URL())
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// TestSource_ManyTasksOfAClipHandItOverOnce submits ten tasks of one clip to two replicas at once. The upload to the
// provider takes longer than a submission waits.
//
// It fails without the unique constraint of table preparation, or when submissions upload themselves.
func TestSource_ManyTasksOfAClipHandItOverOnce(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		e2etest.Fetching(f, c)
		f.Tuning.Sources.SubmitWait = 100 * time.Millisecond
	})
	began, finish := make(chan struct{}, 100), make(chan struct{})
	gate := startUploadGate(t, f.Sim, func(_ http.ResponseWriter, r *http.Request, _ int64) bool {
		began <- struct{}{}
		select {
		case <-finish:
			return true
		case <-r.Context().Done():
			return false
		}
	})
	f.Config.KIE.URL = gate.url
	replicas := []*e2etest.Service{f.Start(t), f.Start(t)}
	id := replicas[0].Uploaded(t)
	tasks := make([]string, 10)
	var submitting sync.WaitGroup
	for i := range tasks {
		submitting.Go(func() { tasks[i] = replicas[i%2].Submit(t, "", e2etest.BySource(id)).GetId() })
	}
	submitting.Wait()
	<-began
	e2etest.Eventually(t, "all to wait for it", func() bool {
		return postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM preparation_task") == len(tasks)
	})
	close(finish)
	for _, task := range tasks {
		if last := replicas[0].End(t, task); last.GetState() != e2etest.Succeeded {
			t.Errorf("a task ended %v", last)
		}
	}
	if n := gate.uploads.Load(); n != 1 {
		t.Errorf("the clip was uploaded to the provider %d times", n)
	}
	if n := postgrestest.Value[int](t, f.Pool, "SELECT count(*) FROM attempt WHERE sent"); n != len(tasks) {
		t.Errorf("%d attempts were sent, want one a task", n)
	}
}

// TestSource_BusyUploadsDelayTheirOwnTasksAlone makes the provider's upload host refuse for a while.
func TestSource_BusyUploadsDelayTheirOwnTasksAlone(t *testing.T) {
	t.Parallel()
	f := e2etest.StartFleet(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Unlimited(f, c)
		e2etest.Fetching(f, c)
		f.Tuning.Sources.SubmitWait = 100 * time.Millisecond
	})
	var well atomic.Bool
	gate := startUploadGate(t, f.Sim, func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		if !well.Load() {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		return well.Load()
	})
	f.Config.KIE.URL = gate.url
	ts := f.Start(t)
	id := ts.Submit(t, "", e2etest.BySource(ts.Uploaded(t))).GetId()
	e2etest.Eventually(t, "the upload to be tried again", func() bool { return gate.uploads.Load() > 2 })
	if w := ts.Get(t, id).GetWaiting(); w.GetCause() != forSource || !strings.Contains(w.GetMessage(), "upload: rate_limited: code 429; it is tried again") {
		t.Errorf("it waits for %v, want another upload", w)
	}
	if last := ts.End(t, ts.Submit(t, "", e2etest.ByURI(f.Sim.URL()+"/clips/sample.mp4")).GetId()); last.GetState() != e2etest.Succeeded {
		t.Errorf("a task that needs no upload ended %v", last)
	}
	if postgrestest.Value[bool](t, f.Pool, "SELECT bool_or(pauses > 0) FROM provider_account") {
		t.Error("the account paused")
	}
	well.Store(true)
	if last := ts.End(t, id); last.GetState() != e2etest.Succeeded {
		t.Errorf("the task ended %v", last)
	}
}

// TestSource_AnUploadThatIsCutIsMadeAgain stops or kills the process in the middle of an upload to the provider. The
// next process must repeat it once, and submit once.
func TestSource_AnUploadThatIsCutIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*testing.T, *e2etest.Process, string){
		"SIGKILL": func(t *testing.T, p *e2etest.Process, database string) {
			t.Helper()
			p.Kill()
			postgrestest.Exec(t, postgrestest.Connect(t, database), "UPDATE preparation SET due_time = now()") // The lease expires.
		},
		"SIGTERM": func(t *testing.T, p *e2etest.Process, _ string) {
			t.Helper()
			p.Terminate(t) // It does not wait for the upload, which never ends.
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider, err := sim.Start(sim.Config{}, simkie.Profile{WebhookKey: e2etest.WebhookKey})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = provider.Close() })
			began := make(chan struct{}, 10)
			gate := startUploadGate(t, provider, func(_ http.ResponseWriter, r *http.Request, nth int64) bool {
				began <- struct{}{}
				if nth > 1 {
					return true
				}
				_, _ = io.Copy(io.Discard, r.Body) // The server notices only then that the caller is gone.
				<-r.Context().Done()
				return false
			})
			database := postgrestest.URL(t)
			args := []string{
				"--database-url=" + database, "--bucket=file://" + filepath.Join(t.TempDir(), "bucket"), "--auth=none", "--allow-private",
				"--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--ingress-address=127.0.0.1:0",
				"--kie-url=" + gate.url, "--kie-api-key=any", "--kie-webhook-key=" + e2etest.WebhookKey,
			}
			first := e2etest.StartProcess(t, args...)
			clip := e2etest.DistinctClip(name)
			resp, err := e2etest.UploadTo(t.Context(), first.Tasks, &refractv1.UploadSourceHeader{UploadId: uuid.NewString(), SizeBytes: int64(len(clip))}, clip)
			if err != nil {
				t.Fatal(err)
			}
			req := e2etest.GoodRequest()
			e2etest.BySource(resp.GetSource().GetId())(req)
			submitted, err := first.Tasks.SubmitTask(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			<-began
			stop(t, first, database)
			second := e2etest.StartProcess(t, args...)
			e2etest.WaitFor(t.Context(), t, second.Tasks, submitted.GetTask().GetId(), e2etest.Succeeded)
			if n := gate.uploads.Load(); n != 2 {
				t.Errorf("the clip was uploaded to the provider %d times, want once more", n)
			}
			if paid := sim.CountPaid(provider.Ledger(), sim.ByPrompt)[req.GetPrompt()]; paid != 1 {
				t.Errorf("paid %d times, want once", paid)
			}
		})
	}
}

func TestRetry_OfATaskWhoseUploadHasExpired(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, e2etest.Fetching)
	task := ts.Submit(t, "[sim:fail]", e2etest.BySource(ts.Uploaded(t)))
	if last := ts.End(t, task.GetId()); last.GetFailure().GetReason() != refractv1.FailureReason_FAILURE_REASON_PROVIDER_FAILED {
		t.Fatalf("ended %v", last)
	}
	postgrestest.Exec(t, ts.Pool, "UPDATE source SET state = 'EXPIRED'")
	ts.Retry(t, task.GetId())
	e2etest.Eventually(t, "the retry to end", func() bool {
		f := ts.Get(t, task.GetId()).GetFailure()
		return f.GetReason() == inputUnreachable && f.GetPayment() == refractv1.Payment_PAYMENT_NONE && strings.Contains(f.GetMessage(), "upload it again")
	})
	if paid := sim.CountPaid(ts.Sim.Ledger(), sim.ByPrompt)[task.GetPrompt()]; paid != 1 {
		t.Errorf("paid %d times, want for the first attempt alone", paid)
	}
}

// TestProbe_FetchAllowOpensNothingToSources allows results from a private network. Sources must not be fetched from
// there, neither directly nor through a redirect of a public host.
func TestProbe_FetchAllowOpensNothingToSources(t *testing.T) {
	t.Parallel()
	private := newPrivateServer(t)
	names := e2etest.NewRebindingHost(t)
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.Fetching(f, c)
		f.AllowPrivate, f.CallbackURL, f.FetchAllow = false, "https://refract.example.com", []string{"127.0.0.1", "127.0.0.2"}
		f.Tuning.Resolver, f.Tuning.Roots = names.Resolver(), names.Roots
		f.Tuning.WrapProber = func(guarded http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host != "public.example.com" {
					return guarded.RoundTrip(r)
				}
				return &http.Response{
					StatusCode: http.StatusFound, Header: http.Header{"Location": {private.URL + r.URL.Path}}, Body: http.NoBody, Request: r,
				}, nil
			})
		}
	})
	for name, uri := range map[string]string{
		"redirected":     "https://public.example.com/a.mp4",
		"a name of ours": "https://example.com/a.mp4",
	} {
		id := ts.Submit(t, "", e2etest.ByURI(uri)).GetId()
		f := ts.End(t, id).GetFailure()
		if f.GetReason() != inputUnreachable || !strings.Contains(f.GetMessage(), "refused by the network guard") || strings.Contains(f.GetMessage(), "127.0.0.") {
			t.Errorf("%s: ended with %v", name, f)
		}
	}
	if n := private.hits.Load(); n > 0 {
		t.Errorf("%d requests reached the private server", n)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
