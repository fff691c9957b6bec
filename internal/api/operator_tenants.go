package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/tenants"
)

// TenantStore is what operators see and change of tenants. The empty name is that of the default.
type TenantStore interface {
	// Tenants returns tenants by name, at most limit of them after one; nil means from the beginning.
	Tenants(ctx context.Context, after *string, limit int) ([]tenants.Tenant, error)
	// Tenant returns one tenant.
	Tenant(ctx context.Context, name string) (tenants.Tenant, error)
	// SetLimits sets the limits of a tenant, and changes its retention periods.
	SetLimits(ctx context.Context, name string, t tenants.Limits, keep retention.PeriodChanges) error
	// SetRetention changes the periods only. A tenant without limits of its own gets a copy of the default's.
	SetRetention(ctx context.Context, name string, keep retention.PeriodChanges) error
	// DropLimits removes a tenant's own limits.
	DropLimits(ctx context.Context, name string) error
}

// defaultTenant is how the contract spells the empty name.
const defaultTenant = "-"

// storedTenant returns the name under which the store has a tenant.
func storedTenant(name string) string {
	if name == defaultTenant {
		return ""
	}
	return name
}

// ListTenants lists tenants, or returns one of them.
func (s *OperatorService) ListTenants(ctx context.Context, req *refractv1.ListTenantsRequest) (*refractv1.ListTenantsResponse, error) {
	after, err := parseTenantPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if req.GetTenant() != "" {
		t, err := s.tenants.Tenant(ctx, storedTenant(req.GetTenant()))
		if err != nil {
			return nil, err
		}
		return &refractv1.ListTenantsResponse{Tenants: []*refractv1.Tenant{tenant(&t)}}, nil
	}
	size := pageSize(req.GetPageSize())
	tenants, err := s.tenants.Tenants(ctx, after, size+1)
	if err != nil {
		return nil, err
	}
	page, more := fill(tenants, size, tenant)
	resp := &refractv1.ListTenantsResponse{Tenants: page}
	if more {
		resp.NextPageToken = tenantPageToken(tenants[len(page)-1].Name)
	}
	return resp, nil
}

// UpdateTenant sets the terms of a tenant, or its retention times alone where nothing else is given.
func (s *OperatorService) UpdateTenant(ctx context.Context, req *refractv1.UpdateTenantRequest) (*refractv1.UpdateTenantResponse, error) {
	name := storedTenant(req.GetTenant())
	terms := tenants.Limits{
		Weight: int(req.GetWeight()), MaxQueued: int(req.GetMaxQueued()), MaxInFlight: int(req.GetMaxInFlight()), MaxPerDay: int(req.GetMaxPerDay()),
		Sources: source.Limits{Bytes: req.GetMaxSourceBytes(), Sources: int(req.GetMaxSources()), Uploads: int(req.GetMaxUnfinishedUploads())},

		MaxCallsPerSecond: int(req.GetMaxCallsPerSecond()),
	}
	keep, err := keepChanges(req)
	switch {
	case err != nil:
	case !req.GetUseDefault() && terms == tenants.Limits{} && len(keep) > 0:
		err = s.tenants.SetRetention(ctx, name, keep)
	case !req.GetUseDefault():
		terms.Weight = cmp.Or(terms.Weight, 1)
		err = s.tenants.SetLimits(ctx, name, terms, keep)
	case terms != tenants.Limits{} || len(keep) > 0:
		err = &lifecycle.FieldError{Field: "use_default", Message: "leaves no room for terms of the tenant's own"}
	default:
		err = s.tenants.DropLimits(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	s.admit()
	t, err := s.tenants.Tenant(ctx, name)
	if err != nil {
		return nil, err
	}
	s.logChange(ctx, "terms of a tenant", "tenant", req.GetTenant(), "own", t.Own, "weight", t.Limits.Weight,
		"max_queued", t.Limits.MaxQueued, "max_in_flight", t.Limits.MaxInFlight, "max_per_day", t.Limits.MaxPerDay,
		"max_source_bytes", t.Limits.Sources.Bytes, "max_sources", t.Limits.Sources.Sources, "max_unfinished_uploads", t.Limits.Sources.Uploads,
		"max_calls_per_second", t.Limits.MaxCallsPerSecond,
		"keep_outputs", t.Keep.Outputs, "keep_sources", t.Keep.Sources, "keep_callbacks", t.Keep.Callbacks, "keep_tasks", t.Keep.Tasks)
	return &refractv1.UpdateTenantResponse{Tenant: tenant(&t)}, nil
}

// keepChanges are the retention times that a request changes.
func keepChanges(req *refractv1.UpdateTenantRequest) (retention.PeriodChanges, error) {
	all := retention.PeriodChanges{}
	for _, c := range []struct {
		field string
		kind  retention.Kind
		time  *refractv1.KeepTime
	}{
		{"keep_outputs", retention.OutputKind, req.GetKeepOutputs()},
		{"keep_sources", retention.SourceKind, req.GetKeepSources()},
		{"keep_callbacks", retention.CallbackKind, req.GetKeepCallbacks()},
		{"keep_tasks", retention.TaskKind, req.GetKeepTasks()},
	} {
		if c.time == nil {
			continue
		}
		change := retention.PeriodChanges{c.kind: nil}
		if !c.time.GetAsDefault() {
			change[c.kind] = new(c.time.GetKeepFor().AsDuration())
		}
		if err := change.Check(); err != nil {
			return nil, &lifecycle.FieldError{Field: c.field + ".keep_for", Message: err.Error()}
		}
		all[c.kind] = change[c.kind]
	}
	return all, nil
}

func tenant(t *tenants.Tenant) *refractv1.Tenant {
	limits := t.Limits.Sources.WithDefaults()
	m := &refractv1.Tenant{
		Tenant:       cmp.Or(t.Name, defaultTenant),
		OwnTerms:     t.Own,
		Weight:       count32(t.Limits.Weight),
		MaxQueued:    countOf32(t.Limits.MaxQueued),
		MaxInFlight:  countOf32(t.Limits.MaxInFlight),
		MaxPerDay:    countOf32(t.Limits.MaxPerDay),
		QueuedTasks:  count32(t.Queued),
		OpenAttempts: count32(t.Open),

		MaxSourceBytes: limits.Bytes, MaxSources: count32(limits.Sources), MaxUnfinishedUploads: count32(limits.Uploads),
		SourceBytes: t.Used.Bytes, Sources: count32(t.Used.Sources), UnfinishedUploads: count32(t.Used.Uploads),

		MaxCallsPerSecond: countOf32(t.Limits.MaxCallsPerSecond),

		KeepOutputs:   durationpb.New(t.Keep.Outputs),
		KeepSources:   durationpb.New(t.Keep.Sources),
		KeepCallbacks: durationpb.New(t.Keep.Callbacks),
		KeepTasks:     durationpb.New(t.Keep.Tasks),
	}
	if t.Limits.MaxPerDay > 0 && t.Name != "" {
		m.SubmissionsToday = new(count32(t.Today))
	}
	return m
}

// A page token of ListTenants is the name of the last tenant of the page before, behind a letter that keeps the
// token of the default from being empty.
func tenantPageToken(last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("t" + last))
}

func parseTenantPageToken(token string) (*string, error) {
	if token == "" {
		return nil, nil //nolint:nilnil // Nothing is what the first page comes after.
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	name, ok := strings.CutPrefix(string(raw), "t")
	if err != nil || !ok || !validText(name) || tenantPageToken(name) != token {
		return nil, errPageToken()
	}
	return &name, nil
}
