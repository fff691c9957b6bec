package notify

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxSigners bounds the cache of decrypted keys.
const maxSigners = 1024

// signers decrypts keys and keeps them in memory: a keeper can be a service behind a network. It never holds a wrong key, since a key
// that is replaced has another ciphertext. It may be used concurrently.
type signers struct {
	keeper Keeper

	mu    sync.Mutex
	known map[string]*standardwebhooks.Webhook // By ciphertext.
}

// sign adds the headers of Standard Webhooks to a request: one signature for each secret that is valid at a time, newest first.
func (s *signers) sign(ctx context.Context, h http.Header, secrets Secrets, id string, at time.Time, body []byte) error {
	live := [][]byte{secrets.Current}
	if secrets.Previous != nil && at.Before(secrets.PreviousExpire) {
		live = append(live, secrets.Previous)
	}
	signatures := make([]string, len(live))
	for i, sealed := range live {
		signer, err := s.signer(ctx, sealed)
		if err != nil {
			return err
		}
		if signatures[i], err = signer.Sign(id, at, body); err != nil {
			return fmt.Errorf("sign the event: %w", err)
		}
	}
	h[standardwebhooks.HeaderWebhookID] = []string{id} // As they are written in the specification, in lower case.
	h[standardwebhooks.HeaderWebhookTimestamp] = []string{strconv.FormatInt(at.Unix(), 10)}
	h[standardwebhooks.HeaderWebhookSignature] = []string{strings.Join(signatures, " ")}
	return nil
}

func (s *signers) signer(ctx context.Context, sealed []byte) (*standardwebhooks.Webhook, error) {
	s.mu.Lock()
	signer := s.known[string(sealed)]
	s.mu.Unlock()
	if signer != nil {
		return signer, nil
	}
	key, err := s.keeper.Decrypt(ctx, sealed)
	if err != nil {
		return nil, fmt.Errorf("decrypt the secret of the endpoint: %w", err)
	}
	if signer, err = standardwebhooks.NewWebhookRaw(key); err != nil {
		return nil, fmt.Errorf("read the secret of the endpoint: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSigners {
		s.known = map[string]*standardwebhooks.Webhook{}
	}
	s.known[string(sealed)] = signer
	return signer, nil
}
