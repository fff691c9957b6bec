package api

import (
	"context"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// GetServiceStatistics returns statistics of the tasks of one tenant or of all.
func (s *OperatorService) GetServiceStatistics(ctx context.Context, req *refractv1.GetServiceStatisticsRequest) (*refractv1.GetServiceStatisticsResponse, error) {
	m, err := taskStatistics(ctx, s.statistics, s.explainer, req.GetTenant(), req.GetPeriod())
	if err != nil {
		return nil, err
	}
	return &refractv1.GetServiceStatisticsResponse{Statistics: m}, nil
}
