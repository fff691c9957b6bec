package pglocal

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Running returns the URL of the cluster that another process runs in a data folder, and reports whether there is one that accepts
// connections. The URL is a secret. Running changes nothing.
func Running(dataDir string) (url string, running bool) {
	path, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		return "", false
	}
	f := &folder{path: path}
	server := readPidFile(f.data())
	if server.pid == 0 || server.status != statusReady || !servesData(server.pid, f.data()) {
		return "", false
	}
	password, err := os.ReadFile(f.passwordFile())
	args := commandLine(server.pid)
	for i, arg := range args[:max(len(args)-1, 0)] {
		if port, portErr := strconv.Atoi(args[i+1]); arg == "-p" && portErr == nil && err == nil {
			return clusterURL(strings.TrimSpace(string(password)), port, databaseName), true
		}
	}
	return "", false
}
