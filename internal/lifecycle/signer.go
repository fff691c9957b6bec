package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// Signers keeps which account at a provider signs the callbacks of each of our accounts.
type Signers interface {
	// CallbackSigner returns the pinned signer of an account, or "" while none is pinned.
	CallbackSigner(ctx context.Context, account string) (string, error)
	// PinCallbackSigner pins a signer, unless another one is pinned, and returns the pinned one.
	PinCallbackSigner(ctx context.Context, account, signer string) (string, error)
}

// signers remembers the pinned signers. A pin never changes while the service runs, so it is read once.
type signers struct {
	store Signers
	mu    sync.Mutex
	known map[string]string // By account; without those that have none yet.
}

// pinned returns the pinned signer of the account that a callback is for, or "". It asks the database while none is pinned, and
// nothing for callbacks that name no signer.
func (s *signers) pinned(ctx context.Context, account string, said provider.Callback) (string, error) {
	if said.Signer == "" {
		return "", nil
	}
	s.mu.Lock()
	signer := s.known[account]
	s.mu.Unlock()
	if signer != "" {
		return signer, nil
	}
	signer, err := s.store.CallbackSigner(ctx, account)
	if err != nil {
		return "", fmt.Errorf("read the callback signer of account %s: %w", account, err)
	}
	s.remember(account, signer)
	return signer, nil
}

// pin pins the signer of a callback, and returns the one that is pinned then.
func (s *signers) pin(ctx context.Context, account, signer string) (string, error) {
	signer, err := s.store.PinCallbackSigner(ctx, account, signer)
	if err != nil {
		return "", fmt.Errorf("pin the callback signer of account %s: %w", account, err)
	}
	s.remember(account, signer)
	return signer, nil
}

func (s *signers) remember(account, signer string) {
	if signer == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]string{}
	}
	s.known[account] = signer
}

// errForeignSigner refuses a callback that another account at the provider signed.
var errForeignSigner = fmt.Errorf("%w: by another account at the provider", provider.ErrCallbackSignature)

// errUnpinned means that a callback is to be believed and its signer is not pinned yet.
var errUnpinned = errors.New("the signer is not pinned")

// trusted returns what a callback proves about an attempt, given the pinned signer of its account.
//
// NOTE: every customer of a provider whose signatures name a signer can have the provider sign a callback to our URL. Who of them
// we are shows where a callback has the provider task id that the provider gave in its answer to the submission: then the signer
// is pinned. Where the answer was lost, and nothing is pinned, the callback proves nothing. An id that a hint brought counts as
// lost.
func trusted(a *task.Attempt, said provider.Callback, pinned string) (provider.Callback, error) {
	switch {
	case said.Signer == "" || pinned == said.Signer:
	case pinned != "":
		return said, errForeignSigner
	case a.ProviderTaskID == "" || a.HintedTaskID != "":
		said.Proof = provider.ProofNone
	case a.ProviderTaskID == said.ProviderTaskID:
		return said, errUnpinned
	}
	return said, nil
}
