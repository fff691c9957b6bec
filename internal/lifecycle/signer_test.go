package lifecycle_test

import (
	"context"
	"errors"
	"testing"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/task"
)

// by returns a callback about a success, whose signature covers the body and names a signer.
func by(signer, id string) provider.Callback {
	return provider.Callback{
		ProviderTaskID: id, Proof: provider.ProofBody, Signer: signer,
		Status: provider.Status{Phase: provider.Succeeded, ResultURLs: []string{"https://results.example.com/1.mp4"}},
	}
}

func (s service) pinned(t *testing.T) string {
	t.Helper()
	return query[string](t, s, "SELECT callback_signer FROM provider_account WHERE account = 'kie'")
}

func TestSettleCallback_PinsWhoSignsForAKnownProviderTask(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, attempt := s.start(t, "p1")
	if err := s.callback(t.Context(), attempt, by("us", "p1"), lifecycle.Applied); err != nil {
		t.Fatal(err)
	}
	s.expect(t, id, task.Saving, task.AttemptSucceeded)
	if got := s.pinned(t); got != "us" {
		t.Errorf("the pinned signer is %q, want us", got)
	}
	if n := query[int](t, s, "SELECT count(*) FROM callback"); n != 1 {
		t.Errorf("%d callbacks are kept, want 1", n)
	}
	// From now on the pin decides, for lost answers too.
	id, attempt = s.begin(t, plain())
	s.send(t, attempt, "", errLost)
	if err := s.callback(t.Context(), attempt, by("them", "p2"), lifecycle.Applied); !errors.Is(err, provider.ErrCallbackSignature) {
		t.Errorf("SettleCallback of another signer = %v, want ErrCallbackSignature", err)
	}
	s.expect(t, id, task.Running, task.AttemptUnconfirmed)
	if n := query[int](t, s, "SELECT count(*) FROM callback"); n != 1 {
		t.Errorf("%d callbacks are kept, want 1", n)
	}
	if err := s.callback(t.Context(), attempt, by("us", "p2"), lifecycle.Applied); err != nil {
		t.Error(err)
	}
	s.expect(t, id, task.Saving, task.AttemptSucceeded)
}

func TestSettleCallback_PinsNoOtherSigner(t *testing.T) {
	t.Parallel()
	hinted := func(t *testing.T, s service, attempt task.AttemptID) {
		t.Helper()
		if err := s.callback(t.Context(), attempt, unproven("p1", provider.Succeeded), lifecycle.Confirming); err != nil {
			t.Fatal(err)
		}
		for _, c := range s.checks(t) {
			if err := s.SettleCheck(t.Context(), c, provider.Status{Phase: provider.Running}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		answered bool // Whether the answer to the submission named p1.
		before   func(*testing.T, service, task.AttemptID)
		said     provider.Callback
		want     lifecycle.Verdict
	}{
		"the answer was lost":               {false, nil, by("them", "p1"), lifecycle.Confirming},
		"a check confirmed a hint":          {false, hinted, by("them", "p1"), lifecycle.Confirming},
		"another provider task":             {true, nil, by("them", "p2"), lifecycle.Mismatch},
		"the signature names no signer":     {true, nil, proven("p1", provider.Succeeded), lifecycle.Applied},
		"it is a hint, without a signature": {true, nil, unproven("p1", provider.Succeeded), lifecycle.Confirming},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			_, attempt := s.begin(t, plain())
			if test.answered {
				s.send(t, attempt, "p1", nil)
			} else {
				s.send(t, attempt, "", errLost)
			}
			if test.before != nil {
				test.before(t, s, attempt)
			}
			if err := s.callback(t.Context(), attempt, test.said, test.want); err != nil {
				t.Error(err)
			}
			if got := s.pinned(t); got != "" {
				t.Errorf("%q is pinned, want none", got)
			}
		})
	}
}

func TestSettleCallback_OneOfTwoSignersAtOnceIsPinned(t *testing.T) {
	t.Parallel()
	s := setup(t)
	signers := []string{"a", "b"}
	var attempts []task.AttemptID
	for _, signer := range signers {
		_, attempt := s.start(t, "p-"+signer)
		attempts = append(attempts, attempt)
	}
	errs := make([]error, len(signers))
	atOnce(t.Context(), len(signers), func(ctx context.Context, i int) error {
		errs[i] = s.callback(ctx, attempts[i], by(signers[i], "p-"+signers[i]), lifecycle.Applied)
		return nil
	})
	pinned := s.pinned(t)
	for i, err := range errs {
		if signers[i] == pinned && err != nil || signers[i] != pinned && !errors.Is(err, provider.ErrCallbackSignature) {
			t.Errorf("%s is pinned, and the callback of %s returns %v", pinned, signers[i], err)
		}
	}
}

// counted counts the questions for pinned signers.
type counted struct {
	lifecycle.Signers
	asked int
}

func (c *counted) CallbackSigner(ctx context.Context, account string) (string, error) {
	c.asked++
	return c.Signers.CallbackSigner(ctx, account)
}

func TestSettleCallback_AsksOnceWhoIsPinned(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.exec(t, "UPDATE provider_account SET callback_signer = 'us'")
	signers := &counted{Signers: s.store.Accounts}
	s.Lifecycle = newVerbs(t, s.store, studio{}, signers)
	_, attempt := s.start(t, "p1")
	for i := range 3 {
		want := lifecycle.Duplicate
		if i == 0 {
			want = lifecycle.Applied
		}
		if err := s.callback(t.Context(), attempt, by("us", "p1"), want); err != nil {
			t.Error(err)
		}
	}
	if signers.asked != 1 {
		t.Errorf("%d questions for 3 callbacks, want 1", signers.asked)
	}
}
