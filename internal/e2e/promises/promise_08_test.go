package promises_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/sim"
)

// TestPromise08_NoResultIsLost reads the bucket at the moment when a watcher receives SUCCEEDED, after failed downloads
// of every kind. The files must equal the provider's, byte by byte. TestSIGKILL_DuringASaveIsMadeUpForAfterwards and
// TestSIGTERM_CutsASaveThatGoesOnAfterwards of package operation end the process meanwhile.
//
// It fails when Saved is applied in Work (internal/output/save.go) before the file is in the bucket.
func TestPromise08_NoResultIsLost(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, e2etest.Unlimited)
	for _, tc := range []struct {
		prompt  string
		outputs int
	}{
		{"", 1},
		{"[sim:results=3]", 3},
		{"[sim:expired=403]", 1},
		{"[sim:once]", 1},
		{"[sim:slow=400ms]", 1},
		{"[sim:lag=400ms]", 1},
		{"[sim:results=2,once,empty-callback]", 2},
	} {
		t.Run(tc.prompt, func(t *testing.T) {
			t.Parallel()
			task := ts.Submit(t, "clean "+tc.prompt)
			last := ts.End(t, task.GetId())
			if last.GetState() != refractv1.TaskState_TASK_STATE_SUCCEEDED {
				t.Fatalf("ended %v, want SUCCEEDED", last)
			}
			checkOutputs(t, ts, last, ts.Entry(t, task).TaskID, tc.outputs)
		})
	}
	for _, prompt := range []string{"[sim:html-result]", "[sim:gone]"} {
		t.Run(prompt, func(t *testing.T) {
			t.Parallel()
			task := ts.Submit(t, "broken "+prompt)
			e2etest.Eventually(t, "the save to be tried", func() bool {
				for _, e := range ts.Sim.Ledger() {
					if e.Prompt == task.GetPrompt() && slices.ContainsFunc(ts.Sim.Downloads(), func(d sim.Download) bool { return d.TaskID == e.TaskID }) {
						return true
					}
				}
				return false
			})
			// A dead link may work again; it is tried for ten minutes.
			if state := ts.Get(t, task.GetId()).GetState(); state == refractv1.TaskState_TASK_STATE_SUCCEEDED {
				t.Error("SUCCEEDED without the video")
			}
			if n := postgrestest.Value[int](t, ts.Pool, "SELECT count(*) FROM output JOIN attempt ON attempt.id = attempt_id WHERE task_id = $1", task.GetId()); n != 0 {
				t.Errorf("%d outputs are stored", n)
			}
		})
	}
}

// checkOutputs compares the outputs of a task with the database and the bucket.
func checkOutputs(t *testing.T, ts *e2etest.Service, last *refractv1.TaskEvent, providerTask string, want int) {
	t.Helper()
	if len(last.GetOutputs()) != want {
		t.Fatalf("%d outputs, want %d", len(last.GetOutputs()), want)
	}
	for i, output := range last.GetOutputs() {
		clip := sim.ResultClip(providerTask, i)
		sum := sha256.Sum256(clip)
		if output.GetSha256() != hex.EncodeToString(sum[:]) || output.GetSizeBytes() != int64(len(clip)) {
			t.Errorf("output %d has %d bytes with SHA-256 %s, want %d with %x", i, output.GetSizeBytes(), output.GetSha256(), len(clip), sum)
		}
		key := postgrestest.Value[string](t, ts.Pool, "SELECT key FROM output WHERE index = $1 AND sha256 = $2 AND size_bytes = $3", i, sum[:], len(clip))
		if file, err := os.ReadFile(filepath.Join(ts.BucketDir(t), filepath.FromSlash(key))); err != nil || !bytes.Equal(file, clip) {
			t.Errorf("the bucket has %d bytes for output %d, %v, want the %d that the provider made", len(file), i, err, len(clip))
		}
	}
}
