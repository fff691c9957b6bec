package fence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/media"
)

const (
	// period is the interval at which the epoch grows, busyPeriod the one while tasks are sent, and failingPeriod the one of tries while
	// that fails. A database that was set back by less is not noticed at the start. Its sends meet their records all the same.
	period        = 30 * time.Second
	busyPeriod    = 5 * time.Second
	failingPeriod = 2 * time.Second
	// roundTimeout bounds a try.
	roundTimeout = 20 * time.Second
	// openFor is how long it is believed that admission is open, without another look. Closing it takes that long at other replicas.
	openFor = time.Second
	// keptEpochs is how many epochs stay in the bucket.
	keptEpochs = 8
	// epochPrefix is what the keys of epochs begin with. The id of the database and the epoch follow.
	epochPrefix = "fence/"
	// onceName is the name of the file, next to the epochs, with which a storage proves that it creates no file twice.
	onceName = "once"
	// noEpoch is what newestEpoch returns for a bucket without epochs.
	noEpoch = -1
)

// errOverwritten means that a storage ignores conditional writes, so that a send that was recorded before is not noticed.
var errOverwritten = errors.New("the storage replaced a file that was to be created only if it is not there: it must support conditional writes (If-None-Match of S3)")

// Reason is why admission is closed.
type Reason string

// The reasons.
const (
	ByOperator      Reason = "BY_OPERATOR"
	AtStart         Reason = "AT_START"          // The replica was started with closed admission.
	DatabaseSetBack Reason = "DATABASE_SET_BACK" // The database is older than the bucket says.
	BucketSetBack   Reason = "BUCKET_SET_BACK"   // The bucket lacks the records of the database.
)

// Admission is whether anything is sent to providers.
type Admission struct {
	Reason    Reason // Empty while it is open.
	Message   string // For people, one sentence.
	CloseTime time.Time
	KnownTime time.Time // After the database was set back: up to when it surely knows what was sent. Zero if that is unknown.
}

// Open reports whether tasks are sent.
func (a Admission) Open() bool { return a.Reason == "" }

// Installation is the identity of a database.
type Installation struct {
	ID        string
	Epoch     int64
	EpochTime time.Time // When the epoch last grew.
	Moved     bool      // Whether that was in another place, as far as is known: the database is a copy, was restored, or had a failover.
	SetBacks  int64     // How often admission was closed because the database or the bucket was set back.
}

// Store keeps the state of the fence in the database.
type Store interface {
	// Enter returns the identity of the database, which the first call ever makes.
	Enter(ctx context.Context) (Installation, error)
	// Advance makes the epoch grow by 1, and returns the new one with the time at which it grew before. ok is false, and nothing
	// changes, while admission is closed because the database or the bucket was set back.
	Advance(ctx context.Context) (now Installation, ok bool, err error)
	// SetBack closes admission because the database or the bucket was set back, and makes the epoch at least the given one. closed is
	// false if another replica has closed admission for that since known was read. A bucket that was emptied closes it in any case.
	SetBack(ctx context.Context, a Admission, epoch int64, known Installation) (closed bool, err error)
	// Admission returns whether admission is open.
	Admission(ctx context.Context) (Admission, error)
	// CloseAdmission closes admission, unless it is closed because the database or the bucket was set back.
	CloseAdmission(ctx context.Context, reason Reason, message string) error
	// OpenAdmission opens admission, and reports whether it was still closed as a says. Otherwise nothing changes.
	OpenAdmission(ctx context.Context, a Admission) (bool, error)
	// Discarded reports whether a file is on the list of those that retention gave up, since a time.
	Discarded(ctx context.Context, key string, since time.Time) (bool, error)
	// Keep takes a file from that list.
	Keep(ctx context.Context, key string) error
	// SentTasks returns, for each request, its task and how often that was sent.
	SentTasks(ctx context.Context, requests []Request) ([]SentTask, error)
}

// Config is what a fence works with.
type Config struct {
	Store   Store
	Bucket  *media.Bucket
	Replica string // The name of this replica.
	// Ephemeral means that the bucket ends with the process, so that its emptiness says nothing.
	Ephemeral bool
	// CloseAtStart closes admission before anything is sent.
	CloseAtStart bool
	// Changed is called when the fence has learnt that something may be sent. It must not block.
	Changed func()
	Log     *slog.Logger
}

// Fence compares the database with the bucket. Its methods may be called concurrently, but for Run.
type Fence struct {
	cfg     Config
	nonce   string
	checked chan struct{} // Closed when the epochs were compared. The id is set before.
	id      string
	sent    loop.Signal // Sent when a send was recorded.

	mu      sync.Mutex
	last    int64         // The highest epoch that this process has committed.
	pending *Installation // An epoch that is committed, and that the bucket may lack.

	cache openCache
}

// openCache remembers for a moment that admission is open, so that a burst of sends reads that once. It does not remember that admission
// is closed: what opens it wakes those that wait, and they must see it open.
type openCache struct {
	mu      sync.Mutex
	until   time.Time
	changes int // How often this process has closed admission.
}

// open reports whether admission is known to be open, and returns what set needs.
func (c *openCache) open() (open bool, changes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.until), c.changes
}

