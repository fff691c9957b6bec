package server

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/task"
)

// minSecretKey is the length of the shortest --secret-key, in bytes.
const minSecretKey = 32

// openKeyring returns what encrypts secrets in the database, under the operator's keys, or under one that the database keeps.
func openKeyring(ctx context.Context, f Config, db *database) (*notify.Keyring, error) {
	var keys [][]byte
	for i, text := range f.SecretKeys {
		if len(text.Reveal()) < minSecretKey {
			return nil, fmt.Errorf("--secret-key %d is shorter than %d bytes", i+1, minSecretKey)
		}
		key, err := hkdf.Key(sha256.New, []byte(text.Reveal()), nil, "refract secrets", 32)
		if err != nil {
			return nil, fmt.Errorf("derive a key from --secret-key: %w", err)
		}
		keys = append(keys, key)
	}
	kept, err := db.key(ctx, "secret_key") // Also with --secret-key: it decrypts what was stored before.
	if err != nil {
		return nil, err
	}
	return notify.OpenKeeper(append(keys, kept)...)
}

// webhookTask returns the function that writes a task in an event, as REST shows it.
func webhookTask(tasks *api.TaskService) notify.Renderer {
	return func(ctx context.Context, t task.Task, detail notify.Detail) ([]byte, error) {
		return httpapi.JSON(tasks.WebhookTask(ctx, t, detail))
	}
}
