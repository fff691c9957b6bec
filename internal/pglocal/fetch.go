package pglocal

import (
	"fmt"
	"os"
	"path/filepath"
)

// source says where binaries are fetched from and kept. An empty repository means the default one.
type source struct {
	cache      string
	repository string
}

// cacheDir returns the folder for fetched binaries; root's must be open to the account that runs them.
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