// set remembers that admission was open at a time, unless this process has closed it since open returned changes.
func (c *openCache) set(at time.Time, changes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if changes == c.changes {
		c.until = at.Add(openFor)
	}
}

// forget makes the next call look.
func (c *openCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Time{}
	c.changes++
}

// New returns a fence. Until Run has compared the epochs, nothing may be sent.
func New(cfg Config) *Fence {
	return &Fence{cfg: cfg, nonce: uuid.NewString(), checked: make(chan struct{}), sent: loop.NewSignal()}
}

// await waits until the epochs were compared.
func (f *Fence) await(ctx context.Context) error {
	select {
	case <-f.checked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait until the database is compared with the bucket: %w", ctx.Err())
	}
}

// AdmissionOpen implements lifecycle.Gate.
func (f *Fence) AdmissionOpen(ctx context.Context) (bool, error) {
	if err := f.await(ctx); err != nil {
		return false, err
	}
	open, changes := f.cache.open()
	if open {
		return true, nil
	}
	start := time.Now()
	a, err := f.cfg.Store.Admission(ctx)
	if err != nil || !a.Open() {
		return false, err
	}
	f.cache.set(start, changes)
	return true, nil
}

// ClosedMessage implements lifecycle.Gate.
func (f *Fence) ClosedMessage(ctx context.Context) (string, error) {
	if open, _ := f.cache.open(); open {
		return "", nil
	}
	a, err := f.cfg.Store.Admission(ctx)
	return a.Message, err
}

// Run compares the epochs, and then makes them grow, until ctx ends.
func (f *Fence) Run(ctx context.Context) error {
	failing := false
	for {
		err := f.round(ctx)
		wait := period
		if err != nil && ctx.Err() == nil {
			wait = failingPeriod
			if !failing {
				f.cfg.Log.ErrorContext(ctx, "the database could not be compared with the bucket; will retry", "error", err, "sends_wait", !f.Checked())
			}
		} else if failing {
			f.cfg.Log.InfoContext(ctx, "the database can be compared with the bucket again")
		}
		failing = err != nil
		if !f.wait(ctx, wait) {
			return nil
		}
	}
}

// wait waits for the next round, and reports whether ctx goes on.
func (f *Fence) wait(ctx context.Context, d time.Duration) bool {
	began := time.Now()
	due := time.NewTimer(d)
	defer due.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-due.C:
		return true
	case <-f.sent:
	}
	return loop.Sleep(ctx, min(d, busyPeriod)-time.Since(began)) == nil
}

// Checked reports whether the epochs were compared. Before that, nothing is sent.
func (f *Fence) Checked() bool {
	select {
	case <-f.checked:
		return true
	default:
		return false
	}
}

func (f *Fence) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	if !f.Checked() {
		if err := f.check(ctx); err != nil {
			return err
		}
	}
	return f.advance(ctx)
}

// check compares the epochs at the start of the process, before anything is sent.
func (f *Fence) check(ctx context.Context) error {
	known, err := f.cfg.Store.Enter(ctx)
	if err != nil {
		return err
	}
	if err := f.checkConditional(ctx, known.ID); err != nil {
		return err
	}
	recorded, err := f.newestEpoch(ctx, known.ID)
	if err == nil && recorded == noEpoch && known.Epoch == 0 {
		// NOTE: the bucket has epoch 0 before the database has another. A bucket that could not be written to at the first start is then
		// not taken for one that was emptied.
		recorded, err = 0, f.createOnce(ctx, epochKey(known.ID, 0))
	}
	if err != nil {
		return err
	}
	// NOTE: another replica may have made the epoch grow, in the database first, while the bucket was listed.
	moved := known.Moved
	if known, err = f.cfg.Store.Enter(ctx); err != nil {
		return err
	}
	// NOTE: an epoch that the bucket lacks proves nothing, as long as it has others: its process died between the commit and the put.
	switch {
	case recorded > known.Epoch:
		err = f.setBack(ctx, DatabaseSetBack, recorded, known)
	case recorded == noEpoch && moved && !f.cfg.Ephemeral:
		err = f.setBack(ctx, BucketSetBack, 0, known)
	case recorded == noEpoch && !f.cfg.Ephemeral:
		// The database is where it was, and has what it committed. Only its second witness is new.
		f.cfg.Log.ErrorContext(ctx, "the bucket lacks the records of what was sent to providers; if the database is restored to an earlier state, it may pay again for that",
			"database", known.ID, "next", "if the bucket was replaced, copy the files under "+epochPrefix+" and "+sentPrefix+" of the one before")
	}
	if err == nil && f.cfg.CloseAtStart {
		err = f.cfg.Store.CloseAdmission(ctx, AtStart, "the service was started with closed admission")
	}
	if err != nil {
		return err
	}
	a, err := f.cfg.Store.Admission(ctx)
	if err != nil {
		return err
	}
	if !a.Open() {
		f.cfg.Log.WarnContext(ctx, "admission is closed; no task is sent until an operator opens it with `refract admission open`",
			"reason", a.Reason, "cause", a.Message, "since", a.CloseTime)
	}
	f.id = known.ID
	f.mu.Lock()
	f.last = known.Epoch
	f.mu.Unlock()
	close(f.checked)
	f.cfg.Changed()
	return nil
}

