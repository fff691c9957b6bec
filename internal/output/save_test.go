package output

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the time of the database.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// saving is a saver with one attempt to save, the provider that answers for it, and what the saver recorded.
type saving struct {
	*Saver
	dir  string           // Of the bucket.
	host *httptest.Server // Of results.

	attempt task.Attempt
	known   error // Of the read of the attempt.

	mu       sync.Mutex
	answers  []provider.Status // The last one is repeated.
	asked    int
	fresh    string // The link that an exchange gives.
	outputs  []task.Output
	failure  *task.SaveFailed
	taken    bool // Whether another replica was faster.
	settled  []provider.Phase
	failures []task.SaveTry
	since    time.Time // When the trouble began.
	storage  task.StorageTrouble
}

// setup returns a saver of an attempt that succeeded. Its host serves a clip at each path but /dead, /page and
// /broken, and at /last, which is dead once another result is stored.
func setup(t *testing.T) *saving {
	t.Helper()
	s := &saving{
		dir: t.TempDir(), since: now,
		attempt: task.Attempt{ID: "a", Number: 1, Account: "kie", ProviderTaskID: "p", State: task.AttemptSucceeded, CreateTime: now.Add(-time.Hour)},
	}
	s.host = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/dead":
			http.Error(w, "gone", http.StatusNotFound)
		case "/page":
			_, _ = io.WriteString(w, "<html>")
		case "/last":
			for len(s.files(t)) == 0 && r.Context().Err() == nil {
				<-time.After(time.Millisecond)
			}
			http.Error(w, "gone", http.StatusNotFound)
		case "/broken":
			http.Error(w, "later", http.StatusServiceUnavailable)
		default:
			_, _ = w.Write(sim.TinyClip())
		}
	}))
	t.Cleanup(s.host.Close)
	bucket, err := media.OpenBucket(t.Context(), "file://"+filepath.ToSlash(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	accounts, err := upstream.New(provider.Accounts{"kie": answering{s}}, s, noop.Meter{})
	if err != nil {
		t.Fatal(err)
	}
	client := media.NewClient(media.Guard{AllowPrivate: true})
	t.Cleanup(client.CloseIdleConnections)
	s.Saver, err = New(Config{
		Lifecycle: s, Tasks: s, Troubles: s, Accounts: accounts, Media: &media.Saver{Client: client, Bucket: bucket, Pause: time.Millisecond},
		Now: func() time.Time { return now }, Meter: noop.Meter{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Cut)
	return s
}

// answer makes the provider report success with links to these paths of the host, or to these addresses.
func (s *saving) answer(paths ...string) {
	status := provider.Status{Phase: provider.Succeeded}
	for _, path := range paths {
		status.ResultURLs = append(status.ResultURLs, s.host.URL+path)
	}
	s.answers = append(s.answers, status)
}

// try runs one try of the job.
func (s *saving) try(t *testing.T, try int) error {
	t.Helper()
	job := &river.Job[task.SaveOutputs]{
		JobRow: &rivertype.JobRow{Attempt: try, CreatedAt: now.Add(-time.Minute)}, Args: task.SaveOutputs{AttemptID: "a"},
	}
	return s.Work(t.Context(), job)
}

// files returns the files that the bucket holds.
func (s *saving) files(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == "" { // Not one that is still being written.
			files = append(files, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // It was removed meanwhile.
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

func (s *saving) TaskOfAttempt(context.Context, task.AttemptID) (task.Task, error) {
	return task.Task{ID: "t", Tenant: "films", Attempts: []task.Attempt{s.attempt}}, s.known
}

func (s *saving) SettleSave(_ context.Context, _ task.AttemptID, outputs []task.Output, failure *task.SaveFailed) (bool, error) {
	if s.taken {
		return false, nil
	}
	s.outputs, s.failure = outputs, failure
	return true, nil
}

func (s *saving) SettleCheck(_ context.Context, _ lifecycle.Check, status provider.Status, _ error) error {
	s.settled = append(s.settled, status.Phase)
	s.attempt.Cost = task.Cost(status.Cost)
	return nil
}

func (s *saving) NoteSaveTrouble(_ context.Context, _ task.AttemptID, _ time.Time, n task.SaveTry) (task.SaveTrouble, error) {
	s.failures = append(s.failures, n)
	return task.SaveTrouble{Cause: n.Cause, Since: s.since, Until: now.Add(n.RetryAfter), Storage: s.storage}, nil
}

func (s *saving) ReserveQueries(context.Context, string, int, time.Duration) (time.Duration, error) {
	return 0, nil
}

// answering is the provider.
type answering struct{ *saving }

func (answering) Name() string { return "kie" }

func (a answering) Capabilities() provider.Capabilities {
	return provider.Capabilities{LinkLifetime: 24 * time.Hour, RefreshLinks: a.fresh != ""}
}

func (answering) Submit(context.Context, provider.Submission) (provider.Receipt, error) {
	return provider.Receipt{}, errors.ErrUnsupported
}

func (a answering) Check(context.Context, provider.Query) (provider.Status, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	status := a.answers[min(a.asked, len(a.answers)-1)]
	a.asked++
	return status, nil
}

func (a answering) RefreshLink(context.Context, string) (string, error) {
	return a.host.URL + a.fresh, nil
}

func (answering) Callback(context.Context, http.Header, []byte, time.Time) (provider.Callback, error) {
	return provider.Callback{}, errors.ErrUnsupported
}

func TestWork_RecordsTheCostOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.answer("/1.mp4")
	s.answers[0].Cost = provider.Cost{Amount: "8", Unit: "credits"}
	for range 2 {
		if err := s.try(t, 1); err != nil {
			t.Fatal(err)
		}
	}
	if want := (task.Cost{Amount: "8", Unit: "credits"}); s.attempt.Cost != want || len(s.settled) != 1 || s.asked != 2 {
		t.Errorf("cost %+v after %d records and %d questions, want %+v recorded once", s.attempt.Cost, len(s.settled), s.asked, want)
	}
}

func TestWork_StoresEveryResultAndRecordsIt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.answer("/0", "/1", "/2")
	if err := s.try(t, 1); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(sim.TinyClip())
	if len(s.outputs) != 3 || s.failure != nil {
		t.Fatalf("recorded %d outputs and the failure %v, want 3 and none", len(s.outputs), s.failure)
	}
	for i, o := range s.outputs {
		if o.Index != i || !bytes.Equal(o.SHA256, sum[:]) || o.SizeBytes != int64(len(sim.TinyClip())) || o.ContentType != "video/mp4" {
			t.Errorf("output %d is %+v, want the clip's index, size, type and SHA-256", i, o)
		}
		content, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(o.Key)))
		if err != nil || !bytes.Equal(content, sim.TinyClip()) {
			t.Errorf("the file of output %d has %d bytes, %v; want the clip", i, len(content), err)
		}
	}
	if s.asked != 1 {
		t.Errorf("the provider was asked %d times, want once", s.asked)
	}
}

// TestWork_LeavesNoFileThatIsNotRecorded has saves whose files no task names.
func TestWork_LeavesNoFileThatIsNotRecorded(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*saving){
		"another replica was faster":    func(s *saving) { s.answer("/0", "/1"); s.taken = true },
		"one of two results is missing": func(s *saving) { s.answer("/0", "/last") },
		"a result is no video":          func(s *saving) { s.answer("/0", "/page") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			prepare(s)
			_ = s.try(t, 1)
			if files := s.files(t); len(files) > 0 {
				t.Errorf("the bucket holds %q, want nothing", files)
			}
			if s.outputs != nil {
				t.Errorf("%d outputs are recorded, want none", len(s.outputs))
			}
		})
	}
}

