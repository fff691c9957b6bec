package retention_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/retention"
)

// shelf is a store in memory. What a kind has is found in the order of its ids, two at a time.
type shelf struct {
	held     bool // Whether another replica removes now.
	rows     map[retention.Kind][]retention.Candidate
	files    []string // Those to delete.
	broken   map[retention.Kind]error
	searched map[retention.Kind]int

	deliveries int // How many are no longer kept.

	referenced   map[string]bool // The files that a row names.
	compared     int             // How many files were compared with rows.
	uncomparable error
}

const batch = 2

func (s *shelf) HoldRetention(context.Context) (release func(), held bool, err error) {
	return func() {}, !s.held, nil
}

func (s *shelf) ExpiryCandidates(_ context.Context, kind retention.Kind, after retention.Candidate) ([]retention.Candidate, error) {
	if s.searched == nil {
		s.searched = map[retention.Kind]int{}
	}
	s.searched[kind]++
	var found []retention.Candidate
	for _, c := range s.rows[kind] {
		if c.ID > after.ID && len(found) < batch {
			found = append(found, c)
		}
	}
	return found, nil
}

func (s *shelf) RemoveExpired(_ context.Context, kind retention.Kind, things []retention.Candidate) (removed retention.Removed, err error) {
	if err := s.broken[kind]; err != nil {
		return removed, err
	}
	for _, c := range things {
		s.rows[kind] = slices.DeleteFunc(s.rows[kind], func(row retention.Candidate) bool { return row.ID == c.ID })
		s.files = append(s.files, string(kind)+"s/"+c.ID)
		removed.Add(retention.Removed{Rows: 1, Bytes: c.Bytes})
	}
	return removed, nil
}

func (*shelf) RemoveAuditEvents(context.Context) (int64, error) { return 0, nil }

func (s *shelf) RemoveDeliveries(context.Context) (int64, error) {
	if err := s.broken[retention.DeliveryKind]; err != nil {
		return 0, err
	}
	n := min(s.deliveries, batch)
	s.deliveries -= n
	return int64(n), nil
}

func (s *shelf) PendingDeletions(_ context.Context, after string, limit int) ([]string, error) {
	slices.Sort(s.files)
	from, _ := slices.BinarySearch(s.files, after+"\x00")
	return slices.Clone(s.files[from:min(from+limit, len(s.files))]), nil
}

func (s *shelf) ForgetFiles(_ context.Context, keys []string) error {
	s.files = slices.DeleteFunc(s.files, func(key string) bool { return slices.Contains(keys, key) })
	return nil
}

func (s *shelf) ForgetDays(context.Context) error { return nil }

func (s *shelf) UnreferencedFiles(_ context.Context, keys []string, _ []time.Time) ([]string, error) {
	s.compared += len(keys)
	if s.uncomparable != nil {
		return nil, s.uncomparable
	}
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return s.referenced[key] }), nil
}

// old returns things that have expired.
func old(n int) (things []retention.Candidate) {
	for i := range n {
		things = append(things, retention.Candidate{ID: fmt.Sprintf("%03d", i), Tenant: "films", Bytes: 10, Old: true, Due: true})
	}
	return things
}

