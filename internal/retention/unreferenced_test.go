package retention_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/retention"
)

// Keys as we make them, and one of another program in the same bucket.
const (
	outputKey  = "outputs/01990000-0000-7000-8000-000000000001/1-0-0123456789abcdef"
	sourceKey  = "sources/0123456789abcdef0123456789abcdef/01990000-0000-7000-8000-000000000002.mp4"
	uploadKey  = "uploads/0123456789abcdef0123456789abcdef/01990000-0000-7000-8000-000000000003/0-ABCDEFG2"
	foreignKey = "outputs/holiday.mp4"
)

// filled returns a retainer whose bucket holds a file at each key.
func filled(t *testing.T, s *shelf, keys ...string) *retention.Retainer {
	t.Helper()
	r := retainer(t, s)
	for _, key := range keys {
		if err := r.Bucket.Put(t.Context(), key, "video/mp4", strings.NewReader("abc")); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// left returns the keys that the bucket holds.
func left(t *testing.T, r *retention.Retainer) (all []string) {
	t.Helper()
	for _, prefix := range []string{"outputs/", "sources/", "uploads/"} {
		keys, err := r.Bucket.Keys(t.Context(), prefix, 100)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, keys...)
	}
	slices.Sort(all)
	return all
}

// TestSweep_DeletesOnlyOurFilesThatNoRowNames has files of every kind, and says which of them a row names.
func TestSweep_DeletesOnlyOurFilesThatNoRowNames(t *testing.T) {
	t.Parallel()
	all := []string{outputKey, sourceKey, uploadKey, foreignKey}
	for name, tc := range map[string]struct {
		off        bool
		referenced map[string]bool
		left       []string
	}{
		"switched off":     {off: true, left: []string{foreignKey, outputKey, sourceKey, uploadKey}},
		"nothing is named": {left: []string{foreignKey}},
		"all is named":     {referenced: map[string]bool{outputKey: true, sourceKey: true, uploadKey: true}, left: []string{foreignKey, outputKey, sourceKey, uploadKey}},
		"the source is":    {referenced: map[string]bool{sourceKey: true}, left: []string{foreignKey, sourceKey}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{referenced: tc.referenced}
			r := filled(t, s, all...)
			r.SweepOrphans = !tc.off
			removed, _, _, err := r.Round(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(tc.left)
			if diff := cmp.Diff(tc.left, left(t, r)); diff != "" {
				t.Errorf("the bucket (-want +got):\n%s", diff)
			}
			gone := int64(len(all) - len(tc.left))
			if got := removed[retention.UnreferencedKind]; got.Rows != gone || got.Bytes != 3*gone {
				t.Errorf("reported %+v, want %d files of 3 bytes", got, gone)
			}
		})
	}
}

// TestSweep_WithoutAnAnswerDeletesNothing has a database that does not say which files rows name.
func TestSweep_WithoutAnAnswerDeletesNothing(t *testing.T) {
	t.Parallel()
	s := &shelf{uncomparable: errors.New("no connection")}
	r := filled(t, s, outputKey, sourceKey)
	r.SweepOrphans = true
	if _, _, _, err := r.Round(t.Context()); !errors.Is(err, s.uncomparable) {
		t.Errorf("Round = %v, want the database's error", err)
	}
	if keys := left(t, r); len(keys) != 2 {
		t.Errorf("the bucket holds %q, want both files", keys)
	}
}

func TestSurvey_CountsFilesThatNoRowNames(t *testing.T) {
	t.Parallel()
	s := &shelf{referenced: map[string]bool{outputKey: true}}
	r := filled(t, s, outputKey, sourceKey, uploadKey, foreignKey)
	expired, err := r.Survey(t.Context())
	want := []retention.Expired{{Kind: retention.UnreferencedKind, Tenant: "-", Removed: retention.Removed{Rows: 2, Bytes: 6}}}
	if diff := cmp.Diff(want, expired); diff != "" || err != nil {
		t.Errorf("%v, expired (-want +got):\n%s", err, diff)
	}
	if keys := left(t, r); len(keys) != 4 {
		t.Errorf("the bucket holds %q, want all files", keys)
	}
}
