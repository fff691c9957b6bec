package server

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/pglocal"
	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/storage"
)

// buildIngress builds a replica that only stores callbacks. It needs a database role that may append to the intake, the key of callback
// URLs, and nothing else: no API key, no bucket, no secret of the database.
func (s *Server) buildIngress(ctx context.Context, f Config, logs logs, t *telemetry) error {
	waiting := pglocal.NewWaiting(ctx, s.log)
	defer waiting.Stop()
	waiting.Step("connecting")
	pool, err := dbpool.Open(ctx, f.DatabaseURL.Reveal())
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func(context.Context) error { pool.Close(); return nil })
	s.state = dbpool.StateOf(pool)
	notifier := replica.NewNotifier(replica.NotifierConfig{Pool: pool, Log: s.log})
	appender := inbox.NewAppender(pool, func() { notifier.Announce(replica.Intake) })
	s.closers = append(s.closers, appender.Close)
	waiting.Step("checking the rights of the role")
	readsTasks, err := appender.Check(ctx)
	if err != nil {
		return err
	}
	waiting.Stop()
	if readsTasks {
		s.log.WarnContext(ctx, "the database role of this ingress may read tasks, which it does not need: create one by the SQL of `refract migrate --print-ingress-role`")
	}
	s.ready = newReadiness(logs, "", func(ctx context.Context) error { _, err := appender.Check(ctx); return err }, func() {})
	s.ready.setStorable(storage.Change{Working: true}) //nolint:contextcheck // It stores no results, so nothing is logged.

	keys := f.callbackKeys()
	tokens, err := callback.NewTokens(keys...)
	if err != nil {
		return err
	}
	sealed, err := newIntakeKeyring(keys)
	if err != nil {
		return err
	}
	intake, err := callback.NewIntake(callback.IntakeConfig{Tokens: tokens, Keys: sealed, Appender: appender, Meter: t.meter})
	if err != nil {
		return err
	}
	headers, err := f.callbackHeaders()
	if err != nil {
		return err
	}
	listeners, err := listen(f, s.log)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func(context.Context) error { listeners.close(); return nil })
	for _, files := range listeners.files {
		s.listening = append(s.listening, files.run)
	}
	requests, err := httpapi.NewRequestMetrics(t.meter)
	if err != nil {
		return err
	}
	s.listening = append(s.listening, notifier.Run)
	s.surfaces, err = newSurfaces(listeners, api.Config{ //nolint:contextcheck // Calls bring a context each.
		Callbacks: api.NewCallbackService(intake), Statuses: &api.Statuses{Unavailable: dbpool.Unavailable, Log: s.log}, Log: s.log,
	}, httpapi.InternalConfig{Ready: s.ready.check, Requests: requests, Metrics: t.metrics, Log: s.log}, nil, httpapi.IngressConfig{
		Headers: headers, MaxBody: callback.MaxBody, OnOversized: intake.CountOversized, Requests: requests, SelfTests: tokens,
		Traces: t.traces, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.surfaces.close)
	if s.failed, err = newDatabaseFailures(t.meter); err != nil { //nolint:contextcheck // It also counts failures outside of this call.
		return err
	}
	return errors.Join(observeCertificates(t.meter, listeners.files), observeReadiness(t.meter, s.ready), observeBuild(t.meter), dbpool.Observe(t.meter, pool))
}

// callbackKeys returns the operator's keys of callback URLs, the newest first.
func (f *Config) callbackKeys() [][]byte {
	keys := make([][]byte, len(f.CallbackKeys))
	for i, k := range f.CallbackKeys {
		keys[i] = []byte(k.Reveal())
	}
	return keys
}

// newIntakeKeyring returns what encrypts callbacks in the intake, under keys that are derived from those of callback URLs.
func newIntakeKeyring(keys [][]byte) (*notify.Keyring, error) {
	derived := make([][]byte, len(keys))
	for i, key := range keys {
		var err error
		if derived[i], err = hkdf.Key(sha256.New, key, nil, "refract callback intake", 32); err != nil {
			return nil, fmt.Errorf("derive a key of the intake: %w", err)
		}
	}
	return notify.OpenKeeper(derived...)
}
