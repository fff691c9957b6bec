package operation_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// socket is one end of a TCP connection of this process, or a listener.
type socket struct {
	local, remote string // Ports, with a leading colon.
	listens       bool
}

func (s socket) String() string {
	return fmt.Sprintf("%s to %s (listens: %t)", s.local, s.remote, s.listens)
}

// openSockets returns the TCP sockets of this process by their inodes.
func openSockets(t *testing.T) map[string]socket {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]bool{}
	for _, file := range files {
		target, _ := os.Readlink(file) // It may be closed by now.
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			ours[strings.TrimSuffix(inode, "]")] = true
		}
	}
	sockets := map[string]socket{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // No IPv6.
		}
		for line := range strings.Lines(string(text)) {
			// The columns are number, local address, remote address, state, four others, uid, timeout and inode.
			columns := strings.Fields(line)
			if len(columns) > 9 && ours[columns[9]] {
				sockets[columns[9]] = socket{local: port(t, columns[1]), remote: port(t, columns[2]), listens: columns[3] == "0A"}
			}
		}
	}
	return sockets
}

// port returns the port of an address in hexadecimal.
func port(t *testing.T, address string) string {
	t.Helper()
	raw, err := hex.DecodeString(address[strings.LastIndexByte(address, ':')+1:])
	if err != nil || len(raw) != 2 {
		t.Fatalf("address %q: %v", address, err)
	}
	return ":" + strconv.Itoa(int(raw[0])<<8|int(raw[1]))
}