func retainer(t *testing.T, s *shelf) *retention.Retainer {
	t.Helper()
	bucket, err := media.OpenBucket(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	return &retention.Retainer{Store: s, Bucket: bucket, Log: slog.New(slog.DiscardHandler)}
}

func TestRound_RemovesWhatHasExpiredAndItsFiles(t *testing.T) {
	t.Parallel()
	s := &shelf{rows: map[retention.Kind][]retention.Candidate{retention.OutputKind: old(5)}}
	r := retainer(t, s)
	for i := range 5 {
		if err := r.Bucket.Put(t.Context(), fmt.Sprintf("outputs/%03d", i), "video/mp4", strings.NewReader("abc")); err != nil {
			t.Fatal(err)
		}
	}
	removed, files, held, err := r.Round(t.Context())
	if err != nil || !held || files != 5 {
		t.Fatalf("%d files, held %t, %v; want five files", files, held, err)
	}
	if diff := cmp.Diff(map[retention.Kind]retention.Removed{retention.OutputKind: {Rows: 5, Bytes: 50}}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if keys, err := r.Bucket.Keys(t.Context(), "outputs/", 10); err != nil || len(keys) > 0 || len(s.files) > 0 {
		t.Errorf("the bucket holds %v, %v, and %v are listed to be deleted; want none", keys, err, s.files)
	}
}

func TestRound_LeavesTheWorkToTheReplicaThatHoldsIt(t *testing.T) {
	t.Parallel()
	s := &shelf{held: true, rows: map[retention.Kind][]retention.Candidate{retention.TaskKind: old(1)}}
	if _, _, held, err := retainer(t, s).Round(t.Context()); held || err != nil || len(s.rows[retention.TaskKind]) != 1 {
		t.Errorf("held %t, %v, %d tasks left; want that nothing is done", held, err, len(s.rows[retention.TaskKind]))
	}
}

func TestRound_AnErrorOfOneKindKeepsNoOtherFromItsTurn(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	s := &shelf{
		rows:   map[retention.Kind][]retention.Candidate{retention.OutputKind: old(2), retention.TaskKind: old(2)},
		broken: map[retention.Kind]error{retention.OutputKind: broken},
	}
	removed, _, _, err := retainer(t, s).Round(t.Context())
	if !errors.Is(err, broken) || removed[retention.TaskKind].Rows != 2 {
		t.Errorf("removed %v, %v; want the tasks, and the error of the outputs", removed, err)
	}
}

// TestRound_GoesOnWhereTheLastOneEnded bounds the batches of a round: things that are old and not due, as those of a tenant that
// keeps them for longer, must not hide what lies behind them.
func TestRound_RemovesDeliveriesInBatches(t *testing.T) {
	t.Parallel()
	s := &shelf{deliveries: 2*batch + 1}
	r := retainer(t, s)
	r.Batches = 2 // The next round removes the rest.
	for _, want := range []int64{2 * batch, 1, 0} {
		removed, _, _, err := r.Round(t.Context())
		if err != nil || removed[retention.DeliveryKind].Rows != want {
			t.Errorf("removed %v, %v, want %d deliveries", removed, err, want)
		}
	}
	s.broken = map[retention.Kind]error{retention.DeliveryKind: errors.New("the disk is full")}
	if _, _, _, err := r.Round(t.Context()); !errors.Is(err, s.broken[retention.DeliveryKind]) {
		t.Errorf("Round = %v, want the error of the deliveries", err)
	}
}

func TestRound_GoesOnWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	things := old(6)
	for i := range 4 {
		things[i].Due = false
	}
	s := &shelf{rows: map[retention.Kind][]retention.Candidate{retention.TaskKind: things}}
	r := retainer(t, s)
	r.Batches = 1
	for range 3 {
		if _, _, _, err := r.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := len(s.rows[retention.TaskKind]); left != 4 {
		t.Errorf("%d tasks are left after three rounds, want the four that are kept", left)
	}
}

func TestRound_EndsWithThingsThatAreTooYoung(t *testing.T) {
	t.Parallel()
	things := old(4)
	for i := range things {
		things[i].Old, things[i].Due = false, false
	}
	s := &shelf{rows: map[retention.Kind][]retention.Candidate{retention.TaskKind: things}}
	if _, _, _, err := retainer(t, s).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.searched[retention.TaskKind]; n != 1 {
		t.Errorf("the tasks were searched %d times, want once", n)
	}
}

func TestSurvey_CountsAndRemovesNothing(t *testing.T) {
	t.Parallel()
	s := &shelf{rows: map[retention.Kind][]retention.Candidate{retention.OutputKind: old(3)}}
	expired, err := retainer(t, s).Survey(t.Context())
	want := []retention.Expired{{Kind: retention.OutputKind, Tenant: "films", Removed: retention.Removed{Rows: 3, Bytes: 30}}}
	if diff := cmp.Diff(want, expired); diff != "" || err != nil || len(s.rows[retention.OutputKind]) != 3 {
		t.Errorf("%v, %d rows left, expired (-want +got):\n%s", err, len(s.rows[retention.OutputKind]), diff)
	}
}

// TestRun_LogsRoundsThatRemovedSomething has the first of two rounds find something.
func TestRun_LogsRoundsThatRemovedSomething(t *testing.T) {
	t.Parallel()
	s := &shelf{rows: map[retention.Kind][]retention.Candidate{retention.CallbackKind: old(1)}}
	r := retainer(t, s)
	var log bytes.Buffer
	r.Log = slog.New(slog.NewTextHandler(&log, nil))
	if err := r.Count(noop.Meter{}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
	})
	if n := strings.Count(log.String(), "retention removed"); n != 1 || !strings.Contains(log.String(), "callbacks=1") {
		t.Errorf("%d lines, want one with the callback:\n%s", n, &log)
	}
}

func TestPeriods_RefuseTimesThatAreTooShort(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		periods retention.Periods
		refused bool
	}{
		"without an end":          {retention.Periods{}, false},
		"the shortest":            {retention.Periods{Outputs: time.Hour, Sources: 24 * time.Hour, Callbacks: time.Hour, Tasks: 24 * time.Hour}, false},
		"outputs for a minute":    {retention.Periods{Outputs: time.Minute}, true},
		"tasks for an hour":       {retention.Periods{Tasks: time.Hour}, true},
		"sources for less than 0": {retention.Periods{Sources: -time.Hour}, true},
	} {
		if err := tc.periods.Check(); (err != nil) != tc.refused {
			t.Errorf("%s: %v, want refused: %t", name, err, tc.refused)
		}
	}
}
