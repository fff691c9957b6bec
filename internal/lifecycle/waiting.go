package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/task"
)

// WaitCause is what a task waits for.
type WaitCause string

// The causes, in the order in which they are looked for.
const (
	WaitStorage        WaitCause = "STORAGE_UNAVAILABLE" // Results can't be stored, so that nothing more is spent.
	WaitDownload       WaitCause = "DOWNLOAD_FAILING"    // The result can't be downloaded from the provider.
	WaitLinks          WaitCause = "LINKS_MISSING"       // The provider names no link to the result.
	WaitAnswer         WaitCause = "ANSWER_UNREADABLE"   // The provider does not say where the result is.
	WaitConfirmation   WaitCause = "UNCONFIRMED_OUTCOME" // It is unknown whether the provider took the attempt.
	WaitSource         WaitCause = "SOURCE"              // The task's source is being looked at, or handed to the provider.
	WaitDelay          WaitCause = "RETRY_DELAY"         // The last attempt created nothing at the provider; the next follows after a pause.
	WaitProviderPaused WaitCause = "PROVIDER_PAUSED"     // Every account at the provider is paused.
	WaitTenantShare    WaitCause = "TENANT_SHARE"        // The tenant has its share, or other tasks of it go first.
	WaitRateWindow     WaitCause = "RATE_WINDOW"         // The rate windows are full.
	WaitInFlightCap    WaitCause = "IN_FLIGHT_CAP"       // As many attempts are in flight as the provider allows.
	WaitAdmission      WaitCause = "ADMISSION"           // Nothing; it goes with the next round.
)

// Waiting says what a task waits for.
type Waiting struct {
	Cause   WaitCause
	Place   int       // The place in the tenant's line at the provider, from 1, counted up to 10,001; 0 for a task that is not QUEUED.
	Until   time.Time // When that ends, where it is known; else zero.
	Message string
}

// Standing is where a QUEUED task stands.
type Standing struct {
	Usages     []admission.Usage
	Ahead      int         // How many tasks of the tenant go first.
	NotBefore  time.Time   // Admission leaves the task alone until then; zero means that it does not.
	Source     *SourceWait // What keeps the task from admission; nil where its source does not.
	TenantOpen int         // How many attempts the tenant has open.
	TenantMax  int         // How many it may have; 0 means any number.
	Storage    string      // Why results can't be stored at any replica; empty where they can.
}

// SourceWait is how the preparation of a task's source stands.
type SourceWait struct {
	Message string    // Why it failed the last time; empty where it has not.
	Until   time.Time // When it is tried again; zero while it is being tried.
}

// Waiting returns what a task waits for, or nil where it waits for nothing but the work itself.
func (l *Lifecycle) Waiting(ctx context.Context, t task.Task) (*Waiting, error) {
	switch a := t.Attempt(); {
	case t.State == task.Running && a.State == task.AttemptUnconfirmed:
		return &Waiting{
			Cause:   WaitConfirmation,
			Message: fmt.Sprintf("no answer tells whether %s took attempt %d; its callback is awaited for %s", a.Provider, a.Number, waitForCallback(l.capabilities(a.Account))),
		}, nil
	case t.State == task.Saving:
		return l.waitingSave(ctx, t)
	case t.State != task.Queued:
		return nil, nil //nolint:nilnil // Nothing is what most tasks wait for.
	}
	st, err := l.store.Standing(ctx, t, admission.Round{Provider: t.Provider, Limits: l.limits(t.Provider)})
	if err != nil {
		return nil, fmt.Errorf("find out what task %s waits for: %w", t.ID, err)
	}
	w := st.waiting(t.Provider)
	w.Place = st.Ahead + 1
	return &w, nil
}

// waiting is the first cause that keeps the task from going to a provider.
func (st Standing) waiting(provider string) Waiting {
	if st.Storage != "" {
		return Waiting{Cause: WaitStorage, Message: "results can't be stored, since the storage " + st.Storage + "; nothing is sent to " + provider + " until they can"}
	}
	if w := st.Source; w != nil {
		message := "its source is being looked at, or handed to " + provider
		if w.Message != "" {
			message = w.Message + "; it is tried again"
		}
		return Waiting{Cause: WaitSource, Until: w.Until, Message: message}
	}
	if !st.NotBefore.IsZero() {
		return Waiting{Cause: WaitDelay, Until: st.NotBefore, Message: "the attempt before never reached the provider, or was refused while others were accepted; another follows"}
	}
	if w, paused := st.paused(provider); paused {
		return w
	}
	if st.TenantMax > 0 && st.TenantOpen >= st.TenantMax {
		return Waiting{Cause: WaitTenantShare, Message: fmt.Sprintf("the tenant has %d attempts open and may have %d", st.TenantOpen, st.TenantMax)}
	}
	permits, window, inFlight := 0, 0, 0
	for _, u := range st.Usages {
		if u.Paused {
			continue
		}
		permits += u.Permits()
		window += u.WindowLeft()
		inFlight += u.InFlightLeft()
	}
	switch {
	case permits > st.Ahead:
		return Waiting{Cause: WaitAdmission, Message: "a permit is free; the task goes with the next round of admission"}
	case inFlight == 0:
		return Waiting{Cause: WaitInFlightCap, Message: "as many attempts are in flight as " + provider + " allows"}
	case window == 0:
		return Waiting{Cause: WaitRateWindow, Message: "as many submissions were made as " + provider + " allows in its window"}
	case permits == 0:
		return Waiting{Cause: WaitProviderPaused, Message: provider + " was paused and is being probed with one attempt at a time"}
	default:
		return Waiting{Cause: WaitTenantShare, Message: fmt.Sprintf("%d tasks of the tenant go first", st.Ahead)}
	}
}

// paused reports whether every account at the provider is paused, and until when.
func (st Standing) paused(provider string) (Waiting, bool) {
	w := Waiting{Cause: WaitProviderPaused, Message: provider + " has no account that is configured"}
	for i, u := range st.Usages {
		if !u.Paused {
			return Waiting{}, false
		}
		if i == 0 || u.PausedUntil.Before(w.Until) {
			w.Until = u.PausedUntil
			w.Message = fmt.Sprintf("account %s is paused: %s", u.Account, u.PauseReason)
		}
	}
	return w, true
}
