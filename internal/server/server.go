package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"github.com/refract-video/refract/gen/openapi"
	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/connlimit"
	"github.com/refract-video/refract/internal/dispatch"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/queue"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/storage"
	"github.com/refract-video/refract/internal/task"
	"github.com/refract-video/refract/internal/upstream"
	"github.com/refract-video/refract/internal/watch"
)

// BookmarkInterval is how long a stream may be silent before it carries a bookmark. Callers are promised one within 15 seconds.
const BookmarkInterval = 14 * time.Second

// Server is the whole process, built and ready to run.
type Server struct {
	log       *slog.Logger
	lines     *outageLines // About the database.
	unstored  *outageLines // About the storage.
	stateLog  *slog.Logger // For changes of the state of either; it holds no line back.
	serving   serving
	telemetry *telemetry
	cluster   *pglocal.Cluster // Nil with a database of the operator's.
	pool      *pgxpool.Pool
	clock     *postgres.Clock
	store     *postgres.Store
	bucket    *media.Bucket
	storage   *storage.Watcher
	statuses  *api.Statuses
	keyring   *api.Keyring // Nil without authentication.
	outputs   *outputs
	fetcher   *http.Client // For results.
	prober    *http.Client // For sources of tenants, whom --fetch-allow opens nothing.
	accounts  provider.Accounts
	route     []string
	hub       *watch.Hub
	notifier  *postgres.Notifier
	uploads   *source.Uploads
	links     *source.Links // Nil where sources are not public.
	saver     *output.Saver
	preparer  *dispatch.Preparer
	retainer  *retention.Retainer
	jobs      *queue.Queue
	queue     *river.Client[pgx.Tx]
	loops     []*admission.Loop
	checkers  []*dispatch.Checker
	verbs     *lifecycle.Lifecycle

	grpc    *grpc.Server
	health  *health.Server
	inner   *grpc.Server      // For REST.
	local   *bufconn.Listener // How REST reaches it.
	conn    *grpc.ClientConn
	http    *http.Server
	ingress *http.Server

	grpcListener, httpListener, ingressListener net.Listener
}

