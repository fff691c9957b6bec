package operation_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/retention"
)

const (
	someID     = "0190b0a8-5a0b-7c1e-8f00-000000000001"
	someFolder = "0123456789abcdef0123456789abcdef"
)

// The files of crashed processes: a complete output, a source and a part of an upload.
var orphanFiles = []string{
	"outputs/" + someID + "/1-0-0123456789abcdef",
	"sources/" + someFolder + "/" + someID + ".mp4",
	"uploads/" + someFolder + "/" + someID + "/0-ABCDEFGH",
}

// put stores files with a modification time in the past.
func (r *retentionTest) put(t *testing.T, age time.Duration, keys ...string) {
	t.Helper()
	bucket := r.bucket(t)
	for _, key := range keys {
		if err := bucket.Put(t.Context(), key, "video/mp4", strings.NewReader("abc")); err != nil {
			t.Fatal(err)
		}
		r.age(t, age, key)
	}
}

func (r *retentionTest) age(t *testing.T, age time.Duration, keys ...string) {
	t.Helper()
	for _, key := range keys {
		at := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(r.folder, filepath.FromSlash(key)), at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// round runs a round of retention and returns how many orphans it removed.
func (r *retentionTest) round(t *testing.T, one *retention.Retainer) (int64, error) {
	t.Helper()
	removed, _, held, err := one.Round(t.Context())
	if !held {
		t.Error("another process removes at the same time")
	}
	return removed[retention.UnreferencedKind].Rows, err
}

// TestRetention_DeletesFilesThatNoRowNames stores orphans, files that rows name, all of the same age, and files that
// are young or not ours.
func TestRetention_DeletesFilesThatNoRowNames(t *testing.T) {
	t.Parallel()
	r := retentionSetup(t)
	r.exec(t, `UPDATE tenant SET keep_outputs = '0', keep_sources = '0'`)
	r.exec(t, `UPDATE output SET key = 'outputs/' || task_id || '/1-0-0123456789abcdef' FROM attempt WHERE attempt.id = attempt_id`)
	r.exec(t, `UPDATE source SET key = 'sources/`+someFolder+`/' || id`)
	r.exec(t, `UPDATE source_part SET key = 'uploads/`+someFolder+`/' || upload_id || '/0-ABCDEFGH'`)
	r.exec(t, `INSERT INTO unkept_file VALUES ('outputs/`+someID+`/1-1-0123456789abcdef')`)
	r.put(t, 50*time.Hour, r.keys(t, kept)...)
	r.put(t, 50*time.Hour, orphanFiles...)
	young := "outputs/" + someID + "/2-0-0123456789abcdef" // It may belong to a running save.
	r.put(t, 47*time.Hour, young)
	r.put(t, 50*time.Hour, "outputs/theirs", "backup/"+orphanFiles[0], "sources/notes.txt")
	one := r.retainer(t, r.pool)

	if n, err := r.round(t, one); n != 0 || err != nil {
		t.Errorf("a round without the setting removed %d orphans, %v, want none", n, err)
	}
	survey, err := one.Survey(t.Context())
	if err != nil || !slices.Contains(survey, retention.Expired{Kind: retention.UnreferencedKind, Tenant: "-", Removed: retention.Removed{Rows: 3, Bytes: 9}}) {
		t.Errorf("the survey counts %+v, %v, want 3 orphans", survey, err)
	}
	for _, key := range orphanFiles {
		if !slices.Contains(r.files(t), key) {
			t.Errorf("%s was deleted before the sweep was enabled", key)
		}
	}
	one.SweepOrphans = true
	if n, err := r.round(t, one); n != 3 || err != nil {
		t.Errorf("a round removed %d orphans, %v, want 3", n, err)
	}
	left := r.files(t)
	for _, key := range append(r.keys(t, kept), young, "outputs/theirs", "backup/"+orphanFiles[0], "sources/notes.txt") {
		if !slices.Contains(left, key) {
			t.Errorf("%s was deleted", key)
		}
	}
	if n, err := r.round(t, one); n != 0 || err != nil {
		t.Errorf("one more round removed %d orphans, %v", n, err)
	}
}
