package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/notify"
	"github.com/refract-video/refract/internal/task"
)

// maxAttempts is how many attempts of a delivery are shown, the newest ones. Redelivery may have made more.
const maxAttempts = 500

// ListWebhookDeliveries lists deliveries.
func (s *WebhookService) ListWebhookDeliveries(ctx context.Context, req *refractv1.ListWebhookDeliveriesRequest) (*refractv1.ListWebhookDeliveriesResponse, error) {
	before, err := parseDeliveryPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	f := notify.DeliveryFilter{
		Tenant: tenantOf(ctx), Endpoint: endpointID(req), Task: taskID(req), States: deliveryStates(req.GetStates()), Before: before, Limit: size + 1,
	}
	if err := s.checkFilter(ctx, f); err != nil {
		return nil, err
	}
	deliveries, err := s.deliveries.Deliveries(ctx, f)
	if err != nil {
		return nil, err
	}
	page, more := fill(deliveries, size, delivery)
	resp := &refractv1.ListWebhookDeliveriesResponse{Deliveries: page}
	if more {
		last := deliveries[len(page)-1]
		resp.NextPageToken = deliveryPageToken(notify.DeliveryPlace{EventTime: last.EventTime, Event: last.Event, Endpoint: last.Endpoint})
	}
	return resp, nil
}

// checkFilter refuses an endpoint or a task that the tenant does not have. An empty list would say that it has no deliveries.
func (s *WebhookService) checkFilter(ctx context.Context, f notify.DeliveryFilter) error {
	if f.Endpoint != "" {
		if _, err := s.find(ctx, f.Endpoint); err != nil {
			return err
		}
	}
	if f.Task != "" {
		return aboutTask(f.Task, s.tasks.HasTask(ctx, f.Tenant, f.Task))
	}
	return nil
}

// GetWebhookDelivery returns a delivery with its attempts.
func (s *WebhookService) GetWebhookDelivery(ctx context.Context, req *refractv1.GetWebhookDeliveryRequest) (*refractv1.GetWebhookDeliveryResponse, error) {
	id := endpointID(req)
	event, err := eventID(id, req.GetEventId())
	if err != nil {
		return nil, err
	}
	d, attempts, err := s.deliveries.Delivery(ctx, tenantOf(ctx), id, event)
	if err != nil {
		return nil, &webhookError{endpoint: id, event: event.String(), err: err}
	}
	m := delivery(&d)
	m.Attempts, _ = fill(attempts, maxAttempts, webhookAttempt)
	return &refractv1.GetWebhookDeliveryResponse{Delivery: m}, nil
}

// RedeliverWebhooks sends events again.
func (s *WebhookService) RedeliverWebhooks(ctx context.Context, req *refractv1.RedeliverWebhooksRequest) (*refractv1.RedeliverWebhooksResponse, error) {
	var n int
	var more bool
	var err error
	switch {
	case req.GetEvent() != nil:
		n, err = s.redeliverEvent(ctx, req.GetEvent(), req.GetDryRun())
	case req.GetFailed() != nil:
		n, more, err = s.redeliverFailed(ctx, req.GetFailed(), req.GetDryRun())
	default:
		id := taskID(req.GetTask())
		n, err = s.deliveries.RedeliverTask(ctx, tenantOf(ctx), id, req.GetDryRun())
		err = aboutTask(id, err)
	}
	if err != nil {
		return nil, err
	}
	return &refractv1.RedeliverWebhooksResponse{Deliveries: count32(n), More: more}, nil
}

func (s *WebhookService) redeliverEvent(ctx context.Context, req *refractv1.RedeliverEvent, dryRun bool) (int, error) {
	id := endpointID(req)
	event, err := eventID(id, req.GetEventId())
	if err != nil {
		return 0, err
	}
	if err := s.deliveries.Redeliver(ctx, tenantOf(ctx), id, event, dryRun); err != nil {
		return 0, &webhookError{endpoint: id, event: event.String(), err: err}
	}
	return 1, nil
}

func (s *WebhookService) redeliverFailed(ctx context.Context, req *refractv1.RedeliverFailed, dryRun bool) (int, bool, error) {
	id := endpointID(req)
	if _, err := s.find(ctx, id); err != nil {
		return 0, false, err
	}
	n, more, err := s.deliveries.RedeliverFailed(ctx, tenantOf(ctx), id, timeOf(req.GetSinceTime()), dryRun)
	if err != nil {
		return 0, false, &webhookError{endpoint: id, err: err}
	}
	return n, more, nil
}

// eventID reads the id of an event. What is no id of ours names no delivery of the endpoint.
func eventID(endpoint notify.EndpointID, text string) (notify.EventID, error) {
	event, err := notify.ParseEventID(text)
	if err != nil || uuid.Validate(string(event.Task)) != nil {
		return notify.EventID{}, &webhookError{endpoint: endpoint, event: text, err: notify.ErrDeliveryNotFound}
	}
	return event, nil
}

// aboutTask adds the task to an error about it.
func aboutTask(id task.ID, err error) error {
	if _, named := errors.AsType[*lifecycle.TaskError](err); errors.Is(err, lifecycle.ErrTaskNotFound) && !named {
		return &lifecycle.TaskError{Task: id, Err: err}
	}
	return err
}

// deliveryStates returns the states that a request names.
func deliveryStates(named []refractv1.WebhookDeliveryState) []notify.DeliveryState {
	states := make([]notify.DeliveryState, len(named))
	for i, state := range named {
		states[i] = notify.DeliveryState(strings.TrimPrefix(state.String(), "WEBHOOK_DELIVERY_STATE_"))
	}
	return states
}

// placeBytes is the size of the place in a page token: a time, a task, a revision and an endpoint.
const placeBytes = 8 + 16 + 8 + 16

// maxPlaceTime is the last time that the database knows and the contract can show, in microseconds since 1970.
const maxPlaceTime = 253402300799 * 1e6

// A page token of ListWebhookDeliveries is the place of the last delivery of the page before.
func deliveryPageToken(last notify.DeliveryPlace) string {
	id, err := uuid.Parse(string(last.Event.Task))
	endpoint, endpointErr := uuid.Parse(string(last.Endpoint))
	if err != nil || endpointErr != nil {
		return ""
	}
	raw := binary.BigEndian.AppendUint64(nil, uint64(last.EventTime.UnixMicro()))
	raw = append(raw, id[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(last.Event.Revision)) //nolint:gosec // Revisions are positive.
	return base64.RawURLEncoding.EncodeToString(append(raw, endpoint[:]...))
}

func parseDeliveryPageToken(token string) (*notify.DeliveryPlace, error) {
	if token == "" {
		return nil, nil //nolint:nilnil // Nothing is what the first page comes after.
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != placeBytes {
		return nil, errPageToken()
	}
	micros, revision := int64(binary.BigEndian.Uint64(raw)), int64(binary.BigEndian.Uint64(raw[24:])) //nolint:gosec // Checked below.
	if micros < 0 || micros > maxPlaceTime || revision < 1 {
		return nil, errPageToken()
	}
	place := notify.DeliveryPlace{
		EventTime: time.UnixMicro(micros).UTC(),
		Event:     notify.EventID{Task: task.ID(uuid.UUID(raw[8:24]).String()), Revision: revision},
		Endpoint:  notify.EndpointID(uuid.UUID(raw[32:]).String()),
	}
	if deliveryPageToken(place) != token { // Line breaks are ignored by the decoder.
		return nil, errPageToken()
	}
	return &place, nil
}