// New builds the process from the inside out. What it opened is closed again when it fails.
func New(ctx context.Context, f Config, log *slog.Logger) (_ *Server, err error) {
	log = slog.New(redact.NewHandler(log.Handler(), f.secrets()...))
	lines := newOutageLog(log.Handler(), aboutDatabase)
	unstored := newOutageLog(lines, aboutStorage)
	stateLog := log
	log = slog.New(unstored)
	s := &Server{
		log: log, lines: lines.outageLines, unstored: unstored.outageLines, stateLog: stateLog,
		statuses: &api.Statuses{Unavailable: postgres.Unavailable, Log: log},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	if err := f.checkListeners(); err != nil { // Before anything else is touched.
		return nil, err
	}
	logTelemetry(log)
	if s.telemetry, err = startTelemetry(ctx); err != nil {
		return nil, err
	}
	if f.private() {
		ctx = postgres.WithoutTimeouts(ctx)
	}
	if err := s.openStores(ctx, f); err != nil {
		return nil, err
	}
	if err := s.listen(f); err != nil {
		return nil, err
	}
	tokens, err := s.openTokens(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := s.openOutputs(ctx, f); err != nil {
		return nil, err
	}
	if err := s.openProviders(ctx, f); err != nil {
		return nil, err
	}
	if err := s.tellForgetful(ctx); err != nil {
		return nil, err
	}
	verbs, err := s.openRooms(ctx, f, tokens)
	if err != nil {
		return nil, err
	}
	resume, err := s.ownKey(ctx, "resume_token_key")
	if err != nil {
		return nil, err
	}
	if f.Auth != "none" {
		s.keyring = api.NewKeyring(s.store)
		if err := s.keyring.Load(ctx); err != nil {
			return nil, fmt.Errorf("read the API tokens: %w", err)
		}
	}
	return s, s.openSurfaces(f, verbs, tokens, watch.NewTokens(resume)) //nolint:contextcheck // Surfaces get a context with each call.
}

// listen opens the listeners, after what may take long: a client of a replica that still starts is refused by the system, and
// connects again, where it would wait for an answer otherwise.
func (s *Server) listen(f Config) (err error) {
	internal, public := connections(openFiles())
	callers := func(l net.Listener) net.Listener { return connlimit.NewBusy(l, internal) } // gRPC says nothing of its connections.
	if s.grpcListener, err = f.GRPC.listen(f.GRPCClientCA, callers); err != nil {
		return err
	}
	if s.httpListener, err = f.HTTP.listen("", func(l net.Listener) net.Listener { return connlimit.New(l, internal) }); err != nil {
		return err
	}
	s.ingressListener, err = f.Ingress.listen("", func(l net.Listener) net.Listener { return connlimit.New(l, public) })
	return err
}

// openStores opens the database, brings or holds it to this release's schema, and opens the bucket.
func (s *Server) openStores(ctx context.Context, f Config) (err error) {
	dataDir := f.DataDir
	if dataDir == "" && (f.private() || f.Bucket == "") {
		if dataDir, err = defaultDataDir(); err != nil {
			return err
		}
	}
	if f.private() {
		err = s.startDatabase(ctx, filepath.Join(dataDir, "postgres"), cmp.Or(f.StartLog, s.log))
	} else {
		err = s.openDatabase(ctx, f)
	}
	if err != nil {
		return err
	}
	if s.clock, err = postgres.NewClock(ctx, s.pool, s.log); err != nil {
		return err
	}
	if s.store, err = postgres.NewStore(s.pool, s.log); err != nil {
		return err
	}
	s.store.UseClock(s.clock)
	s.store.Keep(f.Keep())
	bucketURL := f.Bucket
	if bucketURL == "" {
		bucketURL = (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(dataDir, "bucket"))}).String()
	}
	return s.openBucket(ctx, bucketURL)
}

// openBucket opens the bucket. Every failure of it is counted, and makes it be probed at once.
func (s *Server) openBucket(ctx context.Context, bucketURL string) error {
	failures, err := s.telemetry.meter.Int64Counter("refract_storage_failures",
		metric.WithDescription("Failures of the storage of files, by operation: put, open, read, delete, list, sign and sweep."))
	if err != nil {
		return fmt.Errorf("make the counter of storage failures: %w", err)
	}
	s.bucket, err = media.OpenObservedBucket(ctx, bucketURL, func(ctx context.Context, e *media.StorageError) {
		failures.Add(ctx, 1, metric.WithAttributes(attribute.String("operation", e.Op)))
		if e.Probe {
			return
		}
		// What runs comes after watchStorage. NOTE: the end of a caller's time proves nothing: with short deadlines anybody could
		// keep admission paused. So it is with what is read.
		if e.Op == "put" && ctx.Err() == nil {
			s.storage.Failed(e.Bytes)
		} else {
			s.storage.Look()
		}
	})
	return err
}

