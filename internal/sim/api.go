package sim

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// API is one simulated API: the limits and the state of its profile, and what the engine does for its [Protocol]. Its
// methods may be called concurrently.
type API struct {
	server   *Server
	terms    Terms
	protocol Protocol
	submits  *meter
	queries  *meter
	slots    *slots
	runners  *runners

	maintenanceEnd atomic.Int64 // In Unix nanoseconds.
}

func openAPI(s *Server, p Profile, t Terms) *API {
	t.AuthScheme, t.LinkTTL = cmp.Or(t.AuthScheme, "Bearer"), cmp.Or(t.LinkTTL, s.cfg.LinkTTL)
	a := &API{
		server: s, terms: t,
		submits: newMeter(t.Name, t.SubmitLimit), queries: newMeter(t.Name, t.QueryLimit), slots: newSlots(t.Name, t.MaxConcurrent),
		runners: newRunners(t.Runners),
	}
	a.protocol = p.Open(a)
	return a
}

func (a *API) maintain(d time.Duration) { a.maintenanceEnd.Store(time.Now().Add(d).UnixNano()) }
func (a *API) inMaintenance() bool      { return time.Now().UnixNano() < a.maintenanceEnd.Load() }

// Authenticate returns the key of a request. It refuses a key that is not accepted, and every request during
// maintenance.
func (a *API) Authenticate(r *http.Request) (key string, no *Refusal) {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), a.terms.AuthScheme+" ")
	if known := a.server.cfg.APIKeys; !ok || key == "" || (len(known) > 0 && !slices.Contains(known, key)) {
		return key, a.protocol.Refusal(http.StatusUnauthorized)
	}
	if a.inMaintenance() {
		return key, a.protocol.Refusal(a.terms.MaintenanceCode)
	}
	return key, nil
}

// Query returns a handler that checks the credentials and the rate window of queries, and then answers what answer
// returns, as JSON under status 200.
func (a *API) Query(answer func(r *http.Request) (any, *Refusal)) http.HandlerFunc {
	return a.QueryStatus(func(_ http.Header, r *http.Request) (int, any, *Refusal) {
		body, no := answer(r)
		return http.StatusOK, body, no
	})
}

// QueryStatus is [API.Query] for answers with a status of their own. The function may set headers of the answer.
func (a *API) QueryStatus(answer func(h http.Header, r *http.Request) (status int, body any, no *Refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		no := a.Admit(r)
		var status int
		var body any
		if no == nil {
			status, body, no = answer(w.Header(), r)
		}
		if no != nil {
			a.protocol.Refuse(w, no)
			return
		}
		a.Write(w, status, JSON(body))
	}
}

// Admit checks the credentials and the rate window of a query.
func (a *API) Admit(r *http.Request) *Refusal {
	key, no := a.Authenticate(r)
	if no != nil {
		return no
	}
	wait := a.queries.take(key)
	a.server.news.changed()
	if wait > 0 {
		return a.tooMany(wait)
	}
	_ = sleep(r.Context(), a.server.cfg.QueryDelay) // It fails when the client is gone, and then no one reads the answer.
	return nil
}

// tooMany returns the refusal of a call that has to wait.
func (a *API) tooMany(wait time.Duration) *Refusal {
	no := a.protocol.Refusal(http.StatusTooManyRequests)
	no.RetryAfter = wait
	return no
}

// Serve checks the credentials of a free call, runs do, and records the call in the ledger: with result and code, or as
// refused. It returns the refusal, which the caller answers.
func (a *API) Serve(r *http.Request, result Result, code int, do func(e *Entry) *Refusal) *Refusal {
	e := Entry{Time: time.Now(), Profile: a.terms.Name, Path: r.URL.Path, Result: result, Code: code}
	var no *Refusal
	if e.Key, no = a.Authenticate(r); no == nil {
		no = do(&e)
	}
	if no != nil {
		e.Result, e.Code = ResultRefused, no.Code
	}
	a.server.record(e)
	return no
}

