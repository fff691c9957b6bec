package console

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

var webhookNotices = map[string]string{
	"webhook-changed":      "The endpoint is changed. Events that happen from now on follow it.",
	"webhook-enabled":      "The endpoint is enabled. Pending deliveries continue.",
	"webhook-disabled":     "The endpoint is disabled. Events that happen from now on are not kept for it.",
	"webhook-deleted":      "The endpoint and its deliveries are deleted.",
	"delivery-again":       "The event is sent again. The new attempt appears here within moments.",
	"deliveries-again":     "The failed deliveries are sent again.",
	"deliveries-again-not": "No delivery has failed since then, so nothing was sent.",
	"deliveries-more":      "The first 10,000 failed deliveries are sent again. More are left: send those again, too.",
}

// webhookRoutes adds the pages of webhook endpoints and their deliveries.
func (c *Console) webhookRoutes() {
	c.handle("GET /webhooks", c.listWebhooks)
	c.handle("POST /webhooks", c.createWebhook)
	c.handle("GET /webhooks/new", c.newWebhook)
	c.handle("GET /webhooks/{id}", c.showWebhook)
	c.handle("POST /webhooks/{id}", c.updateWebhook)
	c.handle("GET /webhooks/{id}/edit", c.editWebhook)
	c.handle("POST /webhooks/{id}/enable", c.switchWebhook(true, "webhook-enabled"))
	c.handle("POST /webhooks/{id}/disable", c.switchWebhook(false, "webhook-disabled"))
	c.handle("GET /webhooks/{id}/delete", c.askDeleteWebhook)
	c.handle("POST /webhooks/{id}/delete", c.deleteWebhook)
	c.handle("GET /webhooks/{id}/rotate", c.askRotateWebhook)
	c.handle("POST /webhooks/{id}/rotate", c.rotateWebhook)
	c.handle("POST /webhooks/{id}/test", c.testWebhook)
	c.handle("GET /webhooks/{id}/redeliver", c.askRedeliverFailed)
	c.handle("POST /webhooks/{id}/redeliver", c.doRedeliverFailed)
	c.handle("GET /webhooks/{id}/deliveries/{event}", c.showDelivery)
	c.handle("POST /webhooks/{id}/deliveries/{event}/redeliver", c.redeliver)
}

// eventTypes are the types of events, in the order in which a task meets them.
var eventTypes = []refractv1.WebhookEventType{
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_QUEUED,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_RUNNING,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_SAVING,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_SUCCEEDED,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_FAILED,
	refractv1.WebhookEventType_WEBHOOK_EVENT_TYPE_TASK_CANCELED,
}

// eventName returns a type of events as it is spelled in the body of a request, such as "task.succeeded".
func eventName(t refractv1.WebhookEventType) string {
	return strings.ToLower(strings.Replace(word("WEBHOOK_EVENT_TYPE_", t), "_", ".", 1))
}

// endpointView is an endpoint as pages show it.
type endpointView struct{ *refractv1.WebhookEndpoint }

// Name returns the URL, or what the endpoint is for that has none.
func (e endpointView) Name() string {
	if e.GetUrl() == "" {
		return "Tasks with their own webhook_uri"
	}
	return e.GetUrl()
}

// ForTasks reports whether the endpoint is the one without a URL.
func (e endpointView) ForTasks() bool { return e.GetUrl() == "" }

// Events returns the types of events.
func (e endpointView) Events() []string {
	names := make([]string, len(e.GetEventTypes()))
	for i, t := range e.GetEventTypes() {
		names[i] = eventName(t)
	}
	return names
}

// LabelLines returns the labels as lines of the form key=value, in the order of their keys.
func (e endpointView) LabelLines() []string { return labelLines(e.GetLabels()) }

func labelLines(labels map[string]string) []string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		lines = append(lines, key+"="+labels[key])
	}
	return lines
}

// State returns the state of the endpoint in a word.
func (e endpointView) State() tone {
	switch {
	case !e.GetEnabled():
		return tone{"BAD", "disabled"}
	case e.GetPausedUntilTime() != nil && e.GetPausedUntilTime().AsTime().After(time.Now()):
		return tone{"WAIT", "paused"}
	case e.GetFailingSinceTime() != nil:
		return tone{"WAIT", "failing"}
	default:
		return tone{"OK", "enabled"}
	}
}

