package rig

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/refract-video/refract/internal/bench"
	"github.com/refract-video/refract/internal/sim"
)

// saveBytes is the size of the result that is saved: the largest source that kie.ai takes.
const saveBytes = 500_000_000

// save measures how fast a result comes into the bucket, from the event that says so to the one that says that it is
// there, against curl, which neither verifies nor syncs what it writes; and by how much the service grows meanwhile.
func (r *rig) save(ctx context.Context) ([]bench.Row, error) {
	return r.withProvider(ctx, 0, writeLargeClip, r.saveWith)
}

func (r *rig) saveWith(ctx context.Context, s *service, p *fakeProvider) ([]bench.Row, error) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		return nil, fmt.Errorf("find curl, the baseline: %w", err)
	}
	var turns []bench.Row
	grown := 0.0
	for range r.Rounds {
		before, err := bench.ResidentMiB(s.cmd.Process.Pid)
		if err := errors.Join(err, bench.ResetPeak(s.cmd.Process.Pid)); err != nil {
			return nil, err
		}
		took, err := bench.Save(ctx, s.grpc, r.token, p.host.URL+"/large.mp4")
		if err != nil {
			return nil, err
		}
		peak, err := bench.PeakMiB(s.cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		grown = max(grown, peak-before)
		byCurl, err := p.fetchByCurl(ctx, curl, filepath.Join(r.dir, "curl.mp4"))
		if err != nil {
			return nil, err
		}
		r.progress("  save of 500 MB: %s, growing by %.0f MiB; curl %s", took, peak-before, byCurl)
		turns = append(turns, bench.AtLeast("save of a 500 MB result", "MB/s", saveBytes/1e6/took.Seconds(), saveBytes/1e6/byCurl.Seconds(), "curl", 0.8))
	}
	return []bench.Row{bench.Median(turns), bench.AtMost("memory that a save of 500 MB takes", "MiB", grown, 64)}, nil
}

// fetchByCurl fetches the result that the service fetched last.
func (p *fakeProvider) fetchByCurl(ctx context.Context, curl, file string) (time.Duration, error) {
	downloads := slices.DeleteFunc(p.sim.Downloads(), func(d sim.Download) bool { return d.TaskID == "" })
	if len(downloads) == 0 {
		return 0, errors.New("the service fetched no result")
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, curl, "-sSf", "-o", file, p.sim.URL()+downloads[len(downloads)-1].Path).CombinedOutput() //nolint:gosec // curl.
	if err != nil {
		return 0, fmt.Errorf("fetch the result with curl: %w: %s", err, out)
	}
	return time.Since(began), os.Remove(file)
}

// writeLargeClip writes a video that is filled up with zeros, which players skip.
func writeLargeClip(_ context.Context, path string) error {
	clip := sim.TinyClip()
	padding := binary.BigEndian.AppendUint32(nil, uint32(saveBytes-len(clip))) //nolint:gosec // Half a gigabyte less a clip.
	if err := os.WriteFile(path, bytes.Join([][]byte{clip, padding, []byte("free")}, nil), 0o600); err != nil {
		return err
	}
	return os.Truncate(path, saveBytes)
}