// Write answers with a JSON body.
func (a *API) Write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil { //nolint:gosec // JSON, for a test client.
		a.server.cfg.Logger.Debug("write answer", "error", err)
	}
}

// Find returns the job with an id, or nil.
func (a *API) Find(id string) *Job { return a.server.jobs.find(a.terms.Name, id) }

// Jobs returns every job of the API, newest first.
func (a *API) Jobs() []*Job { return a.server.jobs.list(a.terms.Name) }

// Forget removes a job from what Find and Jobs return, and reports whether it was there. The generation goes on.
func (a *API) Forget(j *Job) bool { return a.server.jobs.forget(j) }

// Cancel ends a job that is queued, and, with running, also one whose generation runs. Such a job fails with code 499. It
// reports whether the job had not ended yet.
func (a *API) Cancel(j *Job, running bool) bool {
	pending := j.cancel(running)
	a.server.news.changed()
	return pending
}

// QueueLength returns the number of queued jobs of a key.
func (a *API) QueueLength(key string) int { return a.server.jobs.queued(a.terms.Name, key, nil) }

// QueuePosition returns how many queued jobs of its key are older than a job. [Script].QueuePosition is added to it.
func (a *API) QueuePosition(j *Job) int {
	extra := max(j.Script.QueuePosition-int(j.positions.Add(1))+1, 0)
	return a.server.jobs.queued(a.terms.Name, j.Submission.Key, j) + extra
}

// URL returns the base URL of the API.
func (a *API) URL() string { return a.server.base + a.terms.Path }

// Server returns the address of the simulator.
func (a *API) Server() string { return a.server.base }

// Balance returns the credits of the account.
func (a *API) Balance() int { return a.server.purse.balance() }

// FreshLinks returns new links to the results of a job that succeeded, for an API with [Terms].FreshLinks.
func (a *API) FreshLinks(j *Job) []string { return a.server.links(j, j.Status().file) }

// Save stores the bytes of a reader, up to [Config].MaxFile; the error of a longer one is [ErrTooLarge].
func (a *API) Save(from io.Reader) (File, error) {
	path, err := save(a.server.dir, from, a.server.cfg.MaxFile)
	return File{path: path}, err
}

// Fetch downloads a file within a time.
func (a *API) Fetch(ctx context.Context, from string, limit time.Duration) (File, error) {
	path, err := a.server.studio.fetch(ctx, from, limit)
	return File{path: path}, err
}

// Join stores the bytes of several files, one after another, up to [Config].MaxFile.
func (a *API) Join(files []File) (File, error) {
	var all []io.Reader
	for _, f := range files {
		part, err := f.open()
		if err != nil {
			return File{}, err
		}
		defer part.Close()
		all = append(all, part)
	}
	return a.Save(io.MultiReader(all...))
}

// Host serves a file under "/files/" and a name, in place of an older one there, and returns its URL. The URL lives for
// ttl, or for [Terms].LinkTTL when that is 0. Without a media type the file is an MP4.
func (a *API) Host(name string, f File, mediaType string, ttl time.Duration) string {
	return a.server.host.put("/files/"+name, link{content: f, ttl: cmp.Or(ttl, a.terms.LinkTTL), mediaType: mediaType})
}

// FileURL returns the URL that [API.Host] returns for a name.
func (a *API) FileURL(name string) string {
	return a.server.host.base + (&url.URL{Path: "/files/" + name}).String()
}

// Record puts a call without credentials into the ledger.
func (a *API) Record(r *http.Request, result Result, code int) {
	a.server.record(Entry{Time: time.Now(), Profile: a.terms.Name, Path: r.URL.Path, Result: result, Code: code})
}

// Changed returns a channel that is closed when something changes, such as the state of a job.
func (a *API) Changed() <-chan struct{} { return a.server.news.next() }

// Renew returns a new URL, which lives for ttl, for one that the simulator gave out, with code 200. The code is 422 for
// the URL of another server, and 404 for one that is gone for good.
func (a *API) Renew(old string, ttl time.Duration) (fresh string, code int) {
	return a.server.host.renew(old, ttl)
}
