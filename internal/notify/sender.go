package notify

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/groupcommit"
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/plain"
)

const (
	// slots is how many deliveries a replica holds at a time, from the claim until the request ends. A body has at most MaxBody,
	// so they need 32 MiB at most. maxStoring is how many results may wait to be stored before nothing more is claimed; each has an
	// answer of at most MaxAnswer.
	slots      = 512
	maxStoring = 1024
	// startRequests is how many requests to an endpoint are in progress at first. Each one that succeeds permits another one,
	// up to maxRequests, so the number doubles while they succeed.
	startRequests = 4
	maxRequests   = 64
	// maxAhead is how many more deliveries are claimed for an endpoint with maxRequests that are quick. A claim of many costs
	// little more than one of a few.
	maxAhead = 3 * maxRequests
	// duePage is how many endpoints a round looks at.
	duePage = 64

	// lease is how long other replicas leave a claimed delivery alone. It is longer than maxQueued, bodyTimeout, a request and the
	// record of its result take together.
	lease = time.Minute
	// maxQueued is how long a claimed delivery may wait for a request in progress. Later its lease might end before its
	// result is stored, so it is left to its lease.
	maxQueued = 15 * time.Second
	// bodyTimeout bounds the time in which a body is made: links may be signed by a service behind a network.
	bodyTimeout = 5 * time.Second
	// storeUntil is the age of a claim at which its result is given up, if the database does not take it.
	storeUntil = lease - 5*time.Second
	storePause = time.Second

	// tick is the interval of rounds without a wake-up: attempts come due with time, and other replicas do not announce events.
	tick = time.Second
	// gathering is the shortest time from one round to the next. Under load each change of a task and each result wakes the loop; in this
	// time they gather for one round.
	gathering = 5 * time.Millisecond
	// minSlotWait is the shortest time after which a round looks again at an endpoint with a rate limit. Of a higher limit a claim takes
	// several requests.
	minSlotWait = 100 * time.Millisecond
	// storeTimeout bounds one statement.
	storeTimeout = 10 * time.Second
	// ownPause is for how long an endpoint rests after a failure of ours, such as a secret that can't be decrypted.
	ownPause = time.Minute
	// quickRequest is the duration below which an endpoint with many requests gets its next deliveries in advance.
	quickRequest = time.Second

	// drainTimeout bounds the requests in progress at a stop, and with storeTimeout the stop itself.
	drainTimeout = requestTimeout + answerTimeout
)

// Config is what a Sender works with.
type Config struct {
	Store  Deliveries
	Keeper Keeper   // Of the secrets.
	Task   Renderer // Must be safe for concurrent calls.

	// Guard is the SSRF guard of all requests.
	Guard media.Guard
	// Client posts; nil means media.NewPostClient(Guard). It must not follow redirects.
	Client *http.Client

	// Due is sent when deliveries may be due before they are looked for again. Nil means that only time and results begin rounds.
	Due loop.Signal

	Now    func() time.Time // The time by the database's clock.
	Meter  metric.Meter
	Groups *groupcommit.Metrics // Measures how results are stored together; nil measures nothing.
	Log    *slog.Logger
}

// Sender sends the deliveries that are due. Every replica runs one.
type Sender struct {
	Config

	poster  *poster
	results *groupcommit.Group[Result, struct{}]
	metrics *metrics
	tests   tests
	after   EndpointID // Where the next page of due endpoints begins. Only the loop uses it.

	mu      sync.Mutex
	book    book
	failing bool // Whether the database did not take the last results.
}

// New returns a sender. Without Run it only sends tests.
func New(cfg Config) (*Sender, error) {
	m, err := newMetrics(cfg.Meter)
	if err != nil {
		return nil, err
	}
	if err := observeBacklog(cfg.Meter, &backlogs{read: cfg.Store.Backlog, now: cfg.Now}); err != nil {
		return nil, err
	}
	if cfg.Client == nil {
		cfg.Client = media.NewPostClient(cfg.Guard)
	}
	if cfg.Due == nil {
		cfg.Due = loop.NewSignal()
	}
	s := &Sender{Config: cfg, metrics: m, book: newBook()}
	s.poster = &poster{
		client: cfg.Client, signers: &signers{keeper: cfg.Keeper}, now: cfg.Now,
		check: func(url string) error { return media.CheckWebhookURI(url, cfg.Guard.AllowPrivate) },
	}
	// One set at a time: it is larger, and does not compete with another one for the rows of its endpoints.
	s.results = groupcommit.New(groupcommit.Measured(cfg.Groups, "deliveries", s.finish), groupcommit.Limits{Set: slots, Waiting: maxStoring + slots, AtOnce: 1})
	return s, nil
}

// Run sends what is due until ctx ends. Then it claims nothing more, and returns when the requests in progress have ended and their
// results are stored: within drainTimeout and storeTimeout.
func (s *Sender) Run(ctx context.Context) error {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	storing, cutStores := context.WithCancel(context.WithoutCancel(ctx))
	defer cutStores()
	w := &work{Sender: s, sending: sending, storing: storing}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	failing := false
	for ctx.Err() == nil {
		began := time.Now()
		more, err := w.round(ctx)
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			s.Log.ErrorContext(ctx, "webhooks are interrupted; their deliveries wait", "error", err)
			failing = true
		case err == nil && failing:
			s.Log.InfoContext(ctx, "webhooks work again")
			failing = false
		}
		if !more || err != nil {
			select {
			case <-ctx.Done():
			case <-s.Due:
			case <-ticker.C:
			}
		}
		_ = loop.Sleep(ctx, gathering-time.Since(began)) // The condition of the loop sees an end of ctx.
	}
	defer time.AfterFunc(drainTimeout, cut).Stop()
	defer time.AfterFunc(drainTimeout+storeTimeout, cutStores).Stop()
	w.requests.Wait()
	s.Client.CloseIdleConnections()
	_ = s.results.Close(storing) // It has nothing left to store, or was cut.
	return nil
}

