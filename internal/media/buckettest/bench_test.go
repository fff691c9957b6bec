//go:build s3

package buckettest_test

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/media/buckettest"
)

// BenchmarkPutS3 puts a file of 500 MB on S3 and reports by how much the process grows at most.
func BenchmarkPutS3(b *testing.B) {
	const size = 500_000_000
	_, bucketURL := buckettest.StartS3(b).NewBucket(b)
	bucket := buckettest.Open(b, bucketURL)
	b.SetBytes(size)
	grown := 0
	for b.Loop() {
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200); err != nil {
			b.Skipf("peaks of memory can't be measured here: %v", err)
		}
		before := resident(b, "VmRSS:")
		if err := bucket.Put(b.Context(), "outputs/t/1-0", "video/mp4", io.LimitReader(zeros{}, size)); err != nil {
			b.Fatal(err)
		}
		grown = max(grown, resident(b, "VmHWM:")-before)
	}
	b.ReportMetric(float64(grown)/1024, "MiB-grown")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// resident reads a number of kB from the status of this process.
func resident(b *testing.B, field string) int {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), field)
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kb
}
