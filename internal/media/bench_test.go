package media_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/sim"
)

// benchBytes is the size of the file that the benchmark saves: the largest source that a provider takes.
const benchBytes = 500_000_000

// BenchmarkSave saves a large result into a file bucket, and in the same run lets curl download it to the same disk. It
// reports how fast a save is measured by curl, which neither verifies nor syncs what it writes, and by how
// much the process grows at most.
func BenchmarkSave(b *testing.B) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		b.Skip("curl, the baseline, is not installed")
	}
	path := largeVideo(b)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) }))
	b.Cleanup(srv.Close)
	folder := b.TempDir()
	bucket, err := media.OpenBucket(b.Context(), "file://"+filepath.Join(folder, "bucket"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = bucket.Close() })
	client := media.NewClient(media.Guard{AllowPrivate: true})
	b.Cleanup(client.CloseIdleConnections)
	saver := &media.Saver{Client: client, Bucket: bucket}

	var baseline, ours time.Duration
	grown := 0
	b.SetBytes(benchBytes)
	for b.Loop() {
		baseline += timed(b, func() error {
			return exec.CommandContext(b.Context(), curl, "-sf", "-o", filepath.Join(folder, "curl.mp4"), srv.URL).Run()
		})
		before := resetPeak(b)
		ours += timed(b, func() error {
			_, err := saver.Save(b.Context(), srv.URL, key)
			return err
		})
		grown = max(grown, residentKB(b, "VmHWM")-before)
	}
	b.ReportMetric(baseline.Seconds()/ours.Seconds(), "x-curl")
	b.ReportMetric(float64(grown)/1024, "MiB-grown")
	b.ReportMetric(float64(benchBytes)*float64(b.N)/1e6/baseline.Seconds(), "curl-MB/s")
}

func timed(b *testing.B, f func() error) time.Duration {
	b.Helper()
	began := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// largeVideo returns the path of a video that is filled up with zeros that players skip.
func largeVideo(b *testing.B) string {
	b.Helper()
	clip := sim.TinyClip()
	padding := binary.BigEndian.AppendUint32(nil, uint32(benchBytes-len(clip)))
	file, err := os.Create(filepath.Join(b.TempDir(), "large.mp4"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := file.Write(bytes.Join([][]byte{clip, padding, []byte("free")}, nil)); err != nil {
		b.Fatal(err)
	}
	if err := file.Truncate(benchBytes); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	return file.Name()
}

// resetPeak makes the peak of resident memory begin anew and returns what is resident now, in kB.
func resetPeak(b *testing.B) int {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200); err != nil {
		b.Skipf("peaks of memory can't be measured here: %v", err)
	}
	return residentKB(b, "VmRSS")
}

func residentKB(b *testing.B, field string) int {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skipf("memory can't be measured here: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name == field {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			if err != nil {
				b.Fatal(fmt.Errorf("read %s: %w", field, err))
			}
			return kb
		}
	}
	b.Fatalf("/proc/self/status has no %s", field)
	return 0
}