// DisabledBecause returns why the endpoint is disabled; empty while it is enabled.
func (e endpointView) DisabledBecause() string {
	switch e.GetDisableReason() {
	case refractv1.WebhookDisableReason_WEBHOOK_DISABLE_REASON_REQUESTED:
		return "by request"
	case refractv1.WebhookDisableReason_WEBHOOK_DISABLE_REASON_GONE:
		return "because it answered 410 Gone"
	case refractv1.WebhookDisableReason_WEBHOOK_DISABLE_REASON_FAILING:
		return "because every request failed for 5 days"
	default:
		return ""
	}
}

// Version changes with each change of the endpoint. A form carries it so that a reload of its result does not repeat the change.
func (e endpointView) Version() string {
	return e.GetUpdateTime().AsTime().UTC().Format(time.RFC3339Nano)
}

// webhookList is what the list of endpoints shows.
type webhookList struct {
	Endpoints []endpointView
	HasURL    bool // Whether an endpoint has a URL.
	ForTasks  bool // Whether there is the endpoint without a URL.
}

// listWebhooks shows the tenant's endpoints.
func (c *Console) listWebhooks(v *visit) error {
	endpoints, err := c.endpoints(v)
	if err != nil {
		return err
	}
	list := webhookList{Endpoints: endpoints}
	for _, e := range endpoints {
		list.ForTasks = list.ForTasks || e.ForTasks()
		list.HasURL = list.HasURL || !e.ForTasks()
	}
	return v.show("webhooks", "Webhooks", list)
}

func (c *Console) endpoints(v *visit) ([]endpointView, error) {
	resp, err := c.webhooks.ListWebhookEndpoints(v, &refractv1.ListWebhookEndpointsRequest{})
	if err != nil {
		return nil, err
	}
	endpoints := make([]endpointView, len(resp.GetEndpoints()))
	for i, e := range resp.GetEndpoints() {
		endpoints[i] = endpointView{e}
	}
	return endpoints, nil
}

// endpoint returns the endpoint that the path of the page names.
func (c *Console) endpoint(v *visit) (endpointView, error) {
	resp, err := c.webhooks.GetWebhookEndpoint(v, &refractv1.GetWebhookEndpointRequest{EndpointId: v.r.PathValue("id")})
	if status.Code(err) == codes.InvalidArgument {
		return endpointView{}, errNoPage // The path has no id.
	}
	return endpointView{resp.GetEndpoint()}, err
}

// webhookForm is what the form of an endpoint shows.
type webhookForm struct {
	Endpoint   *endpointView // The endpoint that is edited; nil for a new one.
	Version    string
	ForTasks   bool // Whether the endpoint has no URL.
	URL        string
	About      string
	Types      map[string]bool // By name.
	Labels     string          // One a line.
	RateLimit  string
	Violations map[string]string // By field of the API.
}

// AllTypes returns the names of all types of events, for the form.
func (webhookForm) AllTypes() []string {
	names := make([]string, len(eventTypes))
	for i, t := range eventTypes {
		names[i] = eventName(t)
	}
	return names
}

// newWebhook shows the form of a new endpoint.
func (c *Console) newWebhook(v *visit) error {
	endpoints, err := c.endpoints(v)
	if err != nil {
		return err
	}
	return v.show("webhook_form", "New webhook endpoint", webhookForm{
		Version: versionOf(endpoints), ForTasks: v.r.URL.Query().Has("tasks"),
		Types: map[string]bool{"task.succeeded": true, "task.failed": true, "task.canceled": true},
	})
}

// versionOf returns a version that changes when an endpoint is created or deleted.
func versionOf(endpoints []endpointView) string {
	ids := sha256.New()
	for _, e := range endpoints {
		ids.Write([]byte(e.GetId()))
	}
	return base64.RawURLEncoding.EncodeToString(ids.Sum(nil)[:12])
}

// editWebhook shows the form of an endpoint that exists.
func (c *Console) editWebhook(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	form := webhookForm{
		Endpoint: &e, ForTasks: e.ForTasks(), URL: e.GetUrl(), About: e.GetDescription(), Types: map[string]bool{},
		Labels: strings.Join(e.LabelLines(), "\n"),
	}
	for _, name := range e.Events() {
		form.Types[name] = true
	}
	if e.GetRateLimit() > 0 {
		form.RateLimit = strconv.Itoa(int(e.GetRateLimit()))
	}
	return v.show("webhook_form", "Edit webhook endpoint", form)
}

// webhookFields are the fields of a form, as the API takes them.
type webhookFields struct {
	types     []refractv1.WebhookEventType
	labels    map[string]string
	rateLimit int32
}

