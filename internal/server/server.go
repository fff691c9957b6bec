package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/dispatch"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/queue"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/storage"
	"github.com/refract-video/refract/internal/upstream"
	"github.com/refract-video/refract/internal/watch"
)

// BookmarkInterval is the time without a message after which a stream sends a bookmark. The contract promises one within 15
// seconds.
const BookmarkInterval = 14 * time.Second

// Server is the whole process, built and ready to run.
type Server struct {
	log      *slog.Logger
	ready    *readiness
	state    *dbpool.State
	failed   func(cause string) // Counts a failure of the database.
	models   *models
	queue    *queue.Queue
	hub      *watch.Hub
	uploads  *source.Uploads
	saver    *output.Saver
	surfaces *surfaces

	working   []part // Run until the replica drains.
	listening []part // Run until the last stream has ended.
	closers   []part // Release what New opened, the last first.
}

// part is a part of the process that runs until its context ends.
type part func(context.Context) error

// New builds the process from the inside out. If it fails, it closes everything that it has opened.
func New(ctx context.Context, f Config, log *slog.Logger) (_ *Server, err error) {
	logs := newLogs(slog.New(redact.NewHandler(log.Handler(), f.secrets()...)))
	log = logs.Logger
	s := &Server{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	if err = f.checkListeners(); err != nil { // This comes before any other effect.
		return nil, err
	}
	bucketURL, err := f.bucketURL()
	if err != nil {
		return nil, err
	}
	telemetry, err := startTelemetry(ctx, log)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, telemetry.stop)
	meter := telemetry.meter
	if f.private() {
		ctx = dbpool.WithoutTimeouts(ctx)
	}

	// The foundation: the database, the provider accounts, the bucket, the addresses.
	replicaName := queue.NewReplicaName()
	db, err := openDatabase(ctx, f, replicaName, log)
	s.closers = append(s.closers, db.close)
	if err != nil {
		return nil, err
	}
	s.state = dbpool.StateOf(db.pool)
	stores, now := db.stores, db.clock.Now
	accounts, err := openAccounts(ctx, f, db, log)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, accounts.close)
	signals := newSignals(accounts.providers, accounts.Accounts)
	s.ready = newReadiness(logs, redact.URL(bucketURL), db.ping, signals.admit)
	storageWatcher := storage.NewWatcher(storage.Config{Records: stores.Storage, Replica: replicaName, Changed: s.ready.setStorable})
	bucket, err := openBucket(ctx, bucketURL, storageWatcher, meter)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func(context.Context) error { return bucket.Close() })
	listeners, err := listen(f)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func(context.Context) error { listeners.close(); return nil })
	addresses, err := newAddresses(ctx, f, db, listeners, log)
	if err != nil {
		return nil, err
	}
	clients, err := newClients(f)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, clients.close)
	if err = db.warnUnsafe(ctx, log); err != nil {
		return nil, err
	}

	// The lifecycle, and the signals after its changes.
	s.hub = watch.NewHub(stores.Log, watch.Config{Bookmark: BookmarkInterval, Logger: log, Readable: s.ready.setReadable})
	if s.models, err = openModels(ctx, f, accounts.Accounts, now(), log); err != nil {
		return nil, err
	}
	checkURI := func(uri string) error { return media.CheckURI(uri, f.AllowPrivate) }
	verbs, err := lifecycle.New(lifecycle.Config{
		Store: stores.Tasks, Inbox: stores.Inbox, Saves: stores.Storage, Sources: stores.Sources, Accounts: accounts.Accounts, Catalog: s.models.catalog, Route: accounts.route, Meter: meter, Now: now,
		Changed: signals.changed(s.hub, db.notifier), CheckSource: checkURI,
	})
	if err != nil {
		return nil, err
	}

	// Background work: jobs of the queue, and loops.
	upstreams, err := upstream.New(accounts.Accounts, stores.Accounts, meter)
	if err != nil {
		return nil, err
	}
	preparer := source.NewPreparer(source.PreparerConfig{
		Store: stores.Preparations, Verbs: verbs, Accounts: sourceAccounts(upstreams), Timing: f.Tuning.Sources, Log: log,
		Resolver: &source.Resolver{Store: stores.Sources, Bucket: bucket, Catalog: s.models.catalog, Log: log, CheckURI: checkURI, Probe: clients.probe(f), Link: addresses.sourceLinks()},
	})
	submitter := dispatch.New(dispatch.Config{
		Lifecycle: verbs, Tasks: stores.Tasks, Accounts: upstreams, Catalog: s.models.catalog, Sources: preparer,
		CallbackURL: addresses.callback, Now: now, Log: log,
	})
	s.saver, err = output.New(output.Config{
		Lifecycle: verbs, Tasks: stores.Tasks, Troubles: stores.Storage, Accounts: upstreams, Patience: f.Tuning.Save,
		Media: &media.Saver{Client: clients.results, Bucket: bucket, MaxBytes: f.Tuning.MaxBytes, Pause: f.Tuning.Pause},
		Now:   now, Meter: meter, Log: log,
	})
	if err != nil {
		return nil, err
	}
	s.queue, err = queue.New(queue.Config{Pool: db.pool, Replica: replicaName, Kinds: []queue.Kind{submitter.Kind(), s.saver.Kind()}, Now: now, Log: log})
	if err != nil {
		return nil, err
	}
	retainer := &retention.Retainer{
		Store: stores.Retention, Bucket: bucket, Log: log, Batches: retention.Batches, Pause: retention.Pause, SweepOrphans: f.SweepOrphans,
	}
	if err = retainer.Count(meter); err != nil {
		return nil, err
	}
	listener := replica.Listener{Pool: db.pool, Log: log, Replica: replicaName, Wake: s.hub.Wake, WakeAll: s.hub.WakeAll}
	rescuer := replica.JobRescuer{Pool: db.pool, Log: log, Replica: replicaName, Working: s.queue.Working, Timeouts: s.queue.Timeouts()}
	for _, name := range accounts.providers {
		admissions := &dispatch.AdmissionLoop{Provider: name, Verbs: verbs, Storage: storageWatcher, Wake: signals.admissions[name], Log: log}
		s.working = append(s.working, admissions.Run)
	}
	for account, u := range upstreams {
		s.working = append(s.working, dispatch.NewChecker(u, verbs, signals.checks[account], log).Run)
	}
	s.working = append(s.working,
		func(ctx context.Context) error { return storageWatcher.Run(ctx, bucket.Probe) },
		func(ctx context.Context) error { return dispatch.RunExpiry(ctx, verbs, log) },
		preparer.Run, s.saver.RunSweep, retainer.Run, rescuer.Run)
	if db.cluster != nil {
		s.working = append(s.working, db.cluster.Wait)
	}
	s.listening = append(s.listening, s.hub.Run, db.notifier.Run, listener.Run, db.clock.Run)

	// The services for callers and providers.
	statuses := &api.Statuses{Unavailable: dbpool.Unavailable, Log: log}
	authenticate := api.As(f.tenant())
	if f.Auth != "none" {
		keyring := api.NewKeyring(stores.APITokens)
		if err = keyring.Load(ctx); err != nil {
			return nil, fmt.Errorf("read the API tokens: %w", err)
		}
		authenticate = keyring.Authenticate
		s.listening = append(s.listening, keyring.Run)
	}
	receiver, err := callback.NewReceiver(callback.Config{
		Tokens: addresses.callbacks, Accounts: accounts.Accounts, Settler: verbs, Now: now, Meter: meter, Log: log,
	})
	if err != nil {
		return nil, err
	}
	files := &files{stores: stores, bucket: bucket, statuses: statuses, addresses: addresses, log: log}
	s.uploads = &source.Uploads{Store: stores.Sources, Bucket: bucket, MaxBytes: s.models.maxSourceBytes(accounts.Accounts), Stall: f.Tuning.Stall}
	s.surfaces, err = newSurfaces(listeners, api.Config{ //nolint:contextcheck // Calls bring a context each.
		Tasks: api.NewTaskService(api.TaskServiceConfig{
			Lifecycle: verbs, Tasks: stores.Tasks, Events: stores.Log, Hub: s.hub, Tokens: addresses.resume, Uploads: s.uploads, Typical: accounts.typical(),
			SignOutput: files.sign, Statuses: statuses, BaseURL: addresses.rest,
		}),
		Operators: api.NewOperatorService(api.OperatorServiceConfig{
			Lifecycle: verbs, Accounts: stores.Accounts, Tenants: stores.Tenants, Callbacks: stores.Inbox, Configured: accounts.Accounts, Admit: signals.admit, Log: log,
		}),
		Callbacks: api.NewCallbackService(receiver), Authenticate: authenticate, Large: api.NewLargeCalls(), Statuses: statuses,
		Health: s.ready.health, Meters: telemetry.meters, Log: log,
	}, httpapi.InternalConfig{
		Outputs: files, Open: f.Auth == "none", BaseURL: f.BaseURL, Ready: s.ready.check, Metrics: telemetry.metrics, Log: log,
	}, httpapi.IngressConfig{
		Headers: accounts.CallbackHeaders(), MaxBody: callback.MaxBody, OnOversized: receiver.CountOversized,
		Sources: files.public(), Log: log,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.surfaces.close)
	if s.failed, err = newDatabaseFailures(meter); err != nil { //nolint:contextcheck // It also counts failures outside of this call.
		return nil, err
	}
	return s, errors.Join(observeStorage(meter, storageWatcher), observeQueues(meter, stores.Tasks, accounts.Providers()))
}
