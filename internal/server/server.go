package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/dispatch"
	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/queue"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/statistics"
	"github.com/refract-video/refract/internal/storage"
	"github.com/refract-video/refract/internal/tracing"
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
	queue    *queue.Queue // Nil unless the replica is a worker.
	surfaces *surfaces
	sessions *credentials.Sessions
	tokens   *credentials.APITokens
	restURL  string // Of REST and the console, without a slash at its end.

	working   []part   // Run until the replica drains.
	cutting   []func() // End streams and transfers when the replica drains.
	listening []part   // Run until the last stream has ended.
	closers   []part   // Release what New opened, the last first.
}

// part is a part of the process that runs until its context ends.
type part func(context.Context) error

// New builds the process from the inside out. If it fails, it closes everything that it has opened.
func New(ctx context.Context, f Config, log *slog.Logger) (_ *Server, err error) {
	logs := newLogs(slog.New(tracing.LogHandler(redact.NewHandler(log.Handler(), f.secrets()...))))
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
	telemetry, err := startTelemetry(ctx, log, f.secrets()...)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, telemetry.stop)
	meter := telemetry.meter
	ctx = dbpool.Patient(ctx)
	if f.ingressAlone() {
		return s, s.buildIngress(ctx, f, logs, telemetry)
	}
	if f.private() {
		ctx = dbpool.WithoutTimeouts(ctx)
	}

	// The foundation: the database, the provider accounts, the bucket, the addresses.
	replicaName := queue.NewReplicaName()
	db, err := openDatabase(ctx, f, replicaName, meter, log)
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
	signals := newSignals(f, db, accounts.providers, accounts.Accounts)
	s.ready = newReadiness(logs, redact.URL(bucketURL), db.ping, signals.admit)
	storageWatcher := storage.NewWatcher(storage.Config{Records: stores.Storage, Replica: replicaName, Changed: s.ready.setStorable})
	bucket, err := openBucket(ctx, bucketURL, storageWatcher, meter)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func(context.Context) error { return bucket.Close() })
	restoreFence := newFence(f, stores, bucket, bucketURL, replicaName, signals.admit, log)
	listeners, err := listen(f, log)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func(context.Context) error { listeners.close(); return nil })
	for _, files := range listeners.files {
		s.listening = append(s.listening, files.run)
	}
	addresses, err := newAddresses(ctx, f, db, listeners, log)
	if err != nil {
		return nil, err
	}
	s.sessions, s.tokens, s.restURL = stores.Sessions, stores.APITokens, addresses.rest
	clients, err := newClients(f)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, clients.close)
	if err = db.warnUnsafe(ctx, log); err != nil {
		return nil, err
	}

	// The lifecycle, and the signals after its changes.
	watchMetrics, err := watch.NewMetrics(meter, now)
	if err != nil {
		return nil, err
	}
	hub := watch.NewHub(stores.Log, watch.Config{Bookmark: BookmarkInterval, Metrics: watchMetrics, Logger: log, Readable: s.ready.setReadable})
	if s.models, err = openModels(ctx, f, accounts.Accounts, now, log); err != nil {
		return nil, err
	}
	checkURI := func(uri string) error { return media.CheckURI(uri, f.AllowPrivate) }
	checkWebhook := func(uri string) error { return media.CheckWebhookURI(uri, f.AllowPrivate) }
	verbs, err := lifecycle.New(lifecycle.Config{ //nolint:contextcheck // It counts outside of this call.
		Store: stores.Tasks, Offerings: stores.Offerings, Inbox: stores.Inbox, Saves: stores.Storage, Sources: stores.Sources, Signers: stores.Accounts, Accounts: accounts.Accounts, Catalog: s.models.catalog, Route: accounts.route, Meter: meter, Now: now,
		Gate: restoreFence, Records: restoreFence,
		Changed: signals.changed(hub, db.notifier), CheckSource: checkURI, CheckWebhook: checkWebhook,
	})
	if err != nil {
		return nil, err
	}

	// Background work: jobs of the queue, and loops.
	upstreams, err := upstream.New(accounts.Accounts, stores.Accounts, meter)
	if err != nil {
		return nil, err
	}
	preparations, err := source.NewMetrics(meter)
	if err != nil {
		return nil, err
	}
	preparer := source.NewPreparer(source.PreparerConfig{
		Store: stores.Preparations, Verbs: verbs, Accounts: sourceAccounts(upstreams), Timing: f.Tuning.Sources, Metrics: preparations, Log: log,
		Resolver: &source.Resolver{Store: stores.Sources, Bucket: bucket, Catalog: s.models.catalog, Log: log, CheckURI: checkURI, Probe: clients.probe(f), Link: addresses.sourceLinks()},
	})
	submitter := dispatch.New(dispatch.Config{
		Lifecycle: verbs, Tasks: stores.Tasks, Accounts: upstreams, Catalog: s.models.catalog, Sources: preparer,
		CallbackURL: addresses.callback, Now: now, Log: log,
	})
	saver, err := output.New(output.Config{ //nolint:contextcheck // Saves have contexts of their own.
		Lifecycle: verbs, Tasks: stores.Tasks, Troubles: stores.Storage, Accounts: upstreams, Patience: f.Tuning.Save,
		Media: &media.Saver{Client: clients.results, Bucket: bucket, MaxBytes: f.Tuning.MaxBytes, Pause: f.Tuning.Pause},
		Now:   now, Meter: meter, Log: log,
	})
	if err != nil {
		return nil, err
	}
	retainer := &retention.Retainer{
		Store: stores.Retention, Bucket: bucket, Log: log, Batches: retention.Batches, Pause: retention.Pause, SweepOrphans: f.SweepOrphans,
	}
	if err = retainer.Count(meter); err != nil {
		return nil, err
	}
	listener := replica.Listener{Pool: db.direct, Log: log, Replica: replicaName, Wake: hub.Wake, WakeAll: hub.WakeAll}
	if f.has(roleWorker) {
		s.queue, err = queue.New(queue.Config{
			Pool: db.pool, Direct: db.direct, Replica: replicaName, Kinds: []queue.Kind{submitter.Kind(), saver.Kind()}, Now: now, Log: log,
			// Without its bucket, a replica can neither send an attempt nor save a result. Before the fence is checked, it sends nothing.
			Yield: func() bool { return !storageWatcher.Working() || !restoreFence.Checked() },
		})
		if err != nil {
			return nil, err
		}
		census, err := dispatch.NewCensus(dispatch.CensusConfig{
			Counter: stores.Tasks, Accounts: accounts.limits(), Providers: accounts.Providers(), Meter: meter, Log: log,
		})
		if err != nil {
			return nil, err
		}
		rescuer := replica.JobRescuer{Pool: db.pool, Log: log, Replica: replicaName, Working: s.queue.Working, Timeouts: s.queue.Timeouts(), Early: queue.LeaveFor}
		for _, name := range accounts.providers {
			admissions := &dispatch.AdmissionLoop{Provider: name, Verbs: verbs, Storage: storageWatcher, Wake: signals.admissions[name], Log: log}
			s.working = append(s.working, admissions.Run)
		}
		for account, u := range upstreams {
			s.working = append(s.working, dispatch.NewChecker(u, verbs, signals.checks[account], log).Run)
		}
		s.working = append(s.working,
			func(ctx context.Context) error { return dispatch.RunExpiry(ctx, verbs, log) },
			func(ctx context.Context) error { return dispatch.RunMissingJobs(ctx, stores.Tasks, log) },
			census.Run, s.models.run, preparer.Run, saver.RunSweep, retainer.Run, rescuer.Run)
		s.cutting = append(s.cutting, saver.Cut)
		listener.Topics = signals.topics(db)
	}
	s.working = append(s.working, restoreFence.Run, func(ctx context.Context) error { return storageWatcher.Run(ctx, bucket.Probe) })
	if db.cluster != nil {
		s.working = append(s.working, db.cluster.Wait)
	}
	s.cutting = append(s.cutting, hub.Drain)
	s.listening = append(s.listening, db.notifier.Run, listener.Run, db.clock.Run)
	if f.has(roleAPI) {
		s.listening = append(s.listening, hub.Run)
	}

	// The services for callers and providers.
	statuses := &api.Statuses{Unavailable: dbpool.Unavailable, Log: log}
	authentication, err := openAuthentication(ctx, f, addresses.rest, stores, log)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, authentication.close)
	s.listening = append(s.listening, authentication.running...)
	receiver, err := callback.NewReceiver(callback.Config{
		Tokens: addresses.callbacks, Accounts: accounts.Accounts, Settler: verbs, Now: now, Meter: meter, Log: log,
	})
	if err != nil {
		return nil, err
	}
	if f.has(roleWorker) {
		settler, err := callback.NewIntakeSettler(callback.IntakeSettlerConfig{
			Receiver: receiver, Store: stores.Inbox, Keys: addresses.sealed, Meter: meter, Log: log,
		})
		if err != nil {
			return nil, err
		}
		s.working = append(s.working, settler.Run)
		listener.Topics[replica.Intake] = settler.Wake
	}
	files := &files{stores: stores, bucket: bucket, statuses: statuses, addresses: addresses, log: log}
	uploads := &source.Uploads{Store: stores.Sources, Bucket: bucket, MaxBytes: s.models.maxSourceBytes(accounts.Accounts), Stall: f.Tuning.Stall}
	s.cutting = append(s.cutting, uploads.Drain)
	explainer := explain.New(explain.Config{Store: stores.Tasks, Rules: verbs, Catalog: s.models.catalog})
	figures := statistics.NewReader(stores.Tasks)
	tasks := api.NewTaskService(api.TaskServiceConfig{
		Lifecycle: verbs, Tasks: stores.Tasks, Events: stores.Log, Hub: hub, Explainer: explainer, Statistics: figures, Catalog: s.models.catalog, Tokens: addresses.resume, Uploads: uploads, Typical: accounts.typical(),
		SignOutput: files.sign, Statuses: statuses, BaseURL: addresses.rest,
	})
	keyring, err := openKeyring(ctx, f, db)
	if err != nil {
		return nil, err
	}
	sender, err := notify.New(notify.Config{
		Store: stores.Webhooks, Keeper: keyring, Task: webhookTask(tasks), Guard: clients.guard, Due: db.webhooks, Now: now, Meter: meter, Groups: db.groups, Log: log,
	})
	if err != nil {
		return nil, err
	}
	if f.has(roleWorker) {
		s.working = append(s.working, sender.Run)
	}
	models := api.NewModelService(api.ModelServiceConfig{
		Catalog: s.models.catalog, Accounts: accounts.Accounts, Closed: verbs.Closed, Durations: stores.Tasks, Now: now,
	})
	requests, err := httpapi.NewRequestMetrics(meter)
	if err != nil {
		return nil, err
	}
	s.surfaces, err = newSurfaces(listeners, api.Config{ //nolint:contextcheck // Calls bring a context each.
		Tasks: tasks, Models: models,
		Webhooks: api.NewWebhookService(api.WebhookServiceConfig{
			Endpoints: stores.Webhooks, Deliveries: stores.Webhooks, Tasks: stores.Tasks, Tester: sender, Sealer: keyring, CheckURI: checkWebhook, Now: now,
		}),
		Operators: api.NewOperatorService(api.OperatorServiceConfig{
			Lifecycle: verbs, Accounts: stores.Accounts, Tenants: stores.Tenants, Tokens: stores.APITokens, Callbacks: stores.Inbox, Models: models, Explainer: explainer, Statistics: figures, Audit: stores.Audit, Sessions: stores.Sessions, Configured: accounts.Accounts, Admit: signals.admit, Fence: restoreFence, Log: log,
		}),
		Callbacks: api.NewCallbackService(receiver), Authenticator: authentication, Large: api.NewLargeCalls(), Statuses: statuses,
		Health: s.ready.health, Meters: telemetry.meters, Log: log,
	}, httpapi.InternalConfig{
		Outputs: files, Sources: files, Open: f.Auth == "none", BaseURL: f.BaseURL, Ready: s.ready.check, Requests: requests, Metrics: telemetry.metrics, Traces: telemetry.traces, Log: log,
	}, newPages(f, addresses.rest, authentication, stores, statuses), httpapi.IngressConfig{
		Headers: accounts.CallbackHeaders(), MaxBody: callback.MaxBody, OnOversized: receiver.CountOversized,
		Requests: requests, Sources: files.public(), SelfTests: addresses.callbacks, Traces: telemetry.traces, Log: log,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.surfaces.close)
	if s.failed, err = newDatabaseFailures(meter); err != nil { //nolint:contextcheck // It also counts failures outside of this call.
		return nil, err
	}
	return s, errors.Join(observeCertificates(meter, listeners.files), observeStorage(meter, storageWatcher), observeAdmission(meter, restoreFence), observeReadiness(meter, s.ready), observeBuild(meter))
}
