package pglocal

import (
	"fmt"
	"os"
	"path/filepath"
)

// source has the place from which binaries are downloaded, and the folder of the cache. An empty
// repository means the default one.
type source struct {
	cache      string
	repository string
}

// cacheDir returns the folder for downloaded binaries. For root it is a shared folder, because another
// account runs them.
func cacheDir() (string, error) {
	if isRoot() {
		return "/var/cache/refract", nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("choose a cache folder: %w", err)
	}
	return filepath.Join(base, "refract"), nil
}