// TestWork_LooksForAnotherLink has links that lead to no video.
func TestWork_LooksForAnotherLink(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers [][]string
		fresh   string
		saved   bool
		public  string // What callers read, where nothing was saved.
	}{
		"in a second answer": {answers: [][]string{{"/dead"}, {"/alive"}}, saved: true},
		"a page in place of the file, and the file in a second answer": {answers: [][]string{{"/page"}, {"/alive"}}, saved: true},
		"by an exchange, where the second answer names the same":       {answers: [][]string{{"/dead"}}, fresh: "/alive", saved: true},
		"the same in a second answer":                                  {answers: [][]string{{"/dead"}}, public: "the provider was asked for another: it names the same"},
		"a second answer with fewer files":                             {answers: [][]string{{"/0", "/dead"}, {"/0"}}, public: "it names fewer files now"},
		"an exchange that leads nowhere":                               {answers: [][]string{{"/dead"}}, fresh: "/dead", public: "the exchanged link: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.fresh = tc.fresh
			for _, paths := range tc.answers {
				s.answer(paths...)
			}
			err := s.try(t, 1)
			if saved := err == nil && s.outputs != nil; saved != tc.saved {
				t.Fatalf("saved: %t, %v; want %t", saved, err, tc.saved)
			}
			if tc.public != "" && (len(s.failures) != 1 || !strings.Contains(s.failures[0].Message, tc.public)) {
				t.Errorf("callers read %+v, want %q", s.failures, tc.public)
			}
		})
	}
}

