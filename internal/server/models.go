package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
)

// models are the models that callers can ask for. The catalog may be replaced while the service runs.
type models struct {
	files   []string
	current atomic.Pointer[catalog.Catalog]
	log     *slog.Logger
}

// openModels loads the catalog, and logs which offerings of the configured accounts retire soon.
func openModels(ctx context.Context, f Config, accounts provider.Accounts, now time.Time, log *slog.Logger) (*models, error) {
	m := &models{files: f.Catalog, log: log}
	loaded, err := catalog.Load(m.files...)
	if err != nil {
		return nil, fmt.Errorf("--catalog: %w", err)
	}
	m.current.Store(loaded)
	m.warnRetiring(ctx, accounts, now)
	return m, nil
}

// catalog returns the current catalog.
func (m *models) catalog() *catalog.Catalog { return m.current.Load() }

// ReloadCatalog reads the catalog files again. An invalid file is logged, and leaves the catalog as it was. It may be called
// concurrently with Run.
func (s *Server) ReloadCatalog(ctx context.Context) { s.models.reload(ctx) }

func (m *models) reload(ctx context.Context) {
	loaded, err := catalog.Load(m.files...)
	if err != nil {
		m.log.ErrorContext(ctx, "the catalog is invalid; the one before stays in use", "error", err)
		return
	}
	m.current.Store(loaded)
	m.log.InfoContext(ctx, "the catalog was loaded again", "models", len(loaded.Models()))
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

// warnRetiring logs the offerings of configured accounts that retire soon.
func (m *models) warnRetiring(ctx context.Context, accounts provider.Accounts, now time.Time) {
	for _, model := range m.catalog().Models() {
		for _, o := range model.Offerings {
			if len(accounts.At(o.Provider)) > 0 && o.Lifecycle.Ends(now) {
				m.log.WarnContext(ctx, "a provider withdraws a model soon; tasks then go to the next provider of its route",
					"model", o.Model, "provider", o.Provider, "retires", o.Lifecycle.Retire.String(), "replaced_by", o.Lifecycle.ReplacedBy)
			}
		}
	}
}
