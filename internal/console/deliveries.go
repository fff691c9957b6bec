package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// deliveryView is a delivery as pages show it.
type deliveryView struct{ *refractv1.WebhookDelivery }

// Event returns the type of the event.
func (d deliveryView) Event() string { return eventName(d.GetEventType()) }

// State returns the state of the delivery in a word.
func (d deliveryView) State() tone {
	switch d.GetState() {
	case refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_SUCCEEDED:
		return tone{"OK", "delivered"}
	case refractv1.WebhookDeliveryState_WEBHOOK_DELIVERY_STATE_FAILED:
		return tone{"BAD", "failed"}
	default:
		return tone{"WAIT", "pending"}
	}
}

// deliveryStates are the values of the filter by state.
var deliveryStates = []choice{{"PENDING", "pending"}, {"SUCCEEDED", "delivered"}, {"FAILED", "failed"}}

// webhookPage is what the page of an endpoint shows.
type webhookPage struct {
	Endpoint   endpointView
	Deliveries []deliveryView
	States     []choice
	State      string
	Task       string
	Violations map[string]string
	Next       string // The URL of the next page; empty at the end.
	First      bool   // Whether this is the first page.
}

// Filtered reports whether a filter is set.
func (p webhookPage) Filtered() bool { return p.State != "" || p.Task != "" }

// showWebhook shows an endpoint and its deliveries, newest event first.
func (c *Console) showWebhook(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	page := webhookPage{
		Endpoint: e, States: deliveryStates, State: q.Get("state"), Task: strings.TrimSpace(q.Get("task_id")), First: q.Get(pageParameter) == "",
	}
	req := &refractv1.ListWebhookDeliveriesRequest{EndpointId: e.GetId(), TaskId: page.Task, PageToken: q.Get(pageParameter), PageSize: pageSize}
	if state, ok := refractv1.WebhookDeliveryState_value["WEBHOOK_DELIVERY_STATE_"+page.State]; ok {
		req.States = []refractv1.WebhookDeliveryState{refractv1.WebhookDeliveryState(state)}
	}
	resp, err := c.webhooks.ListWebhookDeliveries(v, req)
	if err != nil {
		page.Violations = violations(err)
		return v.refuse(err, "webhook", e.Name(), page)
	}
	for _, d := range resp.GetDeliveries() {
		page.Deliveries = append(page.Deliveries, deliveryView{d})
	}
	page.Next = nextPage(v.r.URL, resp.GetNextPageToken())
	return v.show("webhook", e.Name(), page)
}

// deliveryPage is what the page of a delivery shows.
type deliveryPage struct {
	Endpoint endpointView
	Delivery deliveryView
}

// Self returns the address of the page.
func (p deliveryPage) Self() string {
	return "/webhooks/" + p.Endpoint.GetId() + "/deliveries/" + p.Delivery.GetEventId()
}

// showDelivery shows a delivery with its attempts.
func (c *Console) showDelivery(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	resp, err := c.webhooks.GetWebhookDelivery(v, &refractv1.GetWebhookDeliveryRequest{EndpointId: e.GetId(), EventId: v.r.PathValue("event")})
	if status.Code(err) == codes.InvalidArgument {
		return errNoPage // The path has no id of an event.
	}
	if err != nil {
		return err
	}
	return v.show("delivery", "Delivery", deliveryPage{e, deliveryView{resp.GetDelivery()}})
}

// redeliver sends one event again.
func (c *Console) redeliver(v *visit) error {
	endpoint, event := v.r.PathValue("id"), v.r.PathValue("event")
	_, err := c.webhooks.RedeliverWebhooks(v, &refractv1.RedeliverWebhooksRequest{
		Events: &refractv1.RedeliverWebhooksRequest_Event{Event: &refractv1.RedeliverEvent{EndpointId: endpoint, EventId: event}},
	})
	if err != nil {
		return err
	}
	return v.done("/webhooks/"+url.PathEscape(endpoint)+"/deliveries/"+url.PathEscape(event), "delivery-again")
}

