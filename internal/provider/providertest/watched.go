package providertest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
	"github.com/refract-video/refract/internal/sim"
)

// watched is a provider that records its calls and their results.
type watched struct {
	provider.Provider
	secrets []string

	mu          sync.Mutex
	submissions []submitted
	said        []string // All texts in results.
	errs        []error  // All errors but those of callbacks.
	statuses    []provider.Status
}

// submitted is one call of Submit.
type submitted struct {
	prompt, remote string
	receipt        provider.Receipt
	err            error
}

func (w *watched) Submit(ctx context.Context, s provider.Submission) (provider.Receipt, error) {
	receipt, err := w.Provider.Submit(ctx, s)
	prompt, _ := s.Inputs["prompt"].(string)
	w.mu.Lock()
	w.submissions = append(w.submissions, submitted{prompt, s.Remote, receipt, err})
	w.mu.Unlock()
	w.heard(provider.Status{}, err)
	return receipt, err
}

// submitted returns the submission that created a task.
func (w *watched) submitted(id string) (submitted, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.submissions, func(s submitted) bool { return s.err == nil && s.receipt.TaskID == id })
	if i < 0 {
		return submitted{}, false
	}
	return w.submissions[i], true
}

func (w *watched) Check(ctx context.Context, q provider.Query) (provider.Status, error) {
	status, err := w.Provider.Check(ctx, q)
	w.heard(status, err)
	return status, err
}

func (w *watched) RefreshLink(ctx context.Context, link string) (string, error) {
	w.mu.Lock()
	w.secrets = append(w.secrets, link)
	w.mu.Unlock()
	fresh, err := w.Provider.RefreshLink(ctx, link)
	w.heard(provider.Status{}, err)
	return fresh, err
}

func (w *watched) Callback(ctx context.Context, header http.Header, body []byte, now time.Time) (provider.Callback, error) {
	cb, err := w.Provider.Callback(ctx, header, body, now)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, cb.Status.Message)
	if err != nil {
		w.said = append(w.said, err.Error())
	}
	return cb, err
}

func (w *watched) heard(status provider.Status, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, status.Message)
	if err != nil {
		w.said, w.errs = append(w.said, err.Error()), append(w.errs, err)
	} else if status.Phase != 0 {
		w.statuses = append(w.statuses, status)
	}
}

// audit checks what must be true of every call that the providers of a case made.
func (r *rig) audit() {
	r.Helper()
	ledger := r.sim.Ledger()
	for _, w := range r.watched {
		for _, s := range w.submissions {
			r.auditMoney(s, ledger)
		}
		for _, text := range w.said {
			for _, secret := range w.secrets {
				if strings.Contains(text, secret) {
					r.Errorf("%q leaks the secret %q", text, secret)
				}
			}
		}
		for _, err := range w.errs {
			_ = wiretest.ProviderError(r.TB, err)
		}
		for _, status := range w.statuses {
			wiretest.CheckStatus(r.TB, status)
		}
	}
}

// auditMoney compares the result of one call of Submit with the ledger of the simulator.
func (r *rig) auditMoney(s submitted, ledger []sim.Entry) {
	r.Helper()
	entries := slices.DeleteFunc(slices.Clone(ledger), func(e sim.Entry) bool { return e.Prompt != s.prompt })
	paid := sim.CountPaid(entries, sim.ByPrompt)[s.prompt]
	if len(entries) > 1 {
		r.Errorf("one Submit made %d requests", len(entries))
	}
	if s.err == nil {
		if paid != 1 || entries[0].TaskID != s.receipt.TaskID {
			r.Errorf("Submit returned %q, the ledger has %+v", s.receipt.TaskID, entries)
		}
		return
	}
	switch class := provider.ClassOf(s.err); class {
	case provider.Ambiguous, provider.GenerationFailed:
	case provider.NotSent:
		if len(entries) > 0 {
			r.Errorf("Submit said %v of a request that arrived: %+v", class, entries)
		}
	case provider.RateLimited, provider.Rejected, provider.AccountBlocked, provider.ModelWithdrawn:
		if paid > 0 {
			r.Errorf("Submit said %v, that nothing was created, of a paid task: %+v", class, entries)
		}
	default:
		r.Errorf("Submit said %v, which says nothing about money", class)
	}
}
