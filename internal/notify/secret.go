package notify

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"
)

// secretPrefix marks a secret of Standard Webhooks, and secretBytes is the length of its key.
const (
	secretPrefix = "whsec_"
	secretBytes  = 32
)

// Keeper decrypts secrets. *secrets.Keeper of gocloud.dev and *Keyring implement it.
type Keeper interface {
	Decrypt(ctx context.Context, sealed []byte) ([]byte, error)
}

// Sealer encrypts secrets. *secrets.Keeper of gocloud.dev and *Keyring implement it.
type Sealer interface {
	Encrypt(ctx context.Context, key []byte) ([]byte, error)
}

// NewSecret returns a new secret: the text for the caller, such as whsec_…, and its key, which signs and which Seal encrypts.
func NewSecret() (text string, key []byte) {
	key = make([]byte, secretBytes)
	_, _ = rand.Read(key) // It never fails: a system without randomness ends the process.
	return secretPrefix + base64.StdEncoding.EncodeToString(key), key
}

// Seal encrypts the key of a secret for the database.
func Seal(ctx context.Context, s Sealer, key []byte) ([]byte, error) {
	sealed, err := s.Encrypt(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("encrypt the secret of a webhook: %w", err)
	}
	return sealed, nil
}

// Keyring encrypts with its first key and decrypts with any of them, so that keys can be rotated. It may be used concurrently.
type Keyring struct{ keepers []*secrets.Keeper }

// OpenKeeper returns a keyring over keys of 32 bytes, the newest first.
func OpenKeeper(keys ...[]byte) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("the secrets of webhooks need a key")
	}
	ring := &Keyring{}
	for i, key := range keys {
		if len(key) != 32 {
			return nil, fmt.Errorf("key %d of the secrets of webhooks has %d bytes; it must have 32", i+1, len(key))
		}
		ring.keepers = append(ring.keepers, localsecrets.NewKeeper([32]byte(key)))
	}
	return ring, nil
}

// Encrypt encrypts with the first key.
func (k *Keyring) Encrypt(ctx context.Context, key []byte) ([]byte, error) {
	return k.keepers[0].Encrypt(ctx, key)
}

// Decrypt decrypts with the key that fits.
func (k *Keyring) Decrypt(ctx context.Context, sealed []byte) ([]byte, error) {
	var failed error
	for _, keeper := range k.keepers {
		key, err := keeper.Decrypt(ctx, sealed)
		if err == nil {
			return key, nil
		}
		failed = err
	}
	return nil, failed
}

// Close releases the keys.
func (k *Keyring) Close() error {
	var errs []error
	for _, keeper := range k.keepers {
		errs = append(errs, keeper.Close())
	}
	return errors.Join(errs...)
}
