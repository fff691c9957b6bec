package console

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// inboxRoutes adds the pages of the callback inbox.
func (c *Console) inboxRoutes() {
	c.handle("GET /inbox", c.listInbox)
	c.handle("GET /inbox/{id}", c.showCallback)
	c.handle("POST /inbox/{id}/replay", c.replayCallback)
}

// verdict is what pages say about a verdict.
type verdict struct {
	name, tone string
	// meaning says what the service did with the callback.
	meaning string
}

var verdicts = map[refractv1.CallbackVerdict]verdict{
	refractv1.CallbackVerdict_CALLBACK_VERDICT_APPLIED:       {"applied", "OK", "The callback settled the attempt: its content was proven, and the task went on with it."},
	refractv1.CallbackVerdict_CALLBACK_VERDICT_CONFIRMING:    {"confirming", "BUSY", "The callback was taken as a hint only. It made the service ask the provider, whose answer counts."},
	refractv1.CallbackVerdict_CALLBACK_VERDICT_DUPLICATE:     {"duplicate", "", "The callback reported what was already known, and changed nothing."},
	refractv1.CallbackVerdict_CALLBACK_VERDICT_CONFLICT:      {"conflict", "WAIT", "The callback contradicted what was already known, and changed nothing. An outcome that is settled stays."},
	refractv1.CallbackVerdict_CALLBACK_VERDICT_MISMATCH:      {"mismatch", "WAIT", "The callback named another provider task than that of the attempt, and changed nothing."},
	refractv1.CallbackVerdict_CALLBACK_VERDICT_BAD_SIGNATURE: {"bad signature", "BAD", "The callback was refused, since its signature is missing or wrong: a forgery, or a signing key that is not the configured one."},
	refractv1.CallbackVerdict_CALLBACK_VERDICT_STALE:         {"stale", "BAD", "The callback was refused, since its timestamp is too far from the time of its arrival: a replay, or a clock that is wrong."},
	refractv1.CallbackVerdict_CALLBACK_VERDICT_MALFORMED:     {"malformed", "BAD", "The callback was refused, since it is not JSON, or does not name one provider task."},
}

// callbackView is a callback as pages show it.
type callbackView struct{ *refractv1.Callback }

// Verdict returns the verdict in a word.
func (c callbackView) Verdict() tone {
	v := verdicts[c.GetVerdict()]
	return tone{v.tone, v.name}
}

// Meaning says what the service did with the callback.
func (c callbackView) Meaning() string { return verdicts[c.GetVerdict()].meaning }

// IsText reports whether the body can be shown as text.
func (c callbackView) IsText() bool { return utf8.Valid(c.GetBody()) }

// Text returns the body, indented if it is JSON.
func (c callbackView) Text() string {
	var indented bytes.Buffer
	if json.Indent(&indented, c.GetBody(), "", "  ") != nil {
		return strings.ToValidUTF8(string(c.GetBody()), "\uFFFD")
	}
	return indented.String()
}

// inboxFilters are the filters of the inbox, as they are in the URL.
type inboxFilters struct {
	Verdicts      []string
	Account, Task string
	From, To      string
	Violations    map[string]string
	AllVerdicts   []choice
	Accounts      []string
}

// Has reports whether the filter by verdict has a verdict.
func (f inboxFilters) Has(verdict string) bool { return slices.Contains(f.Verdicts, verdict) }

// Set reports whether a filter is set.
func (f inboxFilters) Set() bool { return len(f.Verdicts) > 0 || f.Account+f.Task+f.From+f.To != "" }

// inboxPage is what the list of callbacks shows.
type inboxPage struct {
	inboxFilters
	Callbacks []callbackView
	Next      string // The URL of the next page; empty at the end.
	First     string // The URL of the first page; empty at the first page.
}

