package pglocal

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest PostgreSQL that Refract's statements are written for.
const minMajor = 14

// installedIn are the folders, as glob patterns, where systems put server programs that are not on the PATH.
var installedIn = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // packages of postgresql.org for Red Hat and kin
	"/usr/lib/postgresql[0-9]*/bin",                      // SUSE
	"/usr/libexec/postgresql[0-9]*",                      // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew, ARM
	"/usr/local/opt/postgresql@*/bin",                    // Homebrew, Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
}

// binaries is a folder with PostgreSQL's server programs of one major version.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

func (b binaries) String() string { return fmt.Sprintf("%d in %s", b.major, b.dir) }

// chooseBinaries returns the programs that fit the data, whose version is major (0: no data yet). It fetches them only when
// none are installed, and never in a released build.
func chooseBinaries(ctx context.Context, user account, dir *folder, major int) (binaries, error) {
	cache, cacheErr := cacheDir()
	patterns := installedIn
	if cacheErr == nil {
		patterns = append(slices.Clone(patterns), filepath.Join(cache, "postgresql-*", "bin"))
	}
	found := findBinaries(ctx, user, patterns)
	if err := ctx.Err(); err != nil { // Programs that could not be asked look as if they were missing.
		return binaries{}, fmt.Errorf("find PostgreSQL: %w", err)
	}
	if len(found) > 0 {
		return pick(found, dir.path, major)
	}
	if cacheErr != nil {
		return binaries{}, noBinaries(cacheErr)
	}
	fetched, err := fetch(ctx, source{cache: cache}, major)
	if err != nil {
		return binaries{}, noBinaries(err)
	}
	// They may be unable to run: for another C library, or in a folder that the account cannot enter.
	if fetched.major, err = version(ctx, user, fetched.dir); err != nil {
		return binaries{}, noBinaries(err)
	}
	return fetched, nil
}

// Major returns the major version of the PostgreSQL with which Start creates a cluster. It finds or fetches the programs as Start does.
func Major(ctx context.Context) (int, error) {
	user, err := serverAccount("")
	if err != nil {
		return 0, err
	}
	bin, err := chooseBinaries(ctx, user, &folder{}, 0)
	return bin.major, err
}

func noBinaries(cause error) error {
	return fmt.Errorf("find PostgreSQL %d or newer: none is installed; %w; "+
		"install it (such as apt-get install postgresql), or pass --database-url to refract serve", minMajor, cause)
}

// pick returns the first of found that fits.
func pick(found []binaries, path string, major int) (binaries, error) {
	if major == 0 {
		return found[0], nil
	}
	var have []string
	for _, b := range found {
		if b.major == major {
			return b, nil
		}
		have = append(have, b.String())
	}
	return binaries{}, fmt.Errorf("data folder %s: it was made by PostgreSQL %d and this machine has PostgreSQL %s: "+
		"install PostgreSQL %d (at least %d), choose another folder, or pass --database-url; the folder was left as it was",
		path, major, strings.Join(have, ", "), major, minMajor)
}

// findBinaries returns what the user can run, the one on the PATH first, then the newest.
func findBinaries(ctx context.Context, user account, patterns []string) []binaries {
	var onPath, elsewhere []string
	for _, program := range []string{"postgres", "initdb"} {
		if file, err := exec.LookPath(program); err == nil {
			if file, err = filepath.EvalSymlinks(file); err == nil {
				onPath = append(onPath, filepath.Dir(file))
			}
		}
	}
	for _, pattern := range patterns {
		dirs, _ := filepath.Glob(pattern) // fails on a bad pattern alone
		elsewhere = append(elsewhere, dirs...)
	}
	newest := usable(ctx, user, elsewhere)
	slices.SortStableFunc(newest, func(a, b binaries) int { return b.major - a.major })
	return append(usable(ctx, user, slices.Compact(onPath)), newest...)
}

func usable(ctx context.Context, user account, dirs []string) []binaries {
	var found []binaries
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if major, err := version(ctx, user, dir); err == nil && major >= minMajor {
			found = append(found, binaries{dir: dir, major: major})
		}
	}
	return found
}

// "postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)", "postgres (PostgreSQL) 19beta1"
var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// version asks the server program for its major version, as the user it will run as.
func version(ctx context.Context, user account, dir string) (int, error) {
	output := &logTail{}
	cmd := user.command("/", filepath.Join(dir, "postgres"), "--version")
	cmd.Stdout, cmd.Stderr = output, output
	if err := runProcess(ctx, cmd, output); err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", dir, err)
	}
	match := versionLine.FindStringSubmatch(output.String())
	if match == nil {
		return 0, fmt.Errorf("ask %s for its version: not an answer of PostgreSQL", dir)
	}
	return strconv.Atoi(match[1])
}
