package callback_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/kie"
	"github.com/refract-video/refract/internal/provider/luma"
	"github.com/refract-video/refract/internal/task"
)

// FuzzVerify searches for a token that verifies and that Make does not return, such as another spelling.
func FuzzVerify(f *testing.F) {
	tokens := newTokens(f, newKey, oldKey)
	f.Fuzz(func(t *testing.T, account, token string) {
		id, err := tokens.Verify(account, token)
		if err != nil {
			if !errors.Is(err, callback.ErrToken) || id != "" {
				t.Errorf("Verify(%q, %q) = %q, %v", account, token, id, err)
			}
			return
		}
		for _, key := range [][]byte{newKey, oldKey} {
			if made, err := newTokens(t, key).Make(account, id); err == nil && made == token {
				return
			}
		}
		t.Errorf("Verify(%q, %q) = %s, which no key makes", account, token, id)
	})
}

// FuzzMake checks that a token verifies for its attempt and account only, and not with any character changed.
func FuzzMake(f *testing.F) {
	tokens := newTokens(f, newKey, oldKey)
	stranger := newTokens(f, bytes.Repeat([]byte("s"), 32))
	f.Fuzz(func(t *testing.T, account, other string, raw []byte, at, as byte) {
		var u uuid.UUID
		copy(u[:], raw)
		id := task.AttemptID(u.String())
		token, err := tokens.Make(account, id)
		if err != nil {
			t.Fatalf("Make(%q, %s): %v", account, id, err)
		}
		if got, err := tokens.Verify(account, token); got != id || err != nil {
			t.Fatalf("Verify(%q, %q) = %s, %v, want %s", account, token, got, err, id)
		}
		changed := []byte(token)
		changed[int(at)%len(changed)] = as
		if _, err := tokens.Verify(account, string(changed)); string(changed) != token && !errors.Is(err, callback.ErrToken) {
			t.Fatalf("%q passes for %q: %v", changed, token, err)
		}
		if _, err := tokens.Verify(other, token); other != account && !errors.Is(err, callback.ErrToken) {
			t.Fatalf("the token %q of account %q passes at %q: %v", token, account, other, err)
		}
		if _, err := stranger.Verify(account, token); !errors.Is(err, callback.ErrToken) {
			t.Fatalf("the token %q passes under a stranger's key: %v", token, err)
		}
	})
}

// book is a settler that records its calls.
type book struct {
	settled, refused []lifecycle.Callback
	said             provider.Callback
}

func (b *book) SettleCallback(_ context.Context, c lifecycle.Callback, said provider.Callback) (lifecycle.Verdict, error) {
	b.settled, b.said = append(b.settled, c), said
	return lifecycle.Applied, nil
}

func (b *book) RefuseCallback(_ context.Context, c lifecycle.Callback) error {
	b.refused = append(b.refused, c)
	return nil
}

const webhookKey = "test-webhook-hmac-key"

// accounts are one of each kind of callback.
func accounts(tb testing.TB) provider.Accounts {
	tb.Helper()
	signed, err := kie.New(kie.Config{APIKey: "key", SigningKeys: []string{webhookKey}})
	if err != nil {
		tb.Fatal(err)
	}
	unsigned, err := luma.New(luma.Config{APIKey: "key"})
	if err != nil {
		tb.Fatal(err)
	}
	return provider.Accounts{"kie": signed, "luma": unsigned}
}

// FuzzReceive sends the receiver every input of a stranger. Its result, and its calls of the settler, must follow from the token
// and from what the adapter decodes. It must not call the settler without a valid token.
func FuzzReceive(f *testing.F) {
	known := accounts(f)
	tokens := newTokens(f, newKey, oldKey)
	f.Fuzz(func(t *testing.T, account, token, timestamp, signature string, sign bool, body []byte) {
		b := &book{}
		r, err := callback.NewReceiver(callback.Config{
			Tokens: tokens, Accounts: known, Settler: b, Meter: noop.Meter{}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		if p := known[account]; sign && p != nil {
			// The adapter returns the id of an unsigned callback with its refusal.
			said, _ := p.Callback(t.Context(), header, body, time.Now())
			timestamp = strconv.FormatInt(time.Now().Unix(), 10)
			signature = webhookSignature(said.ProviderTaskID, timestamp)
		}
		header.Set("X-Webhook-Timestamp", timestamp)
		header.Set("X-Webhook-Signature", signature)
		given := bytes.Clone(body)
		err = r.Receive(t.Context(), account, token, header, body)
		if !bytes.Equal(given, body) {
			t.Fatalf("Receive changed the caller's body to %q", body)
		}

		attempt, tokenErr := tokens.Verify(account, token)
		if known[account] == nil || tokenErr != nil {
			if !errors.Is(err, callback.ErrToken) || len(b.settled)+len(b.refused) != 0 {
				t.Fatalf("Receive(%q, %q) = %v and called the settler with %+v", account, token, err, b)
			}
			return
		}
		said, refusal := known[account].Callback(t.Context(), header, body, time.Now())
		want := lifecycle.Callback{AttemptID: attempt, Account: account, ProviderTaskID: said.ProviderTaskID}
		handed := b.settled
		if refusal != nil {
			handed, want.Verdict = b.refused, verdictOf(t, refusal)
		} else if diff := cmp.Diff(said, b.said); diff != "" {
			t.Fatalf("the settler got another callback (-want +got):\n%s", diff)
		}
		if (err == nil) != (refusal == nil) || err != nil && err.Error() != refusal.Error() || len(b.settled)+len(b.refused) != 1 || len(handed) != 1 {
			t.Fatalf("Receive = %v and called the settler with %+v, want %v", err, b, refusal)
		}
		stored := handed[0].Body
		if bytes.Contains(stored, []byte(token)) || len(stored) > 8*len(body) {
			t.Fatalf("the stored body of %q is %q", body, stored)
		}
		want.Body = stored
		if diff := cmp.Diff(want, handed[0]); diff != "" {
			t.Fatalf("the settler got (-want +got):\n%s", diff)
		}
	})
}

// verdictOf returns the verdict of a refused callback.
func verdictOf(t *testing.T, refusal error) lifecycle.Verdict {
	t.Helper()
	switch {
	case errors.Is(refusal, provider.ErrCallbackMalformed):
		return lifecycle.Malformed
	case errors.Is(refusal, provider.ErrCallbackSignature):
		return lifecycle.BadSignature
	case errors.Is(refusal, provider.ErrCallbackStale):
		return lifecycle.Stale
	}
	t.Fatalf("the adapter refuses with %v, which is no ErrCallback sentinel", refusal)
	return ""
}

// webhookSignature signs as kie.ai does.
func webhookSignature(id, timestamp string) string {
	mac := hmac.New(sha256.New, []byte(webhookKey))
	mac.Write([]byte(id + "." + timestamp))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
