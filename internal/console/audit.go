package console

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// auditRoutes adds the page of the audit log.
func (c *Console) auditRoutes() {
	c.handle("GET /audit", c.listAudit)
}

// auditFilters are the filters of the audit log, as they are in the URL.
type auditFilters struct {
	Actor, Action, Target, Tenant string
	From, To                      string // In UTC, as a field of a date and time has it.
	Violations                    map[string]string
}

// Set reports whether a filter is set.
func (f auditFilters) Set() bool { return f.Actor+f.Action+f.Target+f.Tenant+f.From+f.To != "" }

// auditPage is what the page of the audit log shows.
type auditPage struct {
	auditFilters
	Events []auditEvent
	Next   string // The URL of the next page; empty at the end.
	First  string // The URL of the first page; empty at the first page.
}

// auditEvent is an event as the page shows it.
type auditEvent struct{ *refractv1.AuditEvent }

// Kind says in words how the actor was authenticated.
func (e auditEvent) Kind() string {
	switch e.GetActor().GetKind() {
	case refractv1.AuditActorKind_AUDIT_ACTOR_KIND_TOKEN:
		return "API token"
	case refractv1.AuditActorKind_AUDIT_ACTOR_KIND_JWT:
		return "JWT"
	case refractv1.AuditActorKind_AUDIT_ACTOR_KIND_CERTIFICATE:
		return "certificate"
	case refractv1.AuditActorKind_AUDIT_ACTOR_KIND_ANONYMOUS:
		return "authentication is off"
	case refractv1.AuditActorKind_AUDIT_ACTOR_KIND_COMMAND:
		return "command"
	default:
		return word("AUDIT_ACTOR_KIND_", e.GetActor().GetKind())
	}
}

// ActionsURL returns the URL of the page with this action only.
func (e auditEvent) ActionsURL() string {
	return "/audit?" + url.Values{"action": {e.GetAction()}}.Encode()
}

// TargetURL returns the URL of the page with this target only.
func (e auditEvent) TargetURL() string {
	return "/audit?" + url.Values{"target": {e.GetTarget()}}.Encode()
}

// Changes returns the fields that differ between before and after.
func (e auditEvent) Changes() []fieldChange { return changesOf(e.GetBefore(), e.GetAfter()) }

// fieldChange is a field of which the value differs between before and after. An absent value is empty.
type fieldChange struct{ Name, Before, After string }

// changesOf returns the fields that differ, by name. Fields of nested values are not looked into.
func changesOf(before, after *structpb.Struct) []fieldChange {
	names := map[string]bool{}
	for name := range before.GetFields() {
		names[name] = true
	}
	for name := range after.GetFields() {
		names[name] = true
	}
	var changes []fieldChange
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, is := before.GetFields()[name], after.GetFields()[name]
		change := fieldChange{Name: name, Before: valueText(was), After: valueText(is)}
		if change.Before != change.After {
			changes = append(changes, change)
		}
	}
	return changes
}

// valueText returns a value as people read it: text without quotes, everything else as JSON. It is empty for no value.
func valueText(v *structpb.Value) string {
	switch kind := v.GetKind().(type) {
	case nil, *structpb.Value_NullValue:
		return ""
	case *structpb.Value_StringValue:
		return kind.StringValue
	}
	text, err := protojson.Marshal(v)
	if err != nil {
		return v.String()
	}
	return string(text)
}

// listAudit shows the audit log, newest first.
func (c *Console) listAudit(v *visit) error {
	q := v.r.URL.Query()
	page := auditPage{auditFilters: auditFilters{
		Actor: strings.TrimSpace(q.Get("actor")), Action: strings.TrimSpace(q.Get("action")), Target: strings.TrimSpace(q.Get("target")),
		Tenant: strings.TrimSpace(q.Get("tenant")), From: q.Get("from"), To: q.Get("to"), Violations: map[string]string{},
	}}
	req := page.request()
	if len(page.Violations) > 0 {
		return v.showStatus(http.StatusBadRequest, "audit", "Audit log", checkFields, page)
	}
	req.PageToken = q.Get(pageParameter)
	resp, err := c.operators.ListAuditEvents(v, req)
	if err != nil {
		page.Violations = violations(err)
		return v.refuse(err, "audit", "Audit log", page)
	}
	for _, e := range resp.GetEvents() {
		page.Events = append(page.Events, auditEvent{e})
	}
	page.Next, page.First = nextPage(v.r.URL, resp.GetNextPageToken()), firstPage(v.r.URL)
	return v.show("audit", "Audit log", page)
}

// request returns the request of the filters, and adds violations for times that are none.
func (f *auditFilters) request() *refractv1.ListAuditEventsRequest {
	req := &refractv1.ListAuditEventsRequest{PageSize: pageSize, Actor: f.Actor, Action: f.Action, Target: f.Target, Tenant: f.Tenant}
	req.CreateTimeFrom = timeFilter(f.From, "create_time_from", f.Violations)
	req.CreateTimeTo = timeFilter(f.To, "create_time_to", f.Violations)
	return req
}