func TestWork_AsksOnceMoreForAllResults(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.answer("/dead", "/dead", "/dead")
	s.answer("/0", "/1", "/2")
	if err := s.try(t, 1); err != nil {
		t.Fatal(err)
	}
	if s.asked != 2 || len(s.outputs) != 3 {
		t.Errorf("the provider was asked %d times for %d outputs, want twice for 3", s.asked, len(s.outputs))
	}
}

// TestWork_DecidesWhatFollowsAFailure has each way in which a try ends without outputs, and what follows it.
func TestWork_DecidesWhatFollowsAFailure(t *testing.T) {
	t.Parallel()
	const again, later, over, canceled = "a try that counts", "a try that does not count", "the end", "a canceled job"
	for name, tc := range map[string]struct {
		prepare func(*testing.T, *saving)
		try     int // 1 without it.
		want    string
		reason  task.Reason // Where the save is over with a failure.
		cause   task.WaitCause
	}{
		"the attempt was removed":          {prepare: func(_ *testing.T, s *saving) { s.known = lifecycle.ErrAttemptNotFound }, want: canceled},
		"the attempt is saved":             {prepare: func(_ *testing.T, s *saving) { s.attempt.Saved = true }, want: over},
		"the attempt was settled":          {prepare: func(_ *testing.T, s *saving) { s.attempt.State = task.AttemptFailed }, want: over},
		"the database does not answer":     {prepare: func(_ *testing.T, s *saving) { s.known = errors.New("no connection") }, want: later},
		"the provider reports a failure":   {prepare: phase(provider.Failed), want: over},
		"the provider shows no result":     {prepare: phase(provider.Running), want: later, cause: task.WaitLinks},
		"it shows none for half an hour":   {prepare: both(phase(provider.Running), began(31*time.Minute)), want: over, reason: task.OutputUnavailable, cause: task.WaitLinks},
		"it names no file":                 {prepare: phase(provider.Succeeded), want: later, cause: task.WaitLinks},
		"it names none for ten minutes":    {prepare: both(phase(provider.Succeeded), began(11*time.Minute)), want: over, reason: task.OutputUnavailable, cause: task.WaitLinks},
		"a dead link":                      {prepare: links("/dead"), want: again, cause: task.WaitDownload},
		"a dead link at the twelfth try":   {prepare: links("/dead"), try: 12, want: over, reason: task.OutputUnavailable, cause: task.WaitDownload},
		"a dead link for an hour":          {prepare: both(links("/dead"), began(time.Hour)), try: 2, want: over, reason: task.OutputUnavailable, cause: task.WaitDownload},
		"an hour, and the first try":       {prepare: both(links("/dead"), began(time.Hour)), want: again, cause: task.WaitDownload},
		"a host in trouble":                {prepare: links("/broken"), want: again, cause: task.WaitDownload},
		"a page in place of a video":       {prepare: links("/page"), want: again, cause: task.WaitDownload},
		"a page once more":                 {prepare: links("/page"), try: 2, want: over, reason: task.OutputInvalid, cause: task.WaitDownload},
		"a result that is too large":       {prepare: both(links("/0"), func(_ *testing.T, s *saving) { s.Media.MaxBytes = 100 }), want: over, reason: task.OutputInvalid, cause: task.WaitDownload},
		"an account without a key":         {prepare: func(_ *testing.T, s *saving) { s.attempt.Account = "kie-2" }, want: again, cause: task.WaitAnswer},
		"a read-only folder":               {prepare: both(links("/0"), readOnly), want: later, cause: task.WaitStorage},
		"a read-only folder at try twelve": {prepare: both(links("/0"), readOnly, began(10*time.Hour)), try: 12, want: later, cause: task.WaitStorage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			tc.prepare(t, s)
			err := s.try(t, max(tc.try, 1))
			got := over
			if _, snoozed := errors.AsType[*rivertype.JobSnoozeError](err); snoozed {
				got = later
			} else if _, cancel := errors.AsType[*rivertype.JobCancelError](err); cancel {
				got = canceled
			} else if err != nil {
				got = again
			}
			if got != tc.want {
				t.Errorf("%v is followed by %s, want %s", err, got, tc.want)
			}
			var reason task.Reason
			if s.failure != nil {
				reason = s.failure.Reason
			}
			var cause task.WaitCause
			if len(s.failures) > 0 {
				cause = s.failures[0].Cause
			}
			if reason != tc.reason || cause != tc.cause {
				t.Errorf("the task fails with %q and waits for %q, want %q and %q", reason, cause, tc.reason, tc.cause)
			}
		})
	}
}

