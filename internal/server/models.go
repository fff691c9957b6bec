package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/loop"
	"github.com/refract-video/refract/internal/provider"
)

// models are the models that callers can ask for. The catalog may be replaced while the service runs.
type models struct {
	config   Config
	accounts provider.Accounts
	now      func() time.Time
	log      *slog.Logger
	current  atomic.Pointer[catalog.Catalog]
}

// openModels loads the catalog.
func openModels(ctx context.Context, f Config, accounts provider.Accounts, now func() time.Time, log *slog.Logger) (*models, error) {
	m := &models{config: f, accounts: accounts, now: now, log: log}
	return m, m.load(ctx)
}

// loadCatalog returns the catalog with the routes of the operator.
func (f *Config) loadCatalog() (*catalog.Catalog, error) {
	loaded, err := catalog.Load(f.Catalog...)
	if err != nil {
		return nil, fmt.Errorf("--catalog: %w", err)
	}
	_, routes, err := f.routes()
	if err != nil {
		return nil, err
	}
	routed, err := loaded.WithRoutes(routes)
	if err != nil {
		return nil, fmt.Errorf("--route: %w", err)
	}
	return routed, nil
}

// load loads the catalog, and logs which providers of the operator's routes are skipped.
func (m *models) load(ctx context.Context) error {
	loaded, err := m.config.loadCatalog()
	if err != nil {
		return err
	}
	m.current.Store(loaded)
	_, routes, err := m.config.routes()
	if err != nil {
		return err
	}
	for _, model := range slices.Sorted(maps.Keys(routes)) {
		for _, name := range routes[model] {
			if len(m.accounts.At(name)) == 0 {
				m.log.InfoContext(ctx, "a provider of --route has no account here and is skipped", "model", model, "provider", name)
			}
		}
	}
	return nil
}

// catalog returns the current catalog.
func (m *models) catalog() *catalog.Catalog { return m.current.Load() }

// ReloadCatalog reads the catalog files again. An invalid file, or one that does not fit the routes of the configuration, is logged,
// and leaves the catalog as it was. It may be called concurrently with Run.
func (s *Server) ReloadCatalog(ctx context.Context) {
	if s.models != nil { // An ingress alone has no catalog.
		s.models.reload(ctx)
	}
}

func (m *models) reload(ctx context.Context) {
	if err := m.load(ctx); err != nil {
		m.log.ErrorContext(ctx, "the catalog is invalid; the one before stays in use", "error", err)
		return
	}
	m.log.InfoContext(ctx, "the catalog was loaded again", "models", len(m.catalog().Models()))
	m.warnRetiring(ctx)
}

// unlimitedSourceBytes is the size of the largest upload for an offering of which no limit is known.
const unlimitedSourceBytes = 500_000_000

// maxSourceBytes returns the size of the largest source that an offering of the configured providers takes.
func (m *models) maxSourceBytes(accounts provider.Accounts) (largest int64) {
	for _, name := range accounts.Providers() {
		for _, model := range m.catalog().Models() {
			if o := model.At(name); o != nil {
				largest = max(largest, cmp.Or(o.Source.MaxBytes, unlimitedSourceBytes))
			}
		}
	}
	return largest
}

// warningInterval is the time between two warnings about the same offering.
const warningInterval = 24 * time.Hour

// run warns at once and then daily about offerings that retire soon, until ctx ends.
func (m *models) run(ctx context.Context) error {
	return loop.Every(ctx, warningInterval, m.warnRetiring)
}

// warnRetiring logs the offerings of configured accounts that retire soon.
func (m *models) warnRetiring(ctx context.Context) {
	now := m.now()
	for _, model := range m.catalog().Models() {
		for _, o := range model.Offerings {
			if len(m.accounts.At(o.Provider)) > 0 && o.Lifecycle.Ends(now) {
				m.log.WarnContext(ctx, "a provider withdraws a model soon; tasks then go to the next provider of its route",
					"model", o.Model, "provider", o.Provider, "retires", o.Lifecycle.Retire.String(), "replaced_by", o.Lifecycle.ReplacedBy)
			}
		}
	}
}