// readWebhookForm returns what was typed, for showing it again, and its fields. The violations of the form are what the API could not
// be asked about.
func (v *visit) readWebhookForm() (webhookForm, webhookFields) {
	post := v.r.PostForm
	form := webhookForm{
		Version: post.Get("version"), ForTasks: post.Has("tasks"), URL: strings.TrimSpace(post.Get("url")), About: strings.TrimSpace(post.Get("description")),
		Types: map[string]bool{}, Labels: post.Get("labels"), RateLimit: strings.TrimSpace(post.Get("rate_limit")), Violations: map[string]string{},
	}
	var fields webhookFields
	for _, t := range eventTypes {
		if slices.Contains(post["event_types"], eventName(t)) {
			form.Types[eventName(t)] = true
			fields.types = append(fields.types, t)
		}
	}
	if len(fields.types) == 0 {
		form.Violations["event_types"] = "Choose one type at least."
	}
	if !form.ForTasks && form.URL == "" {
		form.Violations["url"] = "Enter the URL that receives the events."
	}
	var problem string
	if fields.labels, problem = readLabels(form.Labels); problem != "" {
		form.Violations["labels"] = problem
	}
	if form.RateLimit != "" {
		n, err := strconv.ParseInt(form.RateLimit, 10, 32)
		if err != nil {
			form.Violations["rate_limit"] = "Enter a number from 1 to 1000, or nothing."
		}
		fields.rateLimit = int32(n)
	}
	return form, fields
}

// readLabels returns the labels of a text with one label a line, or what is wrong with the text.
func readLabels(text string) (labels map[string]string, problem string) {
	labels = map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if _, twice := labels[key]; twice {
			return nil, "The key " + key + " stands there twice."
		}
		if !ok || key == "" {
			return nil, "Write each label as key=value on a line of its own."
		}
		labels[key] = value
	}
	return labels, ""
}

// refused returns what is wrong with a form by the names of its fields. Violations of single labels or types belong to their field.
func (f *webhookForm) refused(err error) {
	f.Violations = map[string]string{}
	found := violations(err)
	for _, path := range slices.Sorted(maps.Keys(found)) {
		sentence := found[path]
		name, rest, _ := strings.Cut(strings.TrimPrefix(path, "labels."), "[")
		if key, ok := strings.CutSuffix(rest, "]"); ok && name == "labels" {
			sentence = strings.Trim(key, `"`) + ": " + sentence
		}
		f.Violations[name] = strings.TrimSpace(f.Violations[name] + " " + sentence)
	}
}

var errChangedMeanwhile = errors.New("the endpoints have changed since this form was opened, so nothing was done. If you have reloaded the page, it is done already. Otherwise send the form again")

// createWebhook creates an endpoint and shows its secret, once. The secret is in no URL, so the answer to the form shows it.
func (c *Console) createWebhook(v *visit) error {
	form, fields := v.readWebhookForm()
	endpoints, err := c.endpoints(v)
	if err != nil {
		return err
	}
	if known := versionOf(endpoints); form.Version != known {
		form.Version = known
		return v.showStatus(http.StatusConflict, "webhook_form", "New webhook endpoint", asSentence(errChangedMeanwhile.Error()), form)
	}
	if len(form.Violations) > 0 {
		return v.showStatus(http.StatusBadRequest, "webhook_form", "New webhook endpoint", checkFields, form)
	}
	req := &refractv1.CreateWebhookEndpointRequest{
		Description: form.About, EventTypes: fields.types, Labels: fields.labels, RateLimit: fields.rateLimit,
	}
	if !form.ForTasks {
		req.Url = form.URL
	}
	resp, err := c.webhooks.CreateWebhookEndpoint(v, req)
	if err != nil {
		form.refused(err)
		return v.refuse(err, "webhook_form", "New webhook endpoint", form)
	}
	return v.showSecret(http.StatusCreated, "Webhook endpoint created", webhookSecret{
		Endpoint: endpointView{resp.GetEndpoint()}, Secret: resp.GetSecret(), Created: true,
	})
}

