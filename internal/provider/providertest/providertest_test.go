package providertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
	simluma "github.com/refract-video/refract/internal/sim/luma"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wrong is a provider with one of its methods broken; the others are those of a good one.
type wrong struct {
	provider.Provider
	submit   func(context.Context, provider.Submission) (provider.Receipt, error)
	check    func(context.Context, provider.Query) (provider.Status, error)
	refresh  func(context.Context, string) (string, error)
	callback func(context.Context, http.Header, []byte, time.Time) (provider.Callback, error)
}

func (w *wrong) Submit(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
	if w.submit == nil {
		return w.Provider.Submit(ctx, s)
	}
	return w.submit(ctx, s)
}

func (w *wrong) Check(ctx context.Context, q provider.Query) (provider.Status, error) {
	if w.check == nil {
		return w.Provider.Check(ctx, q)
	}
	return w.check(ctx, q)
}

func (w *wrong) RefreshLink(ctx context.Context, link string) (string, error) {
	if w.refresh == nil {
		return w.Provider.RefreshLink(ctx, link)
	}
	return w.refresh(ctx, link)
}

func (w *wrong) Callback(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
	if w.callback == nil {
		return w.Provider.Callback(ctx, header, body, now)
	}
	return w.callback(ctx, header, body, now)
}

// classed makes every error of a submission one class.
func classed(good provider.Provider, class provider.Class) func(context.Context, provider.Submission) (provider.Receipt, error) {
	return func(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
		receipt, err := good.Submit(ctx, s)
		if err != nil {
			err = &provider.Error{Class: class, Op: "submit"}
		}
		return receipt, err
	}
}

func TestRun_ComplainsAboutAWrongProvider(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		subject Subject
		spoil   func(w *wrong, a Account)
		group   string
		want    string // The case that complains,
		says    string // and what it says.
	}{
		{"sends a create again", kieSubject(), func(w *wrong, _ Account) {
			w.submit = func(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
				if receipt, err := w.Provider.Submit(ctx, s); err == nil {
					return receipt, nil
				}
				return w.Provider.Submit(ctx, s)
			}
		}, "lost answers", "connection cut before the task was created", "one Submit made 2 requests"},
		{"takes a lost answer for a request that was never sent", lumaSubject(), func(w *wrong, _ Account) {
			w.submit = classed(w.Provider, provider.NotSent)
		}, "lost answers", "connection cut after the task was created", "Submit said not_sent of a request that arrived"},
		{"takes a cut answer for a refusal", lumaSubject(), func(w *wrong, _ Account) {
			w.submit = classed(w.Provider, provider.Rejected)
		}, "lost answers", "answer cut", "Submit said rejected, that nothing was created, of a paid task"},
		{"takes trouble of the account for trouble of the task", kieSubject(), func(w *wrong, _ Account) {
			w.submit = classed(w.Provider, provider.Rejected)
		}, "refusals", "no credits", "want {Class:account_blocked Pause:credits"},
		{"forgets the first frame", lumaSubject(), func(w *wrong, _ Account) {
			w.submit = func(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
				s.Inputs = maps.Clone(s.Inputs)
				delete(s.Inputs, "first_frame")
				return w.Provider.Submit(ctx, s)
			}
		}, "submissions", "luma/ray-2-modify: a request arrives as it was made", "FirstFrameURI:"},
		{"leaks its key", kieSubject(), func(w *wrong, a Account) {
			w.check = func(ctx context.Context, q provider.Query) (provider.Status, error) {
				status, err := w.Provider.Check(ctx, q)
				if err != nil {
					err = &provider.Error{Class: provider.ClassOf(err), Pause: provider.PauseCredentials, Message: "bad key " + a.APIKey}
				}
				return status, err
			}
		}, "refusals", "bad credentials", "leaks the secret"},
		{"returns errors of its own", lumaSubject(), func(w *wrong, _ Account) {
			w.check = func(context.Context, provider.Query) (provider.Status, error) {
				return provider.Status{}, errors.New("broken")
			}
		}, "checks", "rate limit", "want *provider.Error"},
		{"gives a task up before it can be seen", kieSubject(), func(w *wrong, _ Account) {
			w.check = func(ctx context.Context, q provider.Query) (provider.Status, error) {
				q.Submitted = time.Time{}
				return w.Provider.Check(ctx, q)
			}
		}, "checks", "a task that is not visible yet is running", "want running"},
		{"believes the last callback", lumaSubject(), func(w *wrong, _ Account) {
			var mu sync.Mutex
			var last provider.Status
			w.callback = func(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
				cb, err := w.Provider.Callback(ctx, header, body, now)
				mu.Lock()
				defer mu.Unlock()
				last = cb.Status
				return cb, err
			}
			w.check = func(ctx context.Context, q provider.Query) (provider.Status, error) {
				mu.Lock()
				defer mu.Unlock()
				if last.Phase != 0 {
					return last, nil
				}
				return w.Provider.Check(ctx, q)
			}
		}, "checks", "a task that is done stays done", "want a success with links"},
		{"calls an unsigned callback proven", lumaSubject(), func(w *wrong, _ Account) {
			w.callback = func(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
				cb, err := w.Provider.Callback(ctx, header, body, now)
				if err == nil {
					cb.Proof = provider.ProofID
				}
				return cb, err
			}
		}, "callbacks", "a tampered body proves nothing", "proof is id, want none"},
		{"takes forged signatures", kieSubject(), func(w *wrong, _ Account) {
			w.callback = func(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
				cb, err := w.Provider.Callback(ctx, header, body, now)
				if errors.Is(err, provider.ErrCallbackSignature) {
					return provider.Callback{ProviderTaskID: cb.ProviderTaskID, Proof: provider.ProofID}, nil
				}
				return cb, err
			}
		}, "callbacks", "signed with another key", "want bad callback signature"},
		{"proves without a key", kieSubject(), func(w *wrong, _ Account) {
			w.callback = func(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
				cb, err := w.Provider.Callback(ctx, header, body, now)
				if header.Get("X-Webhook-Signature") != "" {
					cb.Proof = provider.ProofID
				}
				return cb, err
			}
		}, "callbacks without a signing key", "a success is reported", "proof is id, want none"},
		{"returns the dead link", kieSubject(), func(w *wrong, _ Account) {
			w.refresh = func(_ context.Context, link string) (string, error) { return link, nil }
		}, "links", "a dead link is exchanged", "status 404"},
		{"claims links that it can't exchange", lumaSubject(), func(w *wrong, _ Account) {
			w.refresh = func(_ context.Context, link string) (string, error) { return link, nil }
		}, "links", "a dead link is refused", "want *provider.Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := complaints(t, tt.subject, tt.group, tt.want); len(got) > 0 {
				t.Fatalf("the good provider: %q", got)
			}
			good := tt.subject.New
			tt.subject.New = func(t testing.TB, a Account) provider.Provider {
				t.Helper()
				w := &wrong{Provider: good(t, a)}
				tt.spoil(w, a)
				return w
			}
			got := complaints(t, tt.subject, tt.group, tt.want)
			if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, tt.says) }) {
				t.Errorf("complaints are %q, want one that says %q", got, tt.says)
			}
		})
	}
}