// work is one Run of a Sender.
type work struct {
	*Sender

	sending  context.Context // Of requests. It ends drainTimeout after the stop.
	storing  context.Context // Of their results. It ends storeTimeout later.
	requests sync.WaitGroup
}

// round claims deliveries for a page of due endpoints and sends them. It reports whether another round should follow at once: there
// are more due endpoints, or this round claimed something and there may be more of it.
func (w *work) round(ctx context.Context) (more bool, err error) {
	// NOTE: the statements do not end with ctx. A claim whose answer is lost delays its deliveries by a lease.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	w.mu.Lock()
	full := w.book.full()
	w.mu.Unlock()
	if full {
		return false, nil // A delivery that ends wakes the loop.
	}
	due, err := w.Store.DueEndpoints(ctx, w.after, duePage)
	if err != nil {
		return false, err
	}
	w.mu.Lock()
	quotas, last := w.book.quotas(due, time.Now())
	w.mu.Unlock()
	more = len(due) == duePage
	switch {
	case last != "":
		w.after, more = last, true // The slots did not suffice for the rest of the page.
	case more:
		w.after = due[duePage-1].ID
	default:
		w.after = ""
	}
	if len(quotas) == 0 {
		return more, nil
	}
	claimed, err := w.Store.Claim(ctx, quotas, lease)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.book.claimed(claimed, time.Now())
	w.awaitSlots(claimed)
	for _, q := range quotas {
		w.pump(w.book.endpoints[q.Endpoint])
	}
	return more || len(claimed) > 0, err
}

// awaitSlots wakes the loop when the rate limits of the endpoints of a claim permit the next request, so that they can be used up.
func (w *work) awaitSlots(claimed []Claimed) {
	limits := map[EndpointID]int{}
	for _, c := range claimed {
		if c.Target.RateLimit > 0 {
			limits[c.Endpoint] = c.Target.RateLimit
		}
	}
	for _, limit := range limits {
		time.AfterFunc(max(time.Second/time.Duration(limit), minSlotWait), w.Due.Send)
	}
}

// pump begins the requests that an endpoint may have. The lock must be held.
func (w *work) pump(e *endpoint) {
	for _, h := range w.book.next(e, time.Now()) {
		w.requests.Go(func() { w.deliver(e, h) })
	}
}

// deliver sends one delivery and stores what came of it.
func (w *work) deliver(e *endpoint, h held) {
	result, v, err := w.sendTraced(w.sending, h.Claimed)
	if err != nil {
		w.ownFailure(h, err)
	}
	w.mu.Lock()
	if err != nil {
		w.book.failed(e, time.Now())
	} else {
		w.book.judged(e, h, v, &result, w.Now(), time.Now())
	}
	w.pump(e)
	wake := w.book.hasRoom(e)
	w.mu.Unlock()
	if wake {
		w.Due.Send()
	}
	if err != nil {
		return
	}
	w.metrics.attempted(w.storing, v.outcome)
	w.store(w.storing, h.at, result)
	w.mu.Lock()
	w.book.stored(e)
	w.mu.Unlock()
	w.Due.Send() // The next event of the task may be due.
}

// ownFailure reports a failure of ours, unless a stop has cut the request. It is no attempt: the delivery is left to its lease.
func (w *work) ownFailure(h held, err error) {
	if w.sending.Err() != nil {
		return
	}
	w.metrics.attempted(w.sending, outcomeInternal)
	w.Log.ErrorContext(w.sending, "an event can't be sent; will retry", "endpoint_id", h.Endpoint, "task_id", h.Event.Task,
		"revision", h.Event.Revision, "error", err, "cause", plain.Hidden(err))
}

// store stores a result. While the database fails it tries again, as long as the lease permits: an event whose result is lost is
// sent again.
func (s *Sender) store(ctx context.Context, claimed time.Time, r Result) {
	for {
		_, err := s.results.Do(ctx, r)
		if err == nil {
			s.metrics.stored(ctx, r)
			return
		}
		if errors.Is(err, groupcommit.ErrClosed) || time.Since(claimed) > storeUntil || loop.Sleep(ctx, storePause) != nil {
			return // finish has logged it.
		}
	}
}

// finish stores a set of results.
func (s *Sender) finish(ctx context.Context, rs []Result, results []groupcommit.Result[struct{}]) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	disabled, err := s.Store.Finish(ctx, rs)
	s.mu.Lock()
	began := err != nil && !s.failing
	s.failing = err != nil
	s.mu.Unlock()
	if began {
		s.Log.ErrorContext(ctx, "results of webhooks can't be stored; will retry", "error", err)
	}
	for i := range results {
		results[i].Err = err // As a rule the database fails, which halves of the set would not help.
	}
	for _, e := range disabled {
		s.Log.WarnContext(ctx, "webhook endpoint disabled; nothing is sent to it until a caller enables it",
			"endpoint_id", e.ID, "tenant", e.Tenant, "reason", e.Disabled)
	}
	return nil
}