// updateWebhook changes an endpoint.
func (c *Console) updateWebhook(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	form, fields := v.readWebhookForm()
	form.Endpoint, form.ForTasks = &e, e.ForTasks()
	if form.ForTasks {
		delete(form.Violations, "url")
	}
	if len(form.Violations) > 0 {
		return v.showStatus(http.StatusBadRequest, "webhook_form", "Edit webhook endpoint", checkFields, form)
	}
	req := &refractv1.UpdateWebhookEndpointRequest{
		EndpointId: e.GetId(), Description: &form.About, EventTypes: fields.types, Labels: &refractv1.WebhookLabels{Labels: fields.labels}, RateLimit: &fields.rateLimit,
	}
	if !form.ForTasks {
		req.Url = &form.URL
	}
	if _, err := c.webhooks.UpdateWebhookEndpoint(v, req); err != nil {
		form.refused(err)
		return v.refuse(err, "webhook_form", "Edit webhook endpoint", form)
	}
	return v.done("/webhooks/"+e.GetId(), "webhook-changed")
}

// switchWebhook enables or disables an endpoint.
func (c *Console) switchWebhook(enabled bool, notice string) func(*visit) error {
	return func(v *visit) error {
		e, err := c.endpoint(v)
		if err != nil {
			return err
		}
		if _, err := c.webhooks.UpdateWebhookEndpoint(v, &refractv1.UpdateWebhookEndpointRequest{EndpointId: e.GetId(), Enabled: &enabled}); err != nil {
			return err
		}
		return v.done("/webhooks/"+e.GetId(), notice)
	}
}

// askDeleteWebhook shows what the deletion of an endpoint means.
func (c *Console) askDeleteWebhook(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	return v.show("webhook_delete", "Delete webhook endpoint", e)
}

// deleteWebhook deletes an endpoint.
func (c *Console) deleteWebhook(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	if _, err := c.webhooks.DeleteWebhookEndpoint(v, &refractv1.DeleteWebhookEndpointRequest{EndpointId: e.GetId()}); err != nil {
		return err
	}
	return v.done("/webhooks", "webhook-deleted")
}

// webhookSecret is what the page with a new secret shows.
type webhookSecret struct {
	Endpoint endpointView
	Secret   string
	Created  bool // Whether the endpoint is new. Otherwise its secret was rotated.
}

// showSecret shows a secret that no other page can show.
func (v *visit) showSecret(status int, title string, page webhookSecret) error {
	v.w.Header().Set("Cache-Control", "no-store")
	return v.showStatus(status, "webhook_secret", title, "", page)
}

// graces are the grace periods that the form of a rotation offers.
var graces = []grace{
	{"24h", "1 day"}, {"1h", "1 hour"}, {"168h", "7 days"}, {"0s", "none: the current secret ends at once"},
}

type grace struct{ Value, Name string }

// webhookRotation is what the form of a rotation shows.
type webhookRotation struct {
	Endpoint endpointView
	Graces   []grace
}

// askRotateWebhook shows the form of a rotation.
func (c *Console) askRotateWebhook(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	return v.show("webhook_rotate", "Rotate the secret", webhookRotation{e, graces})
}

// rotateWebhook makes a new secret and shows it, once.
func (c *Console) rotateWebhook(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	if v.r.PostForm.Get("version") != e.Version() {
		return v.showStatus(http.StatusConflict, "webhook_rotate", "Rotate the secret", asSentence(errChangedMeanwhile.Error()), webhookRotation{e, graces})
	}
	period, err := time.ParseDuration(v.r.PostForm.Get("grace"))
	if err != nil {
		return v.showStatus(http.StatusBadRequest, "webhook_rotate", "Rotate the secret", "Choose a grace period.", webhookRotation{e, graces})
	}
	resp, err := c.webhooks.RotateWebhookSecret(v, &refractv1.RotateWebhookSecretRequest{EndpointId: e.GetId(), GracePeriod: durationpb.New(period)})
	if err != nil {
		return v.refuse(err, "webhook_rotate", "Rotate the secret", webhookRotation{e, graces})
	}
	return v.showSecret(http.StatusOK, "New secret", webhookSecret{Endpoint: endpointView{resp.GetEndpoint()}, Secret: resp.GetSecret()})
}

// webhookTest is what the result of a test shows.
type webhookTest struct {
	Endpoint endpointView
	Attempt  attemptView
}

// testWebhook sends a test event and shows the answer. The service does not keep it, so this page alone has it.
func (c *Console) testWebhook(v *visit) error {
	e, err := c.endpoint(v)
	if err != nil {
		return err
	}
	resp, err := c.webhooks.SendTestWebhook(v, &refractv1.SendTestWebhookRequest{EndpointId: e.GetId()})
	if err != nil {
		return err
	}
	return v.show("webhook_test", "Test of a webhook endpoint", webhookTest{e, attemptView{resp.GetAttempt()}})
}
