//go:build !release

package pglocal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	// A released build leaves this library out: its users install PostgreSQL, and it brings unmaintained decompression code.
	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// fetchable are the releases that can be fetched, by major version.
var fetchable = map[int]embeddedpostgres.PostgresVersion{
	14: embeddedpostgres.V14,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

// fetchedMajor is what new clusters get.
const fetchedMajor = 18

// fetch brings the binaries of a major version (0: the newest known) into the cache.
//
// NOTE: the library takes no context. When ctx ends, the download fails, but unpacking continues in the background. It writes
// to a folder of its own, and the next start uses what it completes.
func fetch(ctx context.Context, from source, major int) (binaries, error) {
	if major == 0 {
		major = fetchedMajor
	}
	release, ok := fetchable[major]
	if !ok {
		return binaries{}, fmt.Errorf("fetch PostgreSQL %d: not available", major)
	}
	if err := ctx.Err(); err != nil {
		return binaries{}, fmt.Errorf("fetch PostgreSQL %s: %w", release, err)
	}
	result := make(chan error, 1)
	final := filepath.Join(from.cache, "postgresql-"+string(release))
	go func() { result <- fetchInto(ctx, final, from, release) }()
	select {
	case err := <-result:
		if err != nil {
			return binaries{}, fmt.Errorf("fetch PostgreSQL %s: %w", release, err)
		}
		return binaries{dir: filepath.Join(final, "bin"), major: major}, nil
	case <-ctx.Done():
		return binaries{}, fmt.Errorf("fetch PostgreSQL %s: %w", release, ctx.Err())
	}
}

// fetchInto unpacks in a temporary folder and renames, so that the final folder is always complete.
//
// The library has no call that only fetches: Start downloads, unpacks, then runs a server on a data folder, which it wipes
// when the version differs and which it cannot do as root. So it gets a throw-away data folder that claims the right
// version and holds nothing else, and port 0, which PostgreSQL refuses: after unpacking there is nothing it could run.
// NOTE: that Start ends in an error is therefore the plan; the verdict is whether the programs are there. It never learns
// of the real data folder.
func fetchInto(ctx context.Context, final string, from source, release embeddedpostgres.PostgresVersion) (err error) {
	if err := os.MkdirAll(from.cache, 0o755); err != nil { //nolint:gosec // The server's user must enter it; it holds public programs.
		return err
	}
	work, err := os.MkdirTemp(from.cache, "fetch-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	data := filepath.Join(work, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(release), 0o600); err != nil {
		return err
	}
	unpacked := filepath.Join(work, "unpacked")
	cfg := embeddedpostgres.DefaultConfig().Version(release).Port(0).Logger(io.Discard).
		CachePath(work).RuntimePath(filepath.Join(work, "runtime")).BinariesPath(unpacked).DataPath(data)
	repository, err := startVerified(ctx, cmp.Or(from.repository, defaultRepository))
	if err != nil {
		return err
	}
	server := embeddedpostgres.NewDatabase(cfg.BinaryRepositoryURL(repository.url))
	startErr := server.Start()
	if err := repository.stop(); err != nil {
		return err
	}
	if startErr == nil {
		startErr = errors.Join(errors.New("the library started a server on an empty folder"), server.Stop())
	}
	for _, program := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(unpacked, "bin", program)); err != nil {
			return startErr
		}
	}
	return keep(unpacked, final)
}

// keep moves the programs to their place, unless another process was faster.
func keep(unpacked, final string) error {
	err := os.Rename(unpacked, final)
	if _, statErr := os.Stat(final); statErr == nil {
		return nil
	}
	return err
}
