package e2etest

import (
	"path"
	"slices"
	"strconv"
	"testing"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/redact"
)

// Restore makes a backup the database of the fleet.
func (f *Fleet) Restore(t *testing.T, backup postgrestest.Backup) {
	t.Helper()
	f.Config.DatabaseURL = redact.Secret(FewConnections(backup.Restore(t)))
	f.Pool = postgrestest.Connect(t, f.Config.DatabaseURL.Reveal())
}

// Backup copies the database of the fleet while it is in use.
func (f *Fleet) Backup(t *testing.T) postgrestest.Backup {
	t.Helper()
	return postgrestest.TakeBackup(t, f.Config.DatabaseURL.Reveal())
}

// Epoch returns the epoch of the database.
func (f *Fleet) Epoch(t *testing.T) int64 {
	t.Helper()
	return postgrestest.Value[int64](t, f.Pool, "SELECT epoch FROM installation")
}

// AwaitEpochAfter waits until the bucket has an epoch that a backup with the given one lacks.
func (f *Fleet) AwaitEpochAfter(t *testing.T, epoch int64) {
	t.Helper()
	bucket, err := media.OpenBucket(t.Context(), f.Config.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bucket.Close() }()
	Eventually(t, "the bucket to have a newer epoch", func() bool {
		keys, err := bucket.Keys(t.Context(), "fence/", 100)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(keys, func(key string) bool {
			n, err := strconv.ParseInt(path.Base(key), 10, 64)
			return err == nil && n > epoch
		})
	})
}
