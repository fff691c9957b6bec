package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"strings"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
)

// TenantStore is what operators see and change of tenants. The empty name is that of the default.
type TenantStore interface {
	// Tenants returns tenants by name, at most limit of them after one; nil means from the beginning.
	Tenants(ctx context.Context, after *string, limit int) ([]lifecycle.Tenant, error)
	// Tenant returns one tenant.
	Tenant(ctx context.Context, name string) (lifecycle.Tenant, error)
	// SetTerms sets the terms of a tenant.
	SetTerms(ctx context.Context, name string, t lifecycle.Terms) error
	// DropTerms takes a tenant's own terms away.
	DropTerms(ctx context.Context, name string) error
}

// defaultTenant is how the contract spells the empty name.
const defaultTenant = "-"

// ListTenants lists tenants.
func (s *OperatorService) ListTenants(ctx context.Context, req *refractv1.ListTenantsRequest) (*refractv1.ListTenantsResponse, error) {
	after, err := parseTenantPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	tenants, err := s.tenants.Tenants(ctx, after, size+1)
	if err != nil {
		return nil, err
	}
	resp := &refractv1.ListTenantsResponse{}
	if len(tenants) > size {
		tenants = tenants[:size]
		resp.NextPageToken = tenantPageToken(tenants[size-1].Name)
	}
	for i := range tenants {
		resp.Tenants = append(resp.Tenants, tenant(&tenants[i]))
	}
	return resp, nil
}

// UpdateTenant sets the terms of a tenant.
func (s *OperatorService) UpdateTenant(ctx context.Context, req *refractv1.UpdateTenantRequest) (*refractv1.UpdateTenantResponse, error) {
	name := req.GetTenant()
	if name == defaultTenant {
		name = ""
	}
	terms := lifecycle.Terms{
		Weight: int(req.GetWeight()), MaxQueued: int(req.GetMaxQueued()), MaxInFlight: int(req.GetMaxInFlight()), MaxPerDay: int(req.GetMaxPerDay()),
	}
	var err error
	switch {
	case !req.GetUseDefault():
		terms.Weight = cmp.Or(terms.Weight, 1)
		err = s.tenants.SetTerms(ctx, name, terms)
	case terms != lifecycle.Terms{}:
		err = &lifecycle.FieldError{Field: "use_default", Message: "leaves no room for terms of the tenant's own"}
	default:
		err = s.tenants.DropTerms(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	s.admit()
	t, err := s.tenants.Tenant(ctx, name)
	if err != nil {
		return nil, err
	}
	s.logChange(ctx, "terms of a tenant", "tenant", req.GetTenant(), "own", t.Own, "weight", t.Terms.Weight,
		"max_queued", t.Terms.MaxQueued, "max_in_flight", t.Terms.MaxInFlight, "max_per_day", t.Terms.MaxPerDay)
	return &refractv1.UpdateTenantResponse{Tenant: tenant(&t)}, nil
}

func tenant(t *lifecycle.Tenant) *refractv1.Tenant {
	m := &refractv1.Tenant{
		Tenant:       cmp.Or(t.Name, defaultTenant),
		OwnTerms:     t.Own,
		Weight:       count32(t.Terms.Weight),
		MaxQueued:    countOf32(t.Terms.MaxQueued),
		MaxInFlight:  countOf32(t.Terms.MaxInFlight),
		MaxPerDay:    countOf32(t.Terms.MaxPerDay),
		QueuedTasks:  count32(t.Queued),
		OpenAttempts: count32(t.Open),
	}
	if t.Terms.MaxPerDay > 0 && t.Name != "" {
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