// listInbox shows the callbacks of all tenants, newest first.
func (c *Console) listInbox(v *visit) error {
	q := v.r.URL.Query()
	page := inboxPage{inboxFilters: inboxFilters{
		Verdicts: q["verdict"], Account: strings.TrimSpace(q.Get("account")), Task: strings.TrimSpace(q.Get("task_id")), From: q.Get("from"), To: q.Get("to"),
		Violations: map[string]string{}, AllVerdicts: verdictChoices(),
	}}
	page.Verdicts = slices.DeleteFunc(page.Verdicts, func(name string) bool { return name == "" })
	accounts, err := c.operators.ListProviderAccounts(v, &refractv1.ListProviderAccountsRequest{})
	if err != nil {
		return err
	}
	for _, a := range accounts.GetAccounts() {
		page.Accounts = append(page.Accounts, a.GetAccount())
	}
	if page.Account != "" && !slices.Contains(page.Accounts, page.Account) {
		page.Accounts = append(page.Accounts, page.Account) // One that is no longer configured.
	}
	req := page.request()
	if len(page.Violations) > 0 {
		return v.showStatus(http.StatusBadRequest, "inbox", "Inbox", checkFields, page)
	}
	req.PageToken = q.Get(pageParameter)
	resp, err := c.operators.ListCallbacks(v, req)
	if err != nil {
		page.Violations = violations(err)
		return v.refuse(err, "inbox", "Inbox", page)
	}
	for _, cb := range resp.GetCallbacks() {
		page.Callbacks = append(page.Callbacks, callbackView{cb})
	}
	page.Next, page.First = nextPage(v.r.URL, resp.GetNextPageToken()), firstPage(v.r.URL)
	return v.show("inbox", "Inbox", page)
}

// request returns the request of the filters, and adds violations for times that are none.
func (f *inboxFilters) request() *refractv1.ListCallbacksRequest {
	req := &refractv1.ListCallbacksRequest{PageSize: pageSize, TaskId: f.Task, Account: f.Account}
	for _, name := range f.Verdicts {
		if value, ok := refractv1.CallbackVerdict_value["CALLBACK_VERDICT_"+name]; ok {
			req.Verdicts = append(req.Verdicts, refractv1.CallbackVerdict(value))
		}
	}
	req.ReceiveTimeFrom = timeFilter(f.From, "receive_time_from", f.Violations)
	req.ReceiveTimeTo = timeFilter(f.To, "receive_time_to", f.Violations)
	return req
}

// verdictChoices returns the verdicts in the order of the API.
func verdictChoices() []choice {
	var choices []choice
	for _, v := range slices.Sorted(maps.Keys(verdicts)) {
		choices = append(choices, choice{word("CALLBACK_VERDICT_", v), verdicts[v].name})
	}
	return choices
}

// showCallback shows a callback with its body.
func (c *Console) showCallback(v *visit) error {
	resp, err := c.operators.GetCallback(v, &refractv1.GetCallbackRequest{CallbackId: v.r.PathValue("id")})
	if status.Code(err) == codes.InvalidArgument {
		return errNoPage // The path has no id.
	}
	if err != nil {
		return err
	}
	return v.show("callback", "Callback "+resp.GetCallback().GetId(), callbackView{resp.GetCallback()})
}

// inquiryPage is what the page shows that answers a question to a provider.
type inquiryPage struct {
	*refractv1.Inquiry
	Back, Name string
}

// Sentence says what was done and what comes next.
func (p inquiryPage) Sentence() string { return asSentence(p.GetMessage()) }

// Outcome returns the outcome in a word.
func (p inquiryPage) Outcome() tone {
	switch p.GetOutcome() {
	case refractv1.InquiryOutcome_INQUIRY_OUTCOME_CONFIRMING:
		return tone{"BUSY", "asking the provider"}
	case refractv1.InquiryOutcome_INQUIRY_OUTCOME_SETTLED:
		return tone{"OK", "already settled"}
	default:
		return tone{"WAIT", "cannot ask"}
	}
}

// replayCallback processes a callback again and shows what was done. The outcome has a sentence of its own, so the answer to the form
// shows it; sending the form twice asks twice, and changes nothing else.
func (c *Console) replayCallback(v *visit) error {
	id := v.r.PathValue("id")
	resp, err := c.operators.ReplayCallback(v, &refractv1.ReplayCallbackRequest{CallbackId: id})
	if err != nil {
		return err
	}
	return v.show("inquiry", "Callback replayed", inquiryPage{Inquiry: resp.GetInquiry(), Back: "/inbox/" + id, Name: "callback " + id})
}