// watchStorage makes what watches the bucket. A replica has the name there that it has at the job queue.
func (s *Server) watchStorage() error {
	s.storage = storage.NewWatcher(storage.Config{Probe: s.bucket.Probe, Records: s.store, Replica: s.queue.ID(), Changed: s.setStorable})
	_, err := s.telemetry.meter.Int64ObservableGauge("refract_storage_up",
		metric.WithDescription("Whether this replica can store results, as its last probe found: 1, or 0."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if working, known := s.storage.Probed(); known {
				o.Observe(map[bool]int64{true: 1}[working])
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of the storage: %w", err)
	}
	return nil
}

// startDatabase starts the private PostgreSQL, opens it and brings it to this release's schema. That takes as long as it
// takes: a timeout would show only that the machine is slow, and the log says what a slow start waits for.
func (s *Server) startDatabase(ctx context.Context, dir string, log *slog.Logger) (err error) {
	log.InfoContext(ctx, "starting the private PostgreSQL", "folder", dir)
	if s.cluster, err = pglocal.Start(ctx, pglocal.Config{DataDir: dir, Logger: log}); err != nil {
		return fmt.Errorf("start the private PostgreSQL (or pass --database-url): %w", err)
	}
	w := pglocal.NewWaiting(ctx, log)
	defer w.Stop()
	w.Step("connecting")
	if s.pool, err = postgres.Open(ctx, s.cluster.URL()); err != nil {
		return err
	}
	w.Step("migrating the schema")
	return postgres.Migrate(ctx, s.pool)
}

// openDatabase opens the operator's database, and brings or holds it to this release's schema.
func (s *Server) openDatabase(ctx context.Context, f Config) (err error) {
	if s.pool, err = postgres.Open(ctx, f.DatabaseURL.Reveal()); err != nil {
		return err
	}
	if f.Migrate {
		return postgres.Migrate(ctx, s.pool)
	}
	return postgres.CheckSchema(ctx, s.pool)
}

// tellForgetful tells of a database that does not keep what it has committed.
func (s *Server) tellForgetful(ctx context.Context) error {
	settings, err := s.store.Forgetful(ctx)
	if len(settings) > 0 {
		s.log.ErrorContext(ctx, "the database may forget in a crash what it has committed, and then something may be paid for twice", "off", settings)
	}
	return err
}

// openTokens makes what signs our URLs, under the operator's keys or the database's: the tokens of callback URLs, which it
// returns, and the links to sources.
func (s *Server) openTokens(ctx context.Context, f Config) (*callback.Tokens, error) {
	keys := make([][]byte, len(f.CallbackKeys))
	for i, k := range f.CallbackKeys {
		keys[i] = []byte(k.Reveal())
	}
	if len(keys) == 0 {
		key, err := s.ownKey(ctx, "callback_token_key")
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if f.PublicSources {
		var err error
		if s.links, err = source.NewLinks(keys...); err != nil {
			return nil, err
		}
	}
	return callback.NewTokens(keys...)
}

// ownKey returns a key that the service made for itself, the same for all replicas.
func (s *Server) ownKey(ctx context.Context, name string) ([]byte, error) {
	proposal := make([]byte, 32)
	_, _ = rand.Read(proposal) // It never fails: a system without randomness ends the process.
	return s.store.Secret(ctx, name, proposal)
}

// openOutputs makes what hands out the files of tasks.
func (s *Server) openOutputs(ctx context.Context, f Config) error {
	key, err := s.ownKey(ctx, "output_link_key")
	if err != nil {
		return err
	}
	links, err := media.NewLinks(key)
	if err != nil {
		return err
	}
	baseURL := f.BaseURL
	if u, err := url.Parse(baseURL); err == nil && u.User != nil {
		s.log.WarnContext(ctx, "the user and the password of --base-url are left out of links, which everyone may read")
		u.User = nil
		baseURL = u.String()
	}
	if baseURL == "" {
		baseURL = f.HTTP.scheme() + "://" + s.httpListener.Addr().String()
	}
	s.outputs = &outputs{store: s.store, bucket: s.bucket, statuses: s.statuses, links: links, baseURL: strings.TrimSuffix(baseURL, "/"), log: s.log}
	return nil
}

// openProviders makes the adapters of all accounts.
func (s *Server) openProviders(ctx context.Context, f Config) (err error) {
	if s.accounts, s.route, err = f.Accounts(); err != nil {
		return err
	}
	rows := make(map[string]string, len(s.accounts))
	for account, p := range s.accounts {
		rows[account] = p.Name()
	}
	if err := s.store.PrepareAccounts(ctx, rows); err != nil {
		return err
	}
	strays, err := s.store.Strays(ctx, s.accounts.Names())
	for _, stray := range strays {
		s.log.ErrorContext(ctx, "attempts of an account that is not configured are not followed; configure it until they have ended",
			"account", stray.Account, "attempts", stray.Attempts)
	}
	return err
}

// openRooms makes what decides and works, and tells each about the changes it waits for.
func (s *Server) openRooms(ctx context.Context, f Config, tokens *callback.Tokens) (*lifecycle.Lifecycle, error) {
	providers, err := s.store.Providers(ctx) // Tasks of one that lost its accounts may move on.
	if err != nil {
		return nil, err
	}
	s.hub = watch.NewHub(s.store, watch.Config{Bookmark: BookmarkInterval, Logger: s.log, Readable: s.setReadable})
	s.notifier = s.store.Notifier()
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: s.store, Accounts: s.accounts, Route: s.route, Meter: s.telemetry.meter, Now: s.clock.Now, Changed: s.changed,
		CheckSource: func(uri string) error { return media.CheckURI(uri, f.AllowPrivate) },
	})
	if err != nil {
		return nil, err
	}
	s.uploads = &source.Uploads{Store: s.store, Bucket: s.bucket, MaxBytes: s.accounts.MaxSourceBytes(), Stall: f.Tuning.Stall}
	allowed, err := media.ParseAllowed(f.FetchAllow)
	if err != nil {
		return nil, fmt.Errorf("--fetch-allow: %w", err)
	}
	guard := media.Guard{AllowPrivate: f.AllowPrivate, Patience: f.Tuning.Patience, Resolver: f.Tuning.Resolver, Roots: f.Tuning.Roots}
	s.prober = media.NewClient(guard)
	if f.Tuning.WrapProber != nil {
		s.prober.Transport = f.Tuning.WrapProber(s.prober.Transport)
	}
	guard.Allow = allowed
	s.fetcher = media.NewClient(guard)
	if err := s.openWork(f, verbs, tokens); err != nil {
		return nil, err
	}
	s.notifier.Replica = s.queue.ID()
	if err := s.watchStorage(); err != nil {
		return nil, err
	}
	for _, name := range providers {
		s.loops = append(s.loops, admission.NewLoop(func(ctx context.Context) (int, error) {
			if !s.storage.Working() {
				return 0, nil // NOTE: what could not be saved is not paid for.
			}
			return verbs.Admit(ctx, name, admission.Policy)
		}, s.log))
	}
	s.verbs = verbs
	return verbs, nil
}

// openWork makes what works in the background, and the job queue that hands it jobs.
func (s *Server) openWork(f Config, verbs *lifecycle.Lifecycle, tokens *callback.Tokens) error {
	accounts, err := upstream.New(s.accounts, s.store, s.telemetry.meter)
	if err != nil {
		return err
	}
	callbackURL := s.callbackBase(f)
	submitter, preparer := dispatch.New(dispatch.Config{
		Lifecycle: verbs, Tasks: s.store, Accounts: accounts, Sources: s.sourcePreparer(f), Preparations: s.store, Patience: f.Tuning.Sources,
		CallbackURL: func(account string, id task.AttemptID) (string, error) {
			token, err := tokens.Make(account, id)
			return callbackURL + "/v1/callbacks/" + account + "/" + token, err
		},
		Now: s.clock.Now, Log: s.log,
	})
	s.preparer, s.checkers = preparer, dispatch.NewCheckers(accounts, verbs, s.log)
	s.saver, err = output.New(output.Config{
		Lifecycle: verbs, Tasks: s.store, Troubles: s.store, Accounts: accounts, Patience: f.Tuning.Save,
		Media: &media.Saver{Client: s.fetcher, Bucket: s.bucket, MaxBytes: f.Tuning.MaxBytes, Pause: f.Tuning.Pause},
		Now:   s.clock.Now, Meter: s.telemetry.meter, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.retainer = &retention.Retainer{
		Store: s.store, Bucket: s.bucket, Log: s.log, Batches: retention.Batches, Pause: retention.Pause, SweepOrphans: f.SweepOrphans,
	}
	if err := s.retainer.Count(s.telemetry.meter); err != nil {
		return err
	}
	s.jobs = queue.New(queue.Config{Kinds: []queue.Kind{submitter.Kind(), s.saver.Kind()}, Now: s.clock.Now, Log: s.log})
	if s.queue, err = river.NewClient(riverpgxv5.New(s.pool), s.jobs.River()); err != nil {
		return fmt.Errorf("prepare the job queue: %w", err)
	}
	return nil
}

// sourcePreparer makes what looks at sources and hands them to providers.
func (s *Server) sourcePreparer(f Config) *source.Preparer {
	p := &source.Preparer{
		Store: s.store, Bucket: s.bucket, Log: s.log,
		CheckURI: func(uri string) error { return media.CheckURI(uri, f.AllowPrivate) },
	}
	if f.Probe != "off" {
		p.Probe = (&media.Prober{Client: s.prober, Timeout: f.Tuning.Look}).Probe
	}
	if s.links != nil {
		base := s.callbackBase(f)
		p.Link = func(id task.SourceID, expiry time.Time) (string, error) {
			token, err := s.links.Make(id, expiry)
			return base + "/v1/sources/" + token, err
		}
	}
	return p
}

// changed tells of a task that changed here. Nothing in it blocks.
func (s *Server) changed(id task.ID, state task.State) {
	s.hub.Wake(id)
	s.notifier.Add(id)
	if state == task.Running { // A callback may have brought its check forward.
		for _, c := range s.checkers {
			c.Nudge()
		}
		return
	}
	s.nudge() // It waits for a permit, or gave one back.
}

// nudge says that there may be something to admit. It does not block.
func (s *Server) nudge() {
	for _, l := range s.loops {
		l.Nudge()
	}
}

// callbackBase is the address that providers call, without a slash at its end.
func (s *Server) callbackBase(f Config) string {
	if f.CallbackURL != "" {
		return strings.TrimSuffix(f.CallbackURL, "/")
	}
	return f.Ingress.scheme() + "://" + s.ingressListener.Addr().String()
}

// openSurfaces makes the gRPC server, the HTTP server that reaches one of its own through memory, and the ingress, which needs
// none.
func (s *Server) openSurfaces(f Config, verbs *lifecycle.Lifecycle, tokens *callback.Tokens, resume watch.Tokens) error {
	receiver, err := callback.NewReceiver(callback.Config{
		Tokens: tokens, Accounts: s.accounts, Settler: verbs, Now: s.clock.Now, Meter: s.telemetry.meter, Log: s.log,
	})
	if err != nil {
		return err
	}
	typical := make(map[string]time.Duration, len(s.accounts))
	for _, p := range s.accounts {
		typical[p.Name()] = p.Capabilities().TypicalDuration
	}
	authenticate := api.As(f.tenant())
	if s.keyring != nil {
		authenticate = s.keyring.Authenticate
	}
	callbacks := api.NewCallbackService(receiver)
	cfg := api.Config{
		Tasks: api.NewTaskService(api.TaskServiceConfig{
			Lifecycle: verbs, Tasks: s.store, Hub: s.hub, Tokens: resume, Uploads: s.uploads, Typical: typical,
			SignOutput: s.outputs.sign, Statuses: s.statuses, BaseURL: s.outputs.baseURL,
		}),
		Operators: api.NewOperatorService(api.OperatorServiceConfig{
			Lifecycle: verbs, Store: s.store, Accounts: s.accounts, Admit: s.nudge, Log: s.log,
		}),
		Callbacks: callbacks, Authenticate: authenticate, Large: api.NewLargeCalls(), Statuses: s.statuses,
		Meters: s.telemetry.meters, Log: s.log,
	}
	s.grpc, s.health = api.NewServer(cfg)
	s.inner = api.NewInProcessServer(cfg)
	s.local = bufconn.Listen(1 << 20)
	s.conn, err = grpc.NewClient("passthrough:///local",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.local.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(api.MaxInProcess), grpc.MaxCallSendMsgSize(api.MaxInProcess)))
	if err != nil {
		return fmt.Errorf("connect REST to gRPC: %w", err)
	}
	if err := s.openHTTP(f, authenticate); err != nil {
		return err
	}
	s.openIngress(receiver, api.NewInProcessCallbacks(callbacks, s.statuses, s.log))
	return s.observeQueues()
}

// openHTTP makes the server of REST.
func (s *Server) openHTTP(f Config, authenticate api.Authenticate) error {
	description, err := openapi.JSON()
	if err != nil {
		return err
	}
	cfg := httpapi.InternalConfig{
		Conn: s.conn, Outputs: s.outputs, OpenAPI: description, Open: f.Auth == "none", BaseURL: f.BaseURL,
		Ready: s.ready, Metrics: s.telemetry.metrics, Log: s.log,
	}
	if !cfg.Open {
		cfg.Authenticate = func(ctx context.Context, authorization string) error {
			_, err := authenticate(ctx, authorization)
			return s.statuses.Convert(ctx, "http", err)
		}
		cfg.Bind = func(ctx context.Context, authorization string) (context.Context, func(), error) {
			id, err := authenticate(ctx, authorization)
			if err != nil {
				return nil, nil, s.statuses.Convert(ctx, "http", err)
			}
			live, stop := id.Bind(ctx)
			return live, stop, nil
		}
	}
	s.http = httpapi.NewServer(httpapi.NewInternal(cfg), s.log)
	return nil
}

// openIngress makes the server that providers reach.
func (s *Server) openIngress(receiver *callback.Receiver, callbacks httpapi.Callbacks) {
	cfg := httpapi.IngressConfig{Callbacks: callbacks, MaxBody: callback.MaxBody, OnOversized: receiver.CountOversized, Log: s.log}
	if s.links != nil {
		cfg.Sources = &sources{store: s.store, bucket: s.bucket, statuses: s.statuses, links: s.links}
	}
	s.ingress = httpapi.NewPublicServer(httpapi.NewIngress(cfg), s.log)
}

// serving is what keeps a replica from serving. The zero value is nothing.
type serving struct {
	mu         sync.Mutex
	unreadable bool
	faults     map[postgres.Fault]bool // Those of the database that go on.
	storable   bool                    // Whether results can be stored.
}

// setReadable takes in whether the log of events can be read.
func (s *Server) setReadable(readable bool) {
	s.serving.mu.Lock()
	defer s.serving.mu.Unlock()
	s.serving.unreadable = !readable
	s.setHealth()
}

// What the log says when a fault of the database begins, and when it is over.
const (
	LogWritesRefused      = "the database takes no writes; the replica is not ready, and drops its connections"
	LogWritesTaken        = "the database takes writes again"
	LogConnectionsRefused = "no connection to the database can be made; calls that need one end with UNAVAILABLE"
	LogConnectionsMade    = "connections to the database can be made again"
)

// observeDatabase makes the failures of the database a metric, and its faults lines in the log.
func (s *Server) observeDatabase() error {
	failures, err := s.telemetry.meter.Int64Counter("refract_database_failures",
		metric.WithDescription("Statements and connects that failed for the database, by cause: an SQLSTATE, connection or timeout."))
	if err != nil {
		return fmt.Errorf("make the counter of database failures: %w", err)
	}
	postgres.StateOf(s.pool).Notify(s.databaseChanged, func(cause string) {
		failures.Add(context.Background(), 1, metric.WithAttributes(attribute.String("cause", cause)))
	})
	return nil
}

// databaseChanged takes in a fault of the database, another cause of it, or its end.
func (s *Server) databaseChanged(c postgres.Change) {
	s.serving.mu.Lock()
	defer s.serving.mu.Unlock()
	if s.serving.faults == nil {
		s.serving.faults = map[postgres.Fault]bool{}
	}
	if c.Over {
		delete(s.serving.faults, c.Fault)
	} else {
		s.serving.faults[c.Fault] = true
		s.lines.begin()
	}
	s.setHealth()
	var held int
	if len(s.serving.faults) == 0 {
		held = s.lines.end()
	}
	ctx := context.Background()
	end := []any{"after", c.After, "failures", c.Failures, "lines_held_back", held}
	switch {
	case c.Fault == postgres.NoWrites && c.Over:
		s.stateLog.InfoContext(ctx, LogWritesTaken, end...)
	case c.Fault == postgres.NoWrites:
		s.stateLog.ErrorContext(ctx, LogWritesRefused, "error", c.Cause)
	case c.Over:
		s.stateLog.InfoContext(ctx, LogConnectionsMade, end...)
	default:
		s.stateLog.ErrorContext(ctx, LogConnectionsRefused, "error", c.Cause)
	}
}

// setStorable takes in that results can be stored, or not, or not for another cause.
func (s *Server) setStorable(c storage.Change) {
	s.serving.mu.Lock()
	defer s.serving.mu.Unlock()
	s.serving.storable = c.Working
	s.setHealth()
	ctx := context.Background()
	if !c.Working {
		s.unstored.begin()
		s.stateLog.ErrorContext(ctx, "results can't be stored; the replica is not ready, and admits no task until they can",
			"bucket", s.bucket.String(), "cause", "the storage "+c.Cause, "error", c.Err)
		return
	}
	held := s.unstored.end()
	if c.Failures > 0 {
		s.stateLog.InfoContext(ctx, "results can be stored again", "bucket", s.bucket.String(), "after", c.After, "failed_probes", c.Failures, "lines_held_back", held)
	}
	s.nudge()
}

// setHealth sets the gRPC health of the replica. After the start of a drain it changes nothing.
func (s *Server) setHealth() {
	state := grpc_health_v1.HealthCheckResponse_SERVING
	if s.serving.unreadable || s.serving.faults[postgres.NoWrites] || !s.serving.storable {
		state = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus("", state)
}

// What keeps a replica from being ready, apart from the database itself.
var (
	errNotServing = errors.New("not serving") // The gRPC health is not SERVING.
	errUnstorable = fmt.Errorf("results can't be stored: %w", media.ErrStorage)
)

// ready tells whether this replica can serve.
func (s *Server) ready(ctx context.Context) error {
	if resp, err := s.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil || resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		if working, known := s.storage.Probed(); known && !working {
			return errUnstorable
		}
		return errNotServing
	}
	return s.store.Ping(ctx)
}

// observeQueues makes the depth of each provider's queue a metric.
func (s *Server) observeQueues() error {
	_, err := s.telemetry.meter.Int64ObservableGauge("refract_queue_depth",
		metric.WithDescription("Tasks that wait for admission, by provider, counted up to 100,000."),
		metric.WithInt64Callback(func(ctx context.Context, o metric.Int64Observer) error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			for _, name := range s.accounts.Providers() {
				n, err := s.store.QueueDepth(ctx, name)
				if err != nil {
					return err
				}
				o.Observe(n, metric.WithAttributes(attribute.String("provider", name)))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the queue metric: %w", err)
	}
	return nil
}

// defaultDataDir is where data goes that no setting places: for root a system folder, since the private
// PostgreSQL runs as another user, who can't enter root's home.
func defaultDataDir() (string, error) {
	dir, err := pglocal.DefaultDataDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for data (or pass --data-dir): %w", err)
	}
	dir = filepath.Dir(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // The PostgreSQL of another user lies below.
		return "", fmt.Errorf("make the data folder (or pass --data-dir): %w", err)
	}
	return dir, nil
}
