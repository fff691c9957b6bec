package callback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/refract-video/refract/internal/task"
)

// Sealed is a callback as it waits in the intake. The ingress and the workers share the key, and the database has none: what is
// encrypted are the URL token and the links, which give access. What is not sealed by an ingress is not a callback, even if it is
// in the table.
type Sealed struct {
	AttemptID task.AttemptID
	Account   string
	Sealed    []byte
}

// Keyring encrypts with its first key and decrypts with any. What it decrypts is authentic.
type Keyring interface {
	Encrypt(ctx context.Context, content []byte) ([]byte, error)
	Decrypt(ctx context.Context, sealed []byte) ([]byte, error)
}

// envelope is what is encrypted. The account is a part of it, since the column is not authenticated. Rows outlive a release, so
// fields are only added.
type envelope struct {
	Account string      `json:"account"`
	Token   string      `json:"token"`
	Header  http.Header `json:"header"`
	Body    []byte      `json:"body"`
}

// errSealed means that no key of this replica fits a callback.
var errSealed = errors.New("a stored callback can't be decrypted: all replicas need the same --callback-key, the ingress too")

func seal(ctx context.Context, keys Keyring, id task.AttemptID, e envelope) (Sealed, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return Sealed{}, fmt.Errorf("encode a callback of attempt %s: %w", id, err)
	}
	sealed, err := keys.Encrypt(ctx, text)
	if err != nil {
		return Sealed{}, fmt.Errorf("encrypt a callback of attempt %s: %w", id, err)
	}
	return Sealed{AttemptID: id, Account: e.Account, Sealed: sealed}, nil
}

func (s Sealed) open(ctx context.Context, keys Keyring) (e envelope, err error) {
	text, err := keys.Decrypt(ctx, s.Sealed)
	if err != nil {
		return e, errSealed
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("decode a stored callback: %w", err)
	}
	return e, nil
}