// TestGiveUp_NamesTheStorageThatFailedBefore has a result whose links ended while our storage failed: callers read both causes.
func TestGiveUp_NamesTheStorageThatFailedBefore(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.answer("/dead")
	s.storage = task.StorageTrouble{Cause: "is full", Since: now.Add(-2 * time.Hour), Until: now.Add(-time.Hour)}
	if err := s.try(t, 12); err != nil {
		t.Fatal(err)
	}
	if s.failure == nil || !strings.Contains(s.failure.Message, "our storage failed") || !strings.Contains(s.failure.Message, "the link is dead") {
		t.Errorf("the task ends with %+v, want the storage's failure and the link's", s.failure)
	}
}

func TestSettleFailure_IsHandedToTheCheck(t *testing.T) {
	t.Parallel()
	s := setup(t)
	phase(provider.Failed)(t, s)
	if err := s.try(t, 1); err != nil {
		t.Fatal(err)
	}
	if len(s.settled) != 1 || s.settled[0] != provider.Failed || s.failure != nil {
		t.Errorf("settled as %v with the failure %v, want the provider's failure alone", s.settled, s.failure)
	}
}

func phase(p provider.Phase) func(*testing.T, *saving) {
	return func(_ *testing.T, s *saving) { s.answers = []provider.Status{{Phase: p}} }
}

func links(paths ...string) func(*testing.T, *saving) {
	return func(_ *testing.T, s *saving) { s.answer(paths...) }
}

// began makes the trouble older.
func began(age time.Duration) func(*testing.T, *saving) {
	return func(_ *testing.T, s *saving) { s.since = now.Add(-age) }
}

func both(prepare ...func(*testing.T, *saving)) func(*testing.T, *saving) {
	return func(t *testing.T, s *saving) {
		t.Helper()
		for _, p := range prepare {
			p(t, s)
		}
	}
}

// readOnly makes the folder of outputs a file, so that no user can write into it, not even root.
func readOnly(t *testing.T, s *saving) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "outputs"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
}
