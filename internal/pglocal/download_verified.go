//go:build !release

package pglocal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// defaultRepository is where archives come from.
const defaultRepository = "https://repo1.maven.org/maven2"

// maxArchive bounds an archive in bytes. The largest has about 60 MB.
const maxArchive = 512 << 20

// checksumSuffix is what the address of an archive's checksum ends with.
const checksumSuffix = ".sha256"

// verified is a repository on this machine that passes on the archives of another one, each only with its checksum.
//
// NOTE: the library that downloads also unpacks archives without a checksum or with an empty one, and Refract runs what is in
// them. So the library gets its archives from here, and never sees one that does not match its checksum.
type verified struct {
	upstream string
	server   *http.Server
	url      string

	mu   sync.Mutex
	err  error             // Why the first refused archive was refused.
	sums map[string][]byte // By path of the archive.
}

// startVerified starts a repository that downloads until ctx ends. stop ends it.
func startVerified(ctx context.Context, upstream string) (*verified, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Listening on an address of this machine does not wait.
	if err != nil {
		return nil, fmt.Errorf("listen for the download: %w", err)
	}
	v := &verified{upstream: strings.TrimSuffix(upstream, "/"), url: "http://" + lis.Addr().String(), sums: map[string][]byte{}}
	v.server = &http.Server{Handler: v, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { _ = v.server.Serve(lis) }() // It ends with stop.
	return v, nil
}

// stop ends the repository, and returns why an archive was refused.
func (v *verified) stop() error {
	_ = v.server.Close() // The download has ended.
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// ServeHTTP answers with an archive that has its checksum, or with that checksum.
func (v *verified) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, asksSum := strings.CutSuffix(r.URL.Path, checksumSuffix)
	answer, err := v.checksum(r.Context(), path)
	if err == nil && !asksSum {
		answer, err = v.archive(r.Context(), path, answer)
	}
	if err != nil {
		v.mu.Lock()
		if v.err == nil {
			v.err = err
		}
		v.mu.Unlock()
		http.Error(w, "refused", http.StatusBadGateway)
		return
	}
	_, _ = w.Write(answer)
}

// checksum returns the checksum of an archive as the repository has it, which is asked once.
func (v *verified) checksum(ctx context.Context, path string) ([]byte, error) {
	v.mu.Lock()
	known := v.sums[path]
	v.mu.Unlock()
	if known != nil {
		return known, nil
	}
	text, err := v.get(ctx, path+checksumSuffix, 1<<10)
	if err != nil {
		return nil, fmt.Errorf("its checksum: %w", err)
	}
	fields := strings.Fields(string(text)) // Some tools write the name of the file after it.
	if len(fields) == 0 {
		return nil, errors.New("its checksum is empty")
	}
	sum := strings.ToLower(fields[0])
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size {
		return nil, errors.New("its checksum is no SHA-256")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sums[path] = []byte(sum)
	return v.sums[path], nil
}

// archive returns an archive that has this checksum.
func (v *verified) archive(ctx context.Context, path string, sum []byte) ([]byte, error) {
	archive, err := v.get(ctx, path, maxArchive)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(archive); hex.EncodeToString(got[:]) != string(sum) {
		return nil, errors.New("downloaded checksums do not match")
	}
	return archive, nil
}

func (v *verified) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.upstream+path, http.NoBody) //nolint:gosec // The upstream is a constant, and the path its client's, which is this process.
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // As above.
	if err != nil {
		return nil, fmt.Errorf("unable to connect to %s: %w", v.upstream, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", v.upstream+path, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", v.upstream+path, limit)
	}
	return body, err
}
