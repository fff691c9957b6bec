package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server is a running simulator. Its methods may be called concurrently.
type Server struct {
	cfg     Config
	base    string
	dir     string
	group   *group
	news    *notice
	jobs    *jobs
	host    *host
	studio  *studio
	courier *courier
	ledger  *ledger
	purse   *purse
	apis    []*API // In the order in which Start was called with their profiles.

	http      *http.Server
	conns     sync.WaitGroup
	served    chan struct{} // Closed when the listener is finished; serveErr is set before.
	serveErr  error
	closeOnce sync.Once
	closeErr  error
}

// Start listens and serves the APIs of the profiles until [Server.Close]. It refuses a configuration with words that it
// does not know.
func Start(cfg Config, profiles ...Profile) (*Server, error) {
	cfg = cfg.withDefaults()
	terms, err := validate(cfg, profiles)
	if err != nil {
		return nil, fmt.Errorf("configure simulator: %w", err)
	}
	book, err := openLedger(cfg.LedgerPath)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "refract-sim-")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make simulator folder: %w", err), book.close())
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", cfg.Addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", cfg.Addr, err), book.close(), os.RemoveAll(dir))
	}
	s := build(cfg, book, dir, listener.Addr())
	for i, p := range profiles {
		s.apis = append(s.apis, openAPI(s, p, terms[i]))
	}
	s.http.Handler = s.routes()
	s.group.spawn(func(context.Context) {
		defer close(s.served)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.serveErr = fmt.Errorf("serve simulator: %w", err)
		}
	})
	cfg.Logger.Info("simulator listens", "url", s.base)
	return s, nil
}

// validate checks a configuration and returns the terms of each profile.
func validate(cfg Config, profiles []Profile) ([]Terms, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	var all []Terms
	for _, p := range profiles {
		t, err := p.Terms()
		switch {
		case err != nil:
			return nil, err
		case slices.ContainsFunc(all, func(other Terms) bool { return other.Name == t.Name }):
			return nil, fmt.Errorf("two profiles have the name %q", t.Name)
		case t.SubmitLimit.N == 0 || t.QueryLimit.N == 0:
			return nil, errors.New("limit without a number: want a positive one, or a negative one for no limit")
		}
		all = append(all, t)
	}
	return all, nil
}

// build returns a server that has no API yet.
func build(cfg Config, book *ledger, dir string, addr net.Addr) *Server {
	base := strings.TrimSuffix(cfg.PublicURL, "/")
	if base == "" {
		base = "http://" + reachable(addr)
	}
	news := newNotice()
	s := &Server{
		cfg: cfg, base: base, dir: dir, group: newGroup(), news: news,
		jobs: newJobs(), host: newHost(cfg, dir, base, news), studio: newStudio(cfg, dir),
		courier: newCourier(news), ledger: book, purse: &purse{credits: cfg.Credits}, served: make(chan struct{}),
	}
	s.http = &http.Server{
		ConnState:         s.count,
		BaseContext:       func(net.Listener) context.Context { return s.group.ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// reachable returns an address that a client on this machine can dial, also when the listener takes every address.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
	}
	return addr.String()
}

// routes is everything that the simulator answers.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, a := range s.apis {
		a.protocol.Register(mux)
	}
	for _, prefix := range []string{"/results/", "/origins/", "/download/", "/files/", "/forged/"} {
		mux.Handle("GET "+prefix, s.host)
	}
	mux.HandleFunc("GET /clips/sample.mp4", serveClip(sampleClip))
	mux.HandleFunc("GET /clips/tiny.mp4", serveClip(tinyClip))
	s.registerInspection(mux)
	return mux
}

// count keeps the number of open connections. Every handler runs in the goroutine of its connection, so that waiting
// for the connections waits for the handlers too.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew: // Called within Serve, so never after it returned.
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	case http.StateActive, http.StateIdle:
	}
}

// URL returns the address of the simulator, below which every API and every file is.
func (s *Server) URL() string { return s.base }

// Profiles returns the names of the profiles, in the order in which [Start] was called with them.
func (s *Server) Profiles() []string {
	names := make([]string, 0, len(s.apis))
	for _, a := range s.apis {
		names = append(names, a.terms.Name)
	}
	return names
}

