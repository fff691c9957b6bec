package api

import (
	"context"
	"log/slog"
	"math"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/explain"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/statistics"
)

// OperatorServiceConfig is what the operator service works with.
type OperatorServiceConfig struct {
	Lifecycle  *lifecycle.Lifecycle
	Accounts   AccountStore
	Tenants    TenantStore
	Tokens     TokenStore
	Callbacks  CallbackStore
	Models     *ModelService
	Explainer  *explain.Explainer
	Statistics *statistics.Reader
	Audit      AuditLog
	Sessions   SessionStore
	Configured provider.Accounts
	// Admit is called when something changed that admission goes by. It must not block.
	Admit func()
	Fence Fence
	Log   *slog.Logger
}

// OperatorService implements the contract's OperatorService. Who may call it is decided before.
type OperatorService struct {
	refractv1.UnimplementedOperatorServiceServer
	lifecycle  *lifecycle.Lifecycle
	accounts   AccountStore
	tenants    TenantStore
	tokens     TokenStore
	callbacks  CallbackStore
	models     *ModelService
	explainer  *explain.Explainer
	statistics *statistics.Reader
	audit      AuditLog
	sessions   SessionStore
	configured admission.AccountLimits
	admit      func()
	fence      Fence
	log        *slog.Logger
}

// NewOperatorService returns the operator service.
func NewOperatorService(cfg OperatorServiceConfig) *OperatorService {
	s := &OperatorService{
		lifecycle: cfg.Lifecycle, accounts: cfg.Accounts, tenants: cfg.Tenants, tokens: cfg.Tokens, callbacks: cfg.Callbacks, models: cfg.Models, explainer: cfg.Explainer, statistics: cfg.Statistics, audit: cfg.Audit, sessions: cfg.Sessions,
		configured: admission.AccountLimits{}, admit: cfg.Admit, fence: cfg.Fence, log: cfg.Log,
	}
	for account, p := range cfg.Configured {
		s.configured[account] = p.Capabilities().Limits
	}
	return s
}

// logChange logs what an operator changed, and who it was.
func (s *OperatorService) logChange(ctx context.Context, what string, facts ...any) {
	facts = append(facts, "change", what, "operator", tenantOf(ctx), "actor", actorOf(ctx), "request_id", requestIDOf(ctx))
	s.log.InfoContext(ctx, "changed by an operator", facts...)
}

// count32 converts a count, which no sane service lets grow that far.
func count32(n int) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // It is bounded right here.

// countOf32 converts a count of which 0 means none.
func countOf32(n int) *int32 {
	if n == 0 {
		return nil
	}
	return new(count32(n))
}