// redelivery is what the page shows on which failed deliveries are sent again.
type redelivery struct {
	Endpoint   endpointView
	Since      string // As typed; empty means all.
	Presets    []choice
	Violations map[string]string
	// Counted reports whether Deliveries and More are known.
	Counted    bool
	Deliveries int32
	More       bool
}

// Local returns the time as a field for local times takes it, or an empty string.
func (r redelivery) Local() string {
	t, err := utcTime(r.Since)
	if t == nil || err != nil {
		return ""
	}
	return t.AsTime().Format("2006-01-02T15:04")
}

// askRedeliverFailed counts the failed deliveries since a time, and shows the form that sends them again.
func (c *Console) askRedeliverFailed(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	page := redelivery{Endpoint: e, Since: v.r.URL.Query().Get("since"), Presets: sincePresets(time.Now())}
	if !v.r.URL.Query().Has("since") {
		return v.show("redeliver", "Send failed deliveries again", page)
	}
	resp, err := c.redeliverFailed(v, e, page.Since, true)
	if err != nil {
		return v.refuseSince(err, page)
	}
	page.Counted, page.Deliveries, page.More = true, resp.GetDeliveries(), resp.GetMore()
	return v.show("redeliver", "Send failed deliveries again", page)
}

// doRedeliverFailed sends the failed deliveries since a time again.
func (c *Console) doRedeliverFailed(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	since := v.r.PostForm.Get("since")
	resp, err := c.redeliverFailed(v, e, since, false)
	switch {
	case err != nil:
		return v.refuseSince(err, redelivery{Endpoint: e, Since: since, Presets: sincePresets(time.Now())})
	case resp.GetMore():
		return v.done("/webhooks/"+e.GetId(), "deliveries-more")
	case resp.GetDeliveries() == 0:
		return v.done("/webhooks/"+e.GetId(), "deliveries-again-not")
	default:
		return v.done("/webhooks/"+e.GetId(), "deliveries-again")
	}
}

func (c *Console) redeliverFailed(v *visit, e endpointView, since string, dryRun bool) (*refractv1.RedeliverWebhooksResponse, error) {
	from, err := utcTime(since)
	if err != nil {
		return nil, err
	}
	return c.webhooks.RedeliverWebhooks(v, &refractv1.RedeliverWebhooksRequest{
		Events: &refractv1.RedeliverWebhooksRequest_Failed{Failed: &refractv1.RedeliverFailed{EndpointId: e.GetId(), SinceTime: from}}, DryRun: dryRun,
	})
}

// refuseSince shows the form again if its time is wrong.
func (v *visit) refuseSince(err error, page redelivery) error {
	if errors.Is(err, errTime) {
		page.Violations = map[string]string{"since": asSentence(err.Error())}
		return v.showStatus(http.StatusBadRequest, "redeliver", "Send failed deliveries again", checkFields, page)
	}
	return v.refuse(err, "redeliver", "Send failed deliveries again", page)
}

// sincePresets are times that are often wanted.
func sincePresets(now time.Time) []choice {
	before := func(d time.Duration) string { return now.Add(-d).UTC().Format(time.RFC3339) }
	return []choice{
		{before(time.Hour), "the last hour"}, {before(24 * time.Hour), "the last day"}, {before(7 * 24 * time.Hour), "the last 7 days"}, {"", "all that are kept"},
	}
}

// attemptView is one request to an endpoint as pages show it.
type attemptView struct{ *refractv1.WebhookAttempt }

// AttemptViews returns the attempts, newest first.
func (d deliveryView) AttemptViews() []attemptView {
	views := make([]attemptView, len(d.GetAttempts()))
	for i, a := range d.GetAttempts() {
		views[i] = attemptView{a}
	}
	return views
}

// Outcome returns the status of the answer in words.
func (a attemptView) Outcome() tone {
	code := int(a.GetHttpStatus())
	text := strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
	switch {
	case code == 0:
		return tone{"BAD", "no answer"}
	case code >= 200 && code < 300:
		return tone{"OK", text}
	default:
		return tone{"BAD", text}
	}
}