// BaseURL returns the base URL of a profile's API. For the name of no profile it is [Server.URL].
func (s *Server) BaseURL(profile string) string {
	if a := s.api(profile); a != nil {
		return s.base + a.terms.Path
	}
	return s.base
}

// api returns the API of a profile, or nil.
func (s *Server) api(profile string) *API {
	for _, a := range s.apis {
		if a.terms.Name == profile {
			return a
		}
	}
	return nil
}

// Ledger returns every POST, PUT and DELETE that reached the simulator, oldest first.
func (s *Server) Ledger() []Entry { return s.ledger.list() }

// Deliveries returns every try of every callback, oldest first.
func (s *Server) Deliveries() []Delivery { return s.courier.deliveries() }

// Delivering returns how many callbacks are being delivered now. The wait between two tries counts.
func (s *Server) Delivering() int { return int(s.courier.underway.Load()) }

// Downloads returns every request for a hosted file, oldest first.
func (s *Server) Downloads() []Download { return s.host.visits() }

// Ended returns when the generation of a task of a profile ended, or zero while it runs.
func (s *Server) Ended(profile, taskID string) time.Time {
	if j := s.jobs.find(profile, taskID); j != nil {
		return j.Status().Ended
	}
	return time.Time{}
}

// Credits returns the balance of the account.
func (s *Server) Credits() int { return s.purse.balance() }

// SetCredits replaces the balance of the account, as a top-up does.
func (s *Server) SetCredits(credits int) { s.purse.set(credits) }

// SetMaintenance makes a profile refuse every call of its API for d from now, with [Terms].MaintenanceCode; 0 ends that.
// Generations and callbacks go on, and files are served.
func (s *Server) SetMaintenance(profile string, d time.Duration) {
	if a := s.api(profile); a != nil {
		a.maintain(d)
	}
}

// Limits is the load that the simulator saw, by profile and API key.
type Limits struct {
	Submissions []Usage       `json:"submissions"`
	Queries     []Usage       `json:"queries"`
	Concurrency []Concurrency `json:"concurrency"`
	// InFlight is the number of generations that run now, PeakInFlight the largest number ever.
	InFlight     int `json:"in_flight"`
	PeakInFlight int `json:"peak_in_flight"`
}

// Limits returns the load per profile and API key, and the generations in flight.
func (s *Server) Limits() Limits {
	l := Limits{Submissions: []Usage{}, Queries: []Usage{}, Concurrency: []Concurrency{}}
	l.InFlight, l.PeakInFlight = s.jobs.inFlight()
	for _, a := range s.apis {
		l.Submissions = append(l.Submissions, a.submits.report()...)
		l.Queries = append(l.Queries, a.queries.report()...)
		l.Concurrency = append(l.Concurrency, a.slots.report()...)
	}
	return l
}

// Await returns when cond is true. It asks again whenever the ledger, a query, a delivery, a download or a task changed,
// and returns the error of ctx when that ends first.
func (s *Server) Await(ctx context.Context, cond func() bool) error {
	for {
		next := s.news.next()
		if cond() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("await simulator: %w", ctx.Err())
		}
	}
}

// Run waits until ctx ends or the listener breaks, then closes the simulator.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-s.served:
	}
	return s.Close()
}

// Close stops every generation, callback and request, waits for them, and removes all files. Callbacks that were not
// delivered are lost, as in a crash of the provider. Closing twice is safe.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.group.stop()
		err := s.http.Close()
		<-s.served
		// NOTE: a connection that was accepted during the first Close is only closed by the second.
		err = errors.Join(err, s.http.Close())
		s.conns.Wait()
		s.group.wait()
		s.courier.client.CloseIdleConnections()
		s.studio.client.CloseIdleConnections()
		s.closeErr = errors.Join(s.serveErr, err, s.ledger.close(), os.RemoveAll(s.dir))
	})
	return s.closeErr
}

// record puts a POST into the ledger.
func (s *Server) record(e Entry) {
	if err := s.ledger.add(e); err != nil {
		s.cfg.Logger.Error("write ledger", "error", err)
	}
	s.news.changed()
}
