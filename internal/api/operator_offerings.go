package api

import (
	"context"
	"fmt"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
)

// CloseOffering closes an offering.
func (s *OperatorService) CloseOffering(ctx context.Context, req *refractv1.CloseOfferingRequest) (*refractv1.CloseOfferingResponse, error) {
	m, err := s.changeOffering(ctx, req.GetModel(), req.GetProvider(), func(model string) error {
		return s.lifecycle.CloseOffering(ctx, req.GetProvider(), model, req.GetReason())
	})
	if err != nil {
		return nil, err
	}
	s.logChange(ctx, "closing of an offering", "model", m.GetName(), "provider", req.GetProvider(), "reason", req.GetReason())
	return &refractv1.CloseOfferingResponse{Model: m}, nil
}

// OpenOffering opens an offering.
func (s *OperatorService) OpenOffering(ctx context.Context, req *refractv1.OpenOfferingRequest) (*refractv1.OpenOfferingResponse, error) {
	m, err := s.changeOffering(ctx, req.GetModel(), req.GetProvider(), func(model string) error {
		return s.lifecycle.OpenOffering(ctx, req.GetProvider(), model)
	})
	if err != nil {
		return nil, err
	}
	s.logChange(ctx, "opening of an offering", "model", m.GetName(), "provider", req.GetProvider())
	return &refractv1.OpenOfferingResponse{Model: m}, nil
}

// changeOffering changes an offering of the catalog, lets admission know, and returns its model as it is then.
func (s *OperatorService) changeOffering(ctx context.Context, model, providerName string, change func(model string) error) (*refractv1.Model, error) {
	m := s.models.catalog().Resolve(model)
	if m == nil {
		return nil, &modelError{model: model}
	}
	if m.At(providerName) == nil {
		return nil, &lifecycle.FieldError{Field: "provider", Message: fmt.Sprintf("provider %q has no offering of %s", providerName, m.Name)}
	}
	if err := change(m.Name); err != nil {
		return nil, err
	}
	s.admit()
	resp, err := s.models.GetModel(ctx, &refractv1.GetModelRequest{Model: m.Name})
	if err != nil {
		return nil, err
	}
	return resp.GetModel(), nil
}