// complaints runs one case on a recorder.
func complaints(t *testing.T, s Subject, groupName, caseName string) []string {
	t.Helper()
	for _, g := range s.groups(t) {
		at := slices.IndexFunc(g.cases, func(c testCase) bool { return c.name == caseName })
		if g.name != groupName || at < 0 {
			continue
		}
		rec := &recorder{TB: t}
		var wg sync.WaitGroup
		wg.Go(func() { s.try(rec, g, g.cases[at]) })
		wg.Wait()
		return rec.complaints
	}
	t.Fatalf("there is no case %q / %q", groupName, caseName)
	return nil
}

// recorder keeps what a case complains about, where a test would fail. Like a test it is used by one goroutine.
type recorder struct {
	testing.TB
	complaints []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// lend returns a client whose connections end with the test.
func lend(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func kieSubject() Subject {
	return Subject{
		Name: kie.Name,
		Simulate: func(s Simulation) sim.Profile {
			return simkie.Profile{SubmitLimit: s.SubmitLimit, QueryLimit: s.QueryLimit, WebhookKey: s.SigningKey}
		},
		SaysMaintenance: true,
		New: func(t testing.TB, a Account) provider.Provider {
			t.Helper()
			cfg := kie.Config{BaseURL: a.BaseURL, APIKey: a.APIKey, HTTPClient: lend(t)}
			if a.SigningKey != "" {
				cfg.SigningKeys = []string{a.SigningKey}
			}
			p, err := kie.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
	}
}

func lumaSubject() Subject {
	return Subject{
		Name: luma.Name,
		Simulate: func(s Simulation) sim.Profile {
			return simluma.Profile{SubmitLimit: s.SubmitLimit, QueryLimit: s.QueryLimit, MaxConcurrent: -1}
		},
		SaysRetryAfter: true,
		New: func(t testing.TB, a Account) provider.Provider {
			t.Helper()
			p, err := luma.New(luma.Config{BaseURL: a.BaseURL, APIKey: a.APIKey, HTTPClient: lend(t)})
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
	}
}
