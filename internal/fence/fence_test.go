package fence_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/fence"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/media/buckettest"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/task"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// installation is a database and a bucket.
type installation struct {
	pool   *pgxpool.Pool
	stores *postgres.Stores
	bucket *media.Bucket
}

func setup(t *testing.T) *installation {
	t.Helper()
	pool := postgrestest.Pool(t)
	stores, err := postgres.NewStores(postgres.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	return &installation{pool: pool, stores: stores, bucket: newBucket(t)}
}

func newBucket(t *testing.T) *media.Bucket {
	t.Helper()
	return buckettest.Open(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
}

// start starts a replica, and returns its fence when it has compared the epochs.
func (i *installation) start(t *testing.T, configure ...func(*fence.Config)) *fence.Fence {
	t.Helper()
	cfg := fence.Config{
		Store: i.stores.Installation, Bucket: i.bucket, Replica: "r", Changed: func() {}, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range configure {
		f(&cfg)
	}
	f := fence.New(cfg)
	postgrestest.Background(t, f.Run)
	if _, err := f.AdmissionOpen(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// grow starts a replica, waits until the bucket has an epoch, and returns what the database then says of itself.
func (i *installation) grow(t *testing.T) fence.Installation {
	t.Helper()
	before, err := i.stores.Installation.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i.start(t)
	var now fence.Installation
	postgrestest.Until(t, func() bool {
		now, err = i.stores.Installation.Enter(t.Context())
		keys, listErr := i.bucket.Keys(t.Context(), "fence/"+now.ID+"/", 100)
		return err == nil && listErr == nil && now.Epoch > before.Epoch && slices.Contains(keys, fmt.Sprintf("fence/%s/%020d", now.ID, now.Epoch))
	})
	return now
}

// reason returns why admission is closed.
func reason(t *testing.T, f *fence.Fence) fence.Reason {
	t.Helper()
	a, err := f.Admission(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a.Reason
}

// TestStart_ComparesTheEpochs starts a replica on databases and buckets of different ages.
func TestStart_ComparesTheEpochs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		epoch     int64 // Of the database.
		recorded  []string
		ephemeral bool
		stayed    bool // Whether the database is where its epoch last grew.
		closed    bool // Whether the replica is started with closed admission.
		want      fence.Reason
	}{
		"a new database and an empty bucket":                            {},
		"a new database and the bucket of another":                      {recorded: []string{"fence/other/00000000000000000007"}},
		"the same epoch":                                                {epoch: 7, recorded: []string{"fence/ID/00000000000000000007"}},
		"an epoch whose process died":                                   {epoch: 8, recorded: []string{"fence/ID/00000000000000000007"}},
		"a higher epoch in the bucket":                                  {epoch: 6, recorded: []string{"fence/ID/00000000000000000007"}, want: fence.DatabaseSetBack},
		"a much higher epoch in the bucket":                             {epoch: 2, recorded: []string{"fence/ID/00000000000000000007"}, want: fence.DatabaseSetBack}, // The next one is free.
		"a higher epoch than a new database has":                        {recorded: []string{"fence/ID/00000000000000000001"}, want: fence.DatabaseSetBack},
		"more digits":                                                   {epoch: 99, recorded: []string{"fence/ID/00000000000000000099", "fence/ID/00000000000000000100"}, want: fence.DatabaseSetBack},
		"no epoch in the bucket of a copy":                              {epoch: 7, want: fence.BucketSetBack},
		"no epoch in the bucket of a database that stayed where it was": {epoch: 7, stayed: true},
		"no epoch in a bucket in memory":                                {epoch: 7, ephemeral: true},
		"started with closed admission":                                 {closed: true, want: fence.AtStart},
		"set back and started with closed admission": {
			epoch: 6, recorded: []string{"fence/ID/00000000000000000007"}, closed: true, want: fence.DatabaseSetBack,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.Pool(t)
			stores, err := postgres.NewStores(postgres.Config{Pool: pool})
			if err != nil {
				t.Fatal(err)
			}
			i := &installation{stores: stores, bucket: newBucket(t)}
			its, err := stores.Installation.Enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			postgrestest.Exec(t, pool, "UPDATE installation SET epoch = $1", tc.epoch)
			if tc.stayed {
				postgrestest.Exec(t, pool, `UPDATE installation SET cluster = system_identifier || '/' || timeline_id || '/' || pg_database.oid
					FROM pg_control_system(), pg_control_checkpoint(), pg_database WHERE datname = current_database()`)
			}
			for _, key := range tc.recorded {
				if err := i.bucket.CreateRecord(t.Context(), strings.ReplaceAll(key, "ID", its.ID), []byte("{}")); err != nil {
					t.Fatal(err)
				}
			}
			f := i.start(t, func(cfg *fence.Config) { cfg.Ephemeral, cfg.CloseAtStart = tc.ephemeral, tc.closed })
			if got := reason(t, f); got != tc.want {
				t.Errorf("admission is closed because of %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOpen_GoesOnAboveTheEpochsOfTheBucket opens a database that was set back, and starts it again.
func TestOpen_GoesOnAboveTheEpochsOfTheBucket(t *testing.T) {
	t.Parallel()
	i := setup(t)
	now := i.grow(t)
	if err := i.bucket.CreateRecord(t.Context(), "fence/"+now.ID+"/00000000000000000002", []byte(`{"nonce":"other"}`)); err != nil {
		t.Fatal(err)
	}
	f := i.start(t) // It sees the higher epoch.
	if got := reason(t, f); got != fence.DatabaseSetBack {
		t.Errorf("admission is closed because of %q, want %q", got, fence.DatabaseSetBack)
	}
	if err := f.Open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if again := i.start(t); reason(t, again) != "" {
		t.Errorf("after it was opened, the next start closes admission because of %q", reason(t, again))
	}
}

// sent is a record of a send.
func sent(number int) lifecycle.SendRecord {
	return lifecycle.SendRecord{
		Tenant: "films", RequestID: "r1", Number: number, Task: "t1", Attempt: "a1", Work: "w", Nonce: "n1", Provider: "kie", Account: "kie",
		SendTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestRecords_ASendIsRecordedOnce(t *testing.T) {
	t.Parallel()
	i := setup(t)
	f := i.start(t)
	first, second := sent(1), sent(1)
	second.Nonce, second.Task = "n2", "t2"
	if found, err := f.CreateRecord(t.Context(), first); found != nil || err != nil {
		t.Fatalf("the first record: %+v, %v; want that it is new", found, err)
	}
	if found, err := f.CreateRecord(t.Context(), second); err != nil || found == nil || *found != first {
		t.Errorf("the second record: %+v, %v; want the first", found, err)
	}
	first.Outcome, first.ProviderTaskID = task.OutcomeAccepted, "p1"
	if err := f.ReplaceRecord(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if found, err := f.Record(t.Context(), second); err != nil || found == nil || *found != first {
		t.Errorf("the record is %+v, %v; want %+v", found, err, first)
	}
	other := sent(2)
	if found, err := f.CreateRecord(t.Context(), other); found != nil || err != nil {
		t.Errorf("the record of the next send: %+v, %v; want that it is new", found, err)
	}
}

// TestRecords_ATornRecordIsOfAnUnknownSend is about a process that died while it wrote.
func TestRecords_ATornRecordIsOfAnUnknownSend(t *testing.T) {
	t.Parallel()
	i := setup(t)
	f := i.start(t)
	if _, err := f.CreateRecord(t.Context(), sent(1)); err != nil {
		t.Fatal(err)
	}
	keys, err := i.bucket.Keys(t.Context(), "sent/", 10)
	if err != nil || len(keys) != 1 {
		t.Fatalf("the bucket has %v, %v; want one record", keys, err)
	}
	if err := i.bucket.ReplaceRecord(t.Context(), keys[0], []byte(`{"tenant":"fil`)); err != nil {
		t.Fatal(err)
	}
	found, err := f.CreateRecord(t.Context(), sent(1))
	if err != nil || found == nil || *found != (lifecycle.SendRecord{}) {
		t.Errorf("CreateRecord = %+v, %v; want a record of which nothing is known", found, err)
	}
}

// TestUnknown_ListsWhatTheDatabaseDoesNotKnow has the record of a task that is lost, and one of a request that did not leave.
func TestUnknown_ListsWhatTheDatabaseDoesNotKnow(t *testing.T) {
	t.Parallel()
	i := setup(t)
	f := i.start(t)
	lost, unsent := sent(1), sent(2)
	unsent.Unsent = true
	for _, r := range []lifecycle.SendRecord{lost, unsent} {
		if _, err := f.CreateRecord(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	unknown, next, err := f.Unknown(t.Context(), nil, 10, nil)
	if err != nil || next != nil || len(unknown) != 1 || unknown[0].SendRecord != lost || unknown[0].Settleable() {
		t.Errorf("Unknown = %+v, %q, %v; want the lost one", unknown, next, err)
	}
}

// TestRecords_GoWithTheirTask removes an expired task with two sends, one of which is the third attempt.
//
// It fails when removeTasks (internal/postgres/expiry/remove.go) computes other keys than the fence.
func TestRecords_GoWithTheirTask(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	stores, err := postgres.NewStores(postgres.Config{Pool: pool, Retention: retention.Periods{Tasks: 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	i := &installation{stores: stores, bucket: newBucket(t)}
	f := i.start(t)
	id := postgrestest.InsertTask(t, pool, "films", task.Canceled, 48*time.Hour)
	for n, sent := range []bool{true, false, true} {
		postgrestest.Exec(t, pool, `INSERT INTO attempt (id, task_id, number, provider, account, state, sent, answer_time) VALUES ($1, $2, $3, 'kie', 'kie', 'REFUSED', $4, now())`,
			task.NewAttemptID(id, n+1), id, n+1, sent)
	}
	requestID := postgrestest.Value[string](t, pool, "SELECT request_id FROM task")
	for number := 1; number <= 2; number++ {
		r := sent(number)
		r.Task, r.RequestID = id, requestID
		if _, err := f.CreateRecord(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	due, err := stores.Retention.ExpiryCandidates(t.Context(), retention.TaskKind, retention.Candidate{})
	if err != nil || len(due) != 1 {
		t.Fatalf("the candidates are %+v, %v; want the task", due, err)
	}
	if removed, err := stores.Retention.RemoveExpired(t.Context(), retention.TaskKind, due); err != nil || removed.Rows != 1 {
		t.Fatalf("RemoveExpired = %+v, %v; want one task", removed, err)
	}
	want, err := i.bucket.Keys(t.Context(), "sent/", 10)
	if err != nil || len(want) != 2 {
		t.Fatalf("the bucket has %v, %v; want two records", want, err)
	}
	got, err := stores.Retention.PendingDeletions(t.Context(), "", 10)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("to be deleted: %v, %v; want %v", got, err, want)
	}
	reused := sent(1) // A request id that is free again, before the files are deleted.
	reused.Task, reused.RequestID = "another", requestID
	if found, err := f.CreateRecord(t.Context(), reused); err != nil || found != nil {
		t.Errorf("the record under a request id that is used again: %+v, %v; want that it is new", found, err)
	}
	if found, err := f.Record(t.Context(), reused); err != nil || found == nil || *found != reused {
		t.Errorf("the record is %+v, %v; want %+v", found, err, reused)
	}
	if got, err := stores.Retention.PendingDeletions(t.Context(), "", 10); err != nil || !slices.Equal(got, want[1:]) {
		t.Errorf("to be deleted: %v, %v; want only the record that is not used again, %v", got, err, want[1:])
	}
}

// s3Proxy passes requests on to an S3 server as a function changes them. It answers 403 where that returns false.
func s3Proxy(t *testing.T, change func(*http.Request) bool) (bucketURL string) {
	t.Helper()
	_, bucketURL = buckettest.StartS3(t).NewBucket(t)
	u, err := url.Parse(bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	target, err := url.Parse(query.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !change(r) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	query.Set("endpoint", proxy.URL)
	u.RawQuery = query.Encode()
	return u.String()
}

// logLines is a log whose messages can be awaited.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// await starts a replica that can't compare the epochs, and waits until it logs why.
func (i *installation) await(t *testing.T, cause string) *fence.Fence {
	t.Helper()
	var log logLines
	f := fence.New(fence.Config{Store: i.stores.Installation, Bucket: i.bucket, Replica: "r", Changed: func() {}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	postgrestest.Background(t, f.Run)
	postgrestest.Until(t, func() bool { return log.contains(cause) })
	return f
}

// TestStart_WithAStorageThatIgnoresConditionsSendsNothing has an S3 server that does not know If-None-Match.
//
// It fails when check (internal/fence/fence.go) does not call checkConditional.
func TestStart_WithAStorageThatIgnoresConditionsSendsNothing(t *testing.T) {
	t.Parallel()
	i := setup(t)
	i.bucket = buckettest.Open(t, s3Proxy(t, func(r *http.Request) bool {
		r.Header.Del("If-None-Match")
		return true
	}))
	f := i.await(t, "must support conditional writes")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if open, err := f.AdmissionOpen(ended); open || err == nil {
		t.Errorf("AdmissionOpen = %t, %v; want that it is not known", open, err)
	}
}

// TestStart_AfterAFirstStartThatCouldNotWriteIsNoAlarm has a bucket that may be listed and not written to. Later it may be written to.
//
// It fails when the database can have an epoch before the bucket has one.
func TestStart_AfterAFirstStartThatCouldNotWriteIsNoAlarm(t *testing.T) {
	t.Parallel()
	i := setup(t)
	var writable atomic.Bool
	i.bucket = buckettest.Open(t, s3Proxy(t, func(r *http.Request) bool {
		return r.Method != http.MethodPut || strings.HasSuffix(r.URL.Path, "/once") || writable.Load()
	}))
	i.await(t, "could not be compared")
	if now, err := i.stores.Installation.Enter(t.Context()); err != nil || now.Epoch != 0 {
		t.Errorf("the database has epoch %d, %v; want 0", now.Epoch, err)
	}
	writable.Store(true)
	if got := reason(t, i.start(t)); got != "" {
		t.Errorf("admission is closed because of %q", got)
	}
}

// TestOpen_WhenTheBucketIsBack opens a database that was started with an empty bucket, after its own is back.
//
// It fails when mayOpen (internal/fence/restore.go) does not look into the bucket.
func TestOpen_WhenTheBucketIsBack(t *testing.T) {
	t.Parallel()
	i := setup(t)
	i.grow(t)
	postgrestest.Exec(t, i.pool, "UPDATE installation SET cluster = 'elsewhere'") // The database is a copy.
	other := &installation{stores: i.stores, bucket: newBucket(t)}
	if err := other.start(t).Open(t.Context(), false); !errors.Is(err, fence.ErrRecordsMissing) {
		t.Errorf("with an empty bucket, Open = %v, want %v", err, fence.ErrRecordsMissing)
	}
	back := i.start(t)
	if got := reason(t, back); got != fence.BucketSetBack {
		t.Errorf("admission is closed because of %q, want %q until an operator has looked", got, fence.BucketSetBack)
	}
	if err := back.Open(t.Context(), false); err != nil {
		t.Errorf("Open = %v", err)
	}
}

// TestOpenAdmission_DoesNotOverrideAClosingThatWasNotSeen has a database that is set back while an operator opens admission.
//
// It fails when openAdmission (internal/postgres/installation.go) has no condition.
func TestOpenAdmission_DoesNotOverrideAClosingThatWasNotSeen(t *testing.T) {
	t.Parallel()
	i := setup(t)
	f := i.start(t, func(cfg *fence.Config) { cfg.CloseAtStart = true })
	seen, err := f.Admission(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if closed, err := i.stores.Installation.SetBack(t.Context(), fence.Admission{Reason: fence.DatabaseSetBack}, 0, fence.Installation{}); !closed || err != nil {
		t.Fatalf("SetBack = %t, %v", closed, err)
	}
	if opened, err := i.stores.Installation.OpenAdmission(t.Context(), seen); opened || err != nil {
		t.Errorf("OpenAdmission = %t, %v; want that it changes nothing", opened, err)
	}
	if got := reason(t, f); got != fence.DatabaseSetBack {
		t.Errorf("admission is closed because of %q, want %q", got, fence.DatabaseSetBack)
	}
}

// TestSetBack_OfADatabaseClosesAdmissionOnce has two replicas that notice the same, and an operator who opens admission in between.
//
// It fails when closeSetBack (internal/postgres/installation.go) has no condition, and when it has no exception.
func TestSetBack_OfADatabaseClosesAdmissionOnce(t *testing.T) {
	t.Parallel()
	for reason, again := range map[fence.Reason]bool{fence.DatabaseSetBack: false, fence.BucketSetBack: true} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			i := setup(t)
			store := i.stores.Installation
			known, err := store.Enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for n, want := range []bool{true, again} {
				if closed, err := store.SetBack(t.Context(), fence.Admission{Reason: reason}, 0, known); closed != want || err != nil {
					t.Fatalf("SetBack number %d = %t, %v; want %t", n, closed, err, want)
				}
				seen, err := store.Admission(t.Context())
				if err != nil || seen.Open() == want {
					t.Fatalf("admission is %+v, %v", seen, err)
				}
				if _, err := store.OpenAdmission(t.Context(), seen); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// counted is a store that counts looks at admission.
type counted struct {
	fence.Store
	looks atomic.Int64
}

func (s *counted) Admission(ctx context.Context) (fence.Admission, error) {
	s.looks.Add(1)
	return s.Store.Admission(ctx)
}

// TestAdmissionOpen_IsRememberedForAMoment has a burst of sends at one replica, and closes admission at another one.
//
// It fails when AdmissionOpen (internal/fence/fence.go) looks each time, and when it remembers for good.
func TestAdmissionOpen_IsRememberedForAMoment(t *testing.T) {
	t.Parallel()
	i := setup(t)
	store := &counted{Store: i.stores.Installation}
	f := i.start(t, func(cfg *fence.Config) { cfg.Store = store })
	open := func() bool {
		ok, err := f.AdmissionOpen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	postgrestest.Until(t, func() bool { // The calls can lie further apart than a moment.
		_ = open()
		before := store.looks.Load()
		return open() && store.looks.Load() == before
	})
	if err := i.start(t).Close(t.Context(), "maintenance"); err != nil {
		t.Fatal(err)
	}
	postgrestest.Until(t, func() bool { return !open() })
	if err := f.Open(t.Context(), false); err != nil || !open() {
		t.Errorf("after it was opened, admission is closed; Open = %v", err)
	}
	if err := f.Close(t.Context(), "maintenance"); err != nil || open() {
		t.Errorf("after it was closed at the same replica, admission is open; Close = %v", err)
	}
}
