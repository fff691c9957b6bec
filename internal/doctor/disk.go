package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/refract-video/refract/internal/media"
)

// lowDisk is the free space from which a disk lasts for a while.
const lowDisk = 10 << 30

// diskChecks returns a check for each folder of this machine that grows: the private PostgreSQL, and a bucket that is a folder.
func diskChecks(cfg Config) []check {
	var checks []check
	free := cfg.Free
	if free == nil {
		free = freeBytes
	}
	add := func(name, folder string) {
		checks = append(checks, check{"disk of the " + name, func(context.Context) Result {
			left, err := free(existing(folder))
			return judgeDisk(folder, left, err)
		}})
	}
	if cfg.DatabaseURL == "" && cfg.DataDir != "" {
		add("database", filepath.Join(cfg.DataDir, "postgres"))
	}
	if folder, isFolder := folderOf(cfg.BucketURL); isFolder {
		add("bucket", folder)
	}
	return checks
}

// existing returns a folder, or the nearest one above it that exists.
func existing(folder string) string {
	for {
		if _, err := os.Stat(folder); err == nil || folder == filepath.Dir(folder) {
			return folder
		}
		folder = filepath.Dir(folder)
	}
}

func judgeDisk(folder string, free uint64, err error) Result {
	const action = "free space, or move the folder to a larger disk"
	switch {
	case err != nil:
		return fail("let the service read the folder", "%s: %v", folder, err)
	case free < media.DefaultMaxBytes:
		return fail(action, "%s free at %s: the largest result does not fit", gib(free), folder)
	case free < lowDisk:
		return warn(action, "%s free at %s", gib(free), folder)
	default:
		return ok("%s free at %s", gib(free), folder)
	}
}

func gib(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }
