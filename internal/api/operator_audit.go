package api

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/callback"
)

// AuditLog is where changes are recorded. The stores record the changes of their rows themselves.
type AuditLog interface {
	// Record records an action that changes no row of its own.
	Record(ctx context.Context, c audit.Change) error
	// Events returns events, newest first.
	Events(ctx context.Context, f audit.Filter) ([]audit.Event, error)
}

// ListAuditEvents lists the audit log.
func (s *OperatorService) ListAuditEvents(ctx context.Context, req *refractv1.ListAuditEventsRequest) (*refractv1.ListAuditEventsResponse, error) {
	before, err := parseCallbackPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	events, err := s.audit.Events(ctx, audit.Filter{
		Actor: req.GetActor(), Action: strings.TrimSuffix(req.GetAction(), "."), Target: req.GetTarget(), Tenant: req.GetTenant(),
		FromTime: timeOf(req.GetCreateTimeFrom()), ToTime: timeOf(req.GetCreateTimeTo()),
		Before: audit.Place{Time: before.Time, ID: int64(before.ID)}, Limit: size + 1,
	})
	if err != nil {
		return nil, err
	}
	page, more := fill(events, size, auditEvent)
	resp := &refractv1.ListAuditEventsResponse{Events: page}
	if more {
		last := events[len(page)-1]
		resp.NextPageToken = callbackPageToken(callback.Place{Time: last.CreateTime, ID: callback.ID(last.ID)}) // A time and an id, too.
	}
	return resp, nil
}

func auditEvent(e *audit.Event) *refractv1.AuditEvent {
	return &refractv1.AuditEvent{
		Id:         strconv.FormatInt(e.ID, 10),
		CreateTime: timestamppb.New(e.CreateTime),
		Actor: &refractv1.AuditActor{
			Kind: refractv1.AuditActorKind(refractv1.AuditActorKind_value["AUDIT_ACTOR_KIND_"+string(e.Actor.Kind)]),
			Name: e.Actor.Name, Tenant: e.Actor.Tenant,
		},
		Action: e.Action, Target: e.Target, Tenant: e.Tenant,
		Before: valuesOf(e.Before), After: valuesOf(e.After),
	}
}

// valuesOf returns the values of an event; nil for none. The store has no JSON but objects.
func valuesOf(text []byte) *structpb.Struct {
	if text == nil {
		return nil
	}
	values := &structpb.Struct{}
	if json.Unmarshal(text, values) != nil {
		return nil
	}
	return values
}
