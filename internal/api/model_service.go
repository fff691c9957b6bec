package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/catalog"
	"github.com/refract-video/refract/internal/provider"
)

// errModelNotFound means that the catalog has no such model.
var errModelNotFound = errors.New("no such model: ListModels returns those that there are")

// modelError says which model was not found.
type modelError struct{ model string }

// Error names the model.
func (e *modelError) Error() string { return fmt.Sprintf("model %q: %v", e.model, errModelNotFound) }

// Unwrap returns errModelNotFound.
func (*modelError) Unwrap() error { return errModelNotFound }

// DurationStore has how long attempts take.
type DurationStore interface {
	// TypicalDurations returns how long recent attempts of an account took, by what the provider calls their model. Models of which
	// too few attempts are known are left out.
	TypicalDurations(ctx context.Context, account string) (map[string]time.Duration, error)
}

// ModelServiceConfig is what the model service works with.
type ModelServiceConfig struct {
	Catalog   func() *catalog.Catalog // With the routes of the operator.
	Accounts  provider.Accounts
	Closed    func(context.Context) catalog.Closures // The offerings that take no tasks for a time; nil means none.
	Durations DurationStore
	Now       func() time.Time
}

// ModelService implements the contract's ModelService.
type ModelService struct {
	refractv1.UnimplementedModelServiceServer
	catalog   func() *catalog.Catalog
	accounts  provider.Accounts
	closed    func(context.Context) catalog.Closures
	durations DurationStore
	now       func() time.Time
}

// NewModelService returns the model service.
func NewModelService(cfg ModelServiceConfig) *ModelService {
	return &ModelService{catalog: cfg.Catalog, accounts: cfg.Accounts, closed: cfg.Closed, durations: cfg.Durations, now: cfg.Now}
}

// ListModels lists models.
func (s *ModelService) ListModels(ctx context.Context, req *refractv1.ListModelsRequest) (*refractv1.ListModelsResponse, error) {
	after, err := parseModelPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	offers := s.offers(s.closures(ctx), after, size+1, req.GetProvider(), req.GetIncludeUnavailable())
	typical, err := s.typicalDurations(ctx)
	if err != nil {
		return nil, err
	}
	page, more := fill(offers, size, func(o *modelOffer) *refractv1.Model { return model(o, typical) })
	resp := &refractv1.ListModelsResponse{Models: page}
	if more {
		resp.NextPageToken = modelPageToken(page[len(page)-1].GetName())
	}
	return resp, nil
}

// GetModel returns a model with all its offerings.
func (s *ModelService) GetModel(ctx context.Context, req *refractv1.GetModelRequest) (*refractv1.GetModelResponse, error) {
	m := s.catalog().Resolve(req.GetModel())
	if m == nil {
		return nil, &modelError{model: req.GetModel()}
	}
	typical, err := s.typicalDurations(ctx)
	if err != nil {
		return nil, err
	}
	offer := s.offer(m, s.now(), s.closures(ctx))
	return &refractv1.GetModelResponse{Model: model(&offer, typical)}, nil
}

// closures returns the offerings that are closed.
func (s *ModelService) closures(ctx context.Context) catalog.Closures {
	if s.closed == nil {
		return nil
	}
	return s.closed(ctx)
}

// modelOffer is a model as the service offers it at one time.
type modelOffer struct {
	*catalog.Model

	now       time.Time
	offerings []offeringOffer // Those of the route in its order, then the others.
}

// offeringOffer is an offering with its availability at that time.
type offeringOffer struct {
	*catalog.Offering
	catalog.Availability
}

// offers returns models after a name, at most limit of them. If providerName is not empty, they have an offering there. Unless
// all is set, offerings that are retired or have no account are left out, and so are models without any other.
func (s *ModelService) offers(closures catalog.Closures, after string, limit int, providerName string, all bool) []modelOffer {
	now := s.now()
	var found []modelOffer
	for _, m := range s.catalog().Models() {
		if m.Name <= after {
			continue
		}
		o := s.offer(m, now, closures)
		if !all {
			o.offerings = slices.DeleteFunc(o.offerings, func(o offeringOffer) bool { return o.Stage == catalog.Retired || o.Stage == catalog.NoAccount })
		}
		if !slices.ContainsFunc(o.offerings, func(o offeringOffer) bool { return providerName == "" || o.Provider == providerName }) {
			continue
		}
		if found = append(found, o); len(found) == limit {
			break
		}
	}
	return found
}

// offer returns a model with all its offerings.
func (s *ModelService) offer(m *catalog.Model, now time.Time, closures catalog.Closures) modelOffer {
	offer := modelOffer{Model: m, now: now}
	add := func(o *catalog.Offering) {
		offer.offerings = append(offer.offerings, offeringOffer{o, o.Availability(now, len(s.accounts.At(o.Provider)) > 0, closures.Of(o))})
	}
	for _, name := range m.Route {
		add(m.At(name))
	}
	routed := len(offer.offerings)
	for _, o := range m.Offerings {
		if !slices.Contains(m.Route, o.Provider) {
			add(o)
		}
	}
	slices.SortFunc(offer.offerings[routed:], func(a, b offeringOffer) int { return strings.Compare(a.Provider, b.Provider) })
	return offer
}

// remoteModel is a model as a provider calls it.
type remoteModel struct{ provider, name string }

// typicalDurations returns how long attempts of each model take, where that is known: at the slowest account of the provider.
func (s *ModelService) typicalDurations(ctx context.Context) (map[remoteModel]time.Duration, error) {
	typical := map[remoteModel]time.Duration{}
	for account, p := range s.accounts {
		learned, err := s.durations.TypicalDurations(ctx, account)
		if err != nil {
			return nil, err
		}
		for name, d := range learned {
			m := remoteModel{p.Name(), name}
			typical[m] = max(typical[m], d)
		}
	}
	return typical, nil
}

// A page token of ListModels is the name of the last model of the page before.
func modelPageToken(last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("m" + last))
}

func parseModelPageToken(token string) (string, error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	name, ok := strings.CutPrefix(string(raw), "m")
	if err != nil || !ok || !validText(name) || modelPageToken(name) != token {
		return "", errPageToken()
	}
	return name, nil
}