// checkConditional makes sure that the storage creates a file only once.
func (f *Fence) checkConditional(ctx context.Context, id string) error {
	key := epochPrefix + id + "/" + onceName
	for range 2 {
		err := f.cfg.Bucket.CreateRecord(ctx, key, []byte("{}"))
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errOverwritten
}

// createOnce creates a file that may be there.
func (f *Fence) createOnce(ctx context.Context, key string) error {
	err := f.cfg.Bucket.CreateRecord(ctx, key, []byte("{}"))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// newestEpoch returns the highest epoch of a database that the bucket has, or noEpoch.
func (f *Fence) newestEpoch(ctx context.Context, id string) (int64, error) {
	newest := int64(noEpoch)
	for from := []byte(nil); ; {
		files, next, err := f.cfg.Bucket.Page(ctx, epochPrefix+id+"/", from, 1000)
		if err != nil {
			return 0, err
		}
		for _, file := range files {
			if n, err := strconv.ParseInt(path.Base(file.Key), 10, 64); err == nil {
				newest = max(newest, n)
			}
		}
		if from = next; next == nil {
			return newest, nil
		}
	}
}

// epochKey returns the key of an epoch. The keys sort by the epoch.
func epochKey(id string, epoch int64) string {
	return fmt.Sprintf("%s%s/%020d", epochPrefix, id, epoch)
}

// epochRecord is what the bucket has of an epoch.
type epochRecord struct {
	Replica string    `json:"replica"`
	Nonce   string    `json:"nonce"` // Names the process.
	Time    time.Time `json:"time"`
}

// advance makes the epoch grow, and records it.
//
// NOTE: the commit comes first. An epoch that the bucket has and the database lacks is then the proof that the database lost a commit.
func (f *Fence) advance(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending == nil {
		now, ok, err := f.cfg.Store.Advance(ctx)
		if err != nil || !ok {
			return err
		}
		if now.Epoch <= f.last { // This process has committed a higher one, which the database has lost.
			return f.noticeSetBack(ctx, now)
		}
		f.last, f.pending = now.Epoch, &now
	}
	now := *f.pending
	key := epochKey(now.ID, now.Epoch)
	text, err := json.Marshal(epochRecord{f.cfg.Replica, f.nonce, time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("encode epoch %d: %w", now.Epoch, err)
	}
	err = f.cfg.Bucket.CreateRecord(ctx, key, text)
	if errors.Is(err, fs.ErrExist) {
		return f.foreignEpoch(ctx, key, now)
	}
	if err != nil {
		return err
	}
	f.pending = nil
	if old := now.Epoch - keptEpochs; old >= 0 {
		return f.cfg.Bucket.Delete(ctx, epochKey(now.ID, old))
	}
	return nil
}

// foreignEpoch decides about an epoch that the bucket had before it was recorded: another database has the same id and has come as far,
// unless it was this process, which did not get the answer.
func (f *Fence) foreignEpoch(ctx context.Context, key string, now Installation) error {
	text, err := f.cfg.Bucket.ReadRecord(ctx, key)
	if err != nil {
		return err
	}
	var found epochRecord
	if err := json.Unmarshal(text, &found); err == nil && found.Nonce == f.nonce {
		f.pending = nil
		return nil
	}
	return f.noticeSetBack(ctx, now)
}

// noticeSetBack closes admission because the database was set back while this process used it. The epoch continues above all that the
// bucket has, so that it grows without a clash when an operator has opened admission.
func (f *Fence) noticeSetBack(ctx context.Context, now Installation) error {
	newest, err := f.newestEpoch(ctx, now.ID)
	if err != nil {
		return err
	}
	if err := f.setBack(ctx, DatabaseSetBack, max(newest, f.last), now); err != nil {
		return err
	}
	f.last, f.pending = 0, nil
	return nil
}

// setBack closes admission.
func (f *Fence) setBack(ctx context.Context, reason Reason, recorded int64, known Installation) error {
	a := Admission{Reason: reason, KnownTime: known.EpochTime}
	next := "run `refract restore-check --settle`, and then `refract admission open`"
	a.Message = "the database was set back to an earlier state, by a restore or a failover"
	if reason == BucketSetBack {
		a.Message = "the bucket lacks the records of what was sent to providers"
		next = "bring back the bucket of this database; `refract admission open --accept-unknown` opens admission without the records, and may pay again for what was sent since the backup"
	}
	closed, err := f.cfg.Store.SetBack(ctx, a, max(recorded, 0), known)
	if err != nil {
		return err
	}
	f.cache.forget()
	if !closed {
		return nil
	}
	f.cfg.Log.ErrorContext(ctx, "admission is closed: "+a.Message+"; no task is sent until an operator has looked", //nolint:sloglint // One of two constants.
		"reason", reason, "database", known.ID, "database_epoch", known.Epoch, "bucket_epoch", recorded, "known_until", known.EpochTime, "next", next)
	return nil
}
