package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

var providerNotices = map[string]string{
	"account-paused":   "The account is paused. Nothing more is sent to it; open attempts are followed as usual.",
	"account-resumed":  "The account takes tasks again. If its failures continue, the service pauses it again.",
	"limits-set":       "The limits are set. They apply from the next round of admission, and stay after a restart.",
	"limits-reset":     "The configured limits are in force again.",
	"offering-closed":  "The offering is closed. Its queued tasks move on to the next provider of their route, or wait.",
	"offering-opened":  "The offering is open. If the provider still does not have the model, the service closes it again.",
	"admission-closed": "Admission is closed. No task is sent to any provider until it is opened.",
	"admission-opened": "Admission is open.",
}

// providerRoutes adds the pages of provider accounts, offerings and admission.
func (c *Console) providerRoutes() {
	c.handle("GET /providers", c.showProviders)
	c.handle("POST /providers/{account}/pause", c.pauseAccount)
	c.handle("POST /providers/{account}/resume", c.resumeAccount)
	c.handle("POST /providers/{account}/limits", c.limitAccount)
	c.handle("GET /providers/offerings/close", c.askCloseOffering)
	c.handle("POST /providers/offerings/close", c.closeOffering)
	c.handle("POST /providers/offerings/open", c.openOffering)
	c.handle("POST /providers/admission/close", c.closeAdmission)
	c.handle("POST /providers/admission/open", c.openAdmission)
}

// providersPage is what the page of provider accounts shows.
type providersPage struct {
	Admission     *refractv1.Admission
	AdmissionForm postedForm
	Accounts      []accountView
	Models        []catalogModel
	All           bool // Whether offerings without an account and retired ones are shown.
	MoreModels    bool
	Stuck         []stuckView
	StuckNext     string // The URL of the next page; empty at the end.
	StuckFirst    bool
}

// postedForm is a form of a page with several: what was typed into it, if it is the one that was refused.
type postedForm struct {
	Open       bool
	Values     url.Values
	Violations map[string]string
}

// Value returns what was typed into a field.
func (f postedForm) Value(name string) string { return f.Values.Get(name) }

// refusedForm names the form that was refused, on a page with several.
type refusedForm struct {
	name string
	postedForm
}

// called returns the form with a name.
func (f refusedForm) called(name string) postedForm {
	if f.name == name {
		return f.postedForm
	}
	return postedForm{}
}

// accountView is a provider account as the page shows it.
type accountView struct {
	*refractv1.ProviderAccount
	Pausing, Limiting postedForm
}

// State returns the state of the account in a word.
func (a accountView) State() tone {
	switch {
	case a.GetBlocked():
		return tone{"BAD", "blocked"}
	case a.GetProbing():
		return tone{"WAIT", "probing"}
	case a.GetPause() != nil:
		return tone{"WAIT", "paused"}
	default:
		return tone{"OK", "live"}
	}
}

// Explanation says what the state means.
func (a accountView) Explanation() string {
	switch {
	case a.GetBlocked():
		return "The account cannot submit at all. Tasks may move on to another provider of their route."
	case a.GetProbing():
		return "The service paused the account. Single attempts test whether it works again."
	case a.GetPause().GetCause() == refractv1.WaitingCause_WAITING_CAUSE_STORAGE_UNAVAILABLE:
		return "Results cannot be stored, so nothing is sent that could not be saved. This ends by itself."
	case a.GetPause().GetByOperator():
		return "An operator paused the account. It stays paused until it is resumed."
	case a.GetPause() != nil:
		return "The service paused the account because of its failures."
	default:
		return ""
	}
}

// Window returns how full the window of submissions is.
func (a accountView) Window() gauge {
	return newGauge(a.GetRecentSubmissions(), a.GetUnansweredSubmissions(), a.GetLimits().GetRate().GetSubmissions())
}

// WindowText returns the gauge of the window in words.
func (a accountView) WindowText() string {
	w := a.Window()
	return count(w.Used) + " of " + count(w.Limit) + " in the last " + shortDuration(a.GetLimits().GetRate().GetWindow().AsDuration())
}

// Flight returns how many of the possible attempts are in flight.
func (a accountView) Flight() gauge { return newGauge(a.GetInFlight(), 0, a.GetLimits().GetInFlight()) }

// FlightText returns the gauge of attempts in flight in words.
func (a accountView) FlightText() string {
	return count(a.GetInFlight()) + " of " + count(a.GetLimits().GetInFlight())
}

// QueueText returns the number of tasks that wait, which the API counts up to a bound.
func (a accountView) QueueText() string {
	if a.GetQueuedTasks() >= 100000 {
		return "more than 100,000"
	}
	return count(a.GetQueuedTasks())
}

// LimitsText returns the limits in force in words.
func (a accountView) LimitsText() string { return limitsText(a.GetLimits()) }

// ConfiguredText returns the configured limits in words.
func (a accountView) ConfiguredText() string { return limitsText(a.GetConfiguredLimits()) }

func limitsText(l *refractv1.ProviderLimits) string {
	return count(l.GetRate().GetSubmissions()) + " in " + shortDuration(l.GetRate().GetWindow().AsDuration()) + ", " + count(l.GetInFlight()) + " in flight"
}

// Overridden reports whether an operator set other limits than those of the configuration.
func (a accountView) Overridden() bool { return a.LimitsText() != a.ConfiguredText() }

// Field returns the value of a field of the form of limits: what was typed, or the limit in force.
func (a accountView) Field(name string) string {
	if a.Limiting.Open {
		return a.Limiting.Value(name)
	}
	switch name {
	case "submissions":
		return strconv.Itoa(int(a.GetLimits().GetRate().GetSubmissions()))
	case "window":
		return strconv.FormatFloat(a.GetLimits().GetRate().GetWindow().AsDuration().Seconds(), 'f', -1, 64)
	default:
		return strconv.Itoa(int(a.GetLimits().GetInFlight()))
	}
}

// gauge is a bar that shows how much of a limit is used. Widths are in percent.
type gauge struct {
	Used, Limit     int32
	Settled, Unsure float64 // The widths of the parts.
	Unanswered      int32
	Full            bool
}

// newGauge returns the gauge of a number whose second part is not yet certain.
func newGauge(settled, unsure, limit int32) gauge {
	g := gauge{Used: settled + unsure, Limit: limit, Unanswered: unsure, Full: settled+unsure >= limit}
	if limit > 0 {
		g.Settled = min(100, 100*float64(settled)/float64(limit))
		g.Unsure = min(100-g.Settled, 100*float64(unsure)/float64(limit))
	}
	return g
}

// count returns a number with commas between thousands.
func count(n int32) string {
	digits := strconv.Itoa(int(n))
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// shortDuration returns a duration without parts that are zero, such as "10 s" or "1.5 s".
func shortDuration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	default:
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
	}
}

// catalogModel is a model as the page shows it.
type catalogModel struct{ *refractv1.Model }

// Views returns the offerings of the model.
func (m catalogModel) Views() []offeringView {
	views := make([]offeringView, len(m.GetOfferings()))
	for i, o := range m.GetOfferings() {
		views[i] = offeringView{Offering: o, Model: m.GetName()}
		if len(m.GetRoute()) > 1 {
			views[i].Place = slices.Index(m.GetRoute(), o.GetProvider()) + 1
		}
	}
	return views
}

// offeringView is a model at a provider as the page shows it.
type offeringView struct {
	*refractv1.Offering
	Model string
	Place int // The place in the route of the model, from 1; 0 if the route is this offering alone, or does not have it.
}

// State returns the availability in a word.
func (o offeringView) State() tone {
	text := strings.ReplaceAll(strings.ToLower(word("AVAILABILITY_STATE_", o.GetAvailability().GetState())), "_", " ")
	switch o.GetAvailability().GetState() {
	case refractv1.AvailabilityState_AVAILABILITY_STATE_AVAILABLE:
		return tone{"OK", text}
	case refractv1.AvailabilityState_AVAILABILITY_STATE_DEPRECATED:
		return tone{"WAIT", text}
	case refractv1.AvailabilityState_AVAILABILITY_STATE_CLOSED:
		return tone{"BAD", text}
	default:
		return tone{"", text}
	}
}

// Why returns what the state says about the offering beyond its word.
func (o offeringView) Why() string {
	if o.GetAvailability().GetState() == refractv1.AvailabilityState_AVAILABILITY_STATE_NO_ACCOUNT {
		return ""
	}
	return asSentence(o.GetAvailability().GetMessage())
}

// Usually returns how long an attempt takes, as the service has learned or as the catalog says, or an empty string.
func (o offeringView) Usually() string {
	switch {
	case o.GetTypicalDuration() != nil:
		return formatDuration(o.GetTypicalDuration().AsDuration())
	case o.GetUsualDuration() != nil:
		return formatDuration(o.GetUsualDuration().GetDuration().AsDuration()) + " by the catalog"
	default:
		return ""
	}
}

// Closed reports whether the offering is closed, and so can be opened.
func (o offeringView) Closed() bool {
	return o.GetAvailability().GetState() == refractv1.AvailabilityState_AVAILABILITY_STATE_CLOSED
}

// Closable reports whether it makes sense to close the offering: it takes tasks.
func (o offeringView) Closable() bool {
	s := o.GetAvailability().GetState()
	return s == refractv1.AvailabilityState_AVAILABILITY_STATE_AVAILABLE || s == refractv1.AvailabilityState_AVAILABILITY_STATE_DEPRECATED
}

// PriceText returns the price of an attempt, or an empty string.
func (o offeringView) PriceText() string {
	p := o.GetPrice()
	if p.GetAmount() == "" {
		return ""
	}
	unit := map[refractv1.PriceUnit]string{
		refractv1.PriceUnit_PRICE_UNIT_INPUT_SECOND:            "a second of the source",
		refractv1.PriceUnit_PRICE_UNIT_OUTPUT_SECOND:           "a second of the output",
		refractv1.PriceUnit_PRICE_UNIT_INPUT_AND_OUTPUT_SECOND: "a second of source and output",
		refractv1.PriceUnit_PRICE_UNIT_MEGAPIXEL:               "a megapixel of the output",
		refractv1.PriceUnit_PRICE_UNIT_RUN:                     "an attempt",
	}[p.GetUnit()]
	return p.GetAmount() + " " + p.GetCurrency() + " for " + unit
}

// Guess reports whether the price comes from others than the provider.
func (o offeringView) Guess() bool {
	c := o.GetPrice().GetFact().GetCertainty()
	return c == refractv1.Certainty_CERTAINTY_GUESS || c == refractv1.Certainty_CERTAINTY_REPORTED || c == refractv1.Certainty_CERTAINTY_CONTRADICTED
}

// Query names the offering in a URL.
func (o offeringView) Query() string {
	return url.Values{"model": {o.Model}, "provider": {o.GetProvider()}}.Encode()
}

// stuckView is a stuck task as the page shows it.
type stuckView struct {
	*refractv1.StuckTask
	Own bool // Whether the task belongs to the visitor's tenant, so that its page can be opened.
}

// showProviders shows the accounts, the offerings and what is stuck.
func (c *Console) showProviders(v *visit) error {
	page, err := c.providers(v, refusedForm{})
	if err != nil {
		return err
	}
	return v.show("providers", "Providers", page)
}

// providers returns the page of accounts with a form that was refused, if one was.
func (c *Console) providers(v *visit, refused refusedForm) (*providersPage, error) {
	accounts, err := c.operators.ListProviderAccounts(v, &refractv1.ListProviderAccountsRequest{})
	if err != nil {
		return nil, err
	}
	admission, err := c.operators.GetAdmission(v, &refractv1.GetAdmissionRequest{})
	if err != nil {
		return nil, err
	}
	q := v.r.URL.Query()
	page := &providersPage{
		Admission: admission.GetAdmission(), AdmissionForm: refused.called("admission"), All: q.Has("all"), StuckFirst: q.Get(pageParameter) == "",
	}
	for _, a := range accounts.GetAccounts() {
		page.Accounts = append(page.Accounts, accountView{a, refused.called("pause " + a.GetAccount()), refused.called("limits " + a.GetAccount())})
	}
	models, err := c.models.ListModels(v, &refractv1.ListModelsRequest{PageSize: 500, IncludeUnavailable: page.All})
	if err != nil {
		return nil, err
	}
	page.MoreModels = models.GetNextPageToken() != ""
	for _, m := range models.GetModels() {
		page.Models = append(page.Models, catalogModel{m})
	}
	stuck, err := c.operators.ListStuckTasks(v, &refractv1.ListStuckTasksRequest{PageSize: 20, PageToken: q.Get(pageParameter)})
	if err != nil {
		return nil, err
	}
	for _, t := range stuck.GetTasks() {
		page.Stuck = append(page.Stuck, stuckView{t, t.GetTenant() == v.caller.Tenant})
	}
	if page.StuckNext = nextPage(v.r.URL, stuck.GetNextPageToken()); page.StuckNext != "" {
		page.StuckNext += "#stuck"
	}
	return page, nil
}

// refuseAt answers a refused form of the page of accounts with that page, with the form open.
func (c *Console) refuseAt(v *visit, form string, err error) error {
	if _, ok := status.FromError(err); !ok && !errors.Is(err, errNumber) {
		return err
	}
	found := violations(err)
	if ne, ok := errors.AsType[*numberError](err); ok {
		found[ne.field] = asSentence(errNumber.Error())
	}
	page, pageErr := c.providers(v, refusedForm{form, postedForm{true, v.r.PostForm, found}})
	if pageErr != nil {
		return pageErr
	}
	if errors.Is(err, errNumber) {
		return v.showStatus(http.StatusBadRequest, "providers", "Providers", checkFields, page)
	}
	return v.refuse(err, "providers", "Providers", page)
}

// pauseAccount pauses an account.
func (c *Console) pauseAccount(v *visit) error {
	account := v.r.PathValue("account")
	_, err := c.operators.PauseProvider(v, &refractv1.PauseProviderRequest{Account: account, Reason: strings.TrimSpace(v.r.PostForm.Get("reason"))})
	if err != nil {
		return c.refuseAt(v, "pause "+account, err)
	}
	return v.done("/providers", "account-paused")
}

// resumeAccount ends the pause of an account.
func (c *Console) resumeAccount(v *visit) error {
	if _, err := c.operators.ResumeProvider(v, &refractv1.ResumeProviderRequest{Account: v.r.PathValue("account")}); err != nil {
		return err
	}
	return v.done("/providers", "account-resumed")
}

var errNumber = errors.New("enter a number")

// numberError names the field that has no number.
type numberError struct{ field string }

func (e *numberError) Error() string { return e.field + ": " + errNumber.Error() }
func (e *numberError) Unwrap() error { return errNumber }

// limitAccount sets the limits of an account, or restores the configured ones.
func (c *Console) limitAccount(v *visit) error {
	account, notice := v.r.PathValue("account"), "limits-reset"
	req := &refractv1.UpdateProviderLimitsRequest{Account: account}
	if !v.r.PostForm.Has("reset") {
		notice = "limits-set"
		if err := readLimits(req, v.r.PostForm); err != nil {
			return c.refuseAt(v, "limits "+account, err)
		}
	}
	if _, err := c.operators.UpdateProviderLimits(v, req); err != nil {
		return c.refuseAt(v, "limits "+account, err)
	}
	return v.done("/providers", notice)
}

// readLimits reads the limits of a form.
func readLimits(req *refractv1.UpdateProviderLimitsRequest, form url.Values) error {
	submissions, err := strconv.ParseInt(strings.TrimSpace(form.Get("submissions")), 10, 32)
	if err != nil {
		return &numberError{"rate.submissions"}
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(form.Get("window")), 64)
	if err != nil || !(seconds >= 0 && seconds < 1e6) {
		return &numberError{"rate.window"}
	}
	inFlight, err := strconv.ParseInt(strings.TrimSpace(form.Get("in_flight")), 10, 32)
	if err != nil {
		return &numberError{"in_flight"}
	}
	n := int32(inFlight)
	req.InFlight = &n
	req.Rate = &refractv1.SubmissionRate{
		Submissions: int32(submissions), Window: durationpb.New(time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)),
	}
	return nil
}

// offeringClose is what the form shows that closes an offering.
type offeringClose struct {
	Model, Provider, Reason string
	Violations              map[string]string
}

// askCloseOffering shows what closing an offering means.
func (c *Console) askCloseOffering(v *visit) error {
	q := v.r.URL.Query()
	return v.show("offering_close", "Close an offering", offeringClose{Model: q.Get("model"), Provider: q.Get("provider")})
}

// closeOffering closes an offering.
func (c *Console) closeOffering(v *visit) error {
	form := offeringClose{
		Model: v.r.PostForm.Get("model"), Provider: v.r.PostForm.Get("provider"), Reason: strings.TrimSpace(v.r.PostForm.Get("reason")),
	}
	_, err := c.operators.CloseOffering(v, &refractv1.CloseOfferingRequest{Model: form.Model, Provider: form.Provider, Reason: form.Reason})
	if err != nil {
		form.Violations = violations(err)
		return v.refuse(err, "offering_close", "Close an offering", form)
	}
	return v.done("/providers", "offering-closed")
}

// openOffering opens an offering.
func (c *Console) openOffering(v *visit) error {
	_, err := c.operators.OpenOffering(v, &refractv1.OpenOfferingRequest{Model: v.r.PostForm.Get("model"), Provider: v.r.PostForm.Get("provider")})
	if err != nil {
		return err
	}
	return v.done("/providers", "offering-opened")
}

// closeAdmission closes admission.
func (c *Console) closeAdmission(v *visit) error {
	if _, err := c.operators.CloseAdmission(v, &refractv1.CloseAdmissionRequest{Reason: strings.TrimSpace(v.r.PostForm.Get("reason"))}); err != nil {
		return c.refuseAt(v, "admission", err)
	}
	return v.done("/providers", "admission-closed")
}

// openAdmission opens admission.
func (c *Console) openAdmission(v *visit) error {
	if _, err := c.operators.OpenAdmission(v, &refractv1.OpenAdmissionRequest{AcceptUnknown: v.r.PostForm.Has("accept_unknown")}); err != nil {
		return c.refuseAt(v, "admission", err)
	}
	return v.done("/providers", "admission-opened")
}

// SetBack reports whether admission is closed because the database or the bucket is older than what was sent.
func (p *providersPage) SetBack() bool {
	r := p.Admission.GetCloseReason()
	return r == refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_DATABASE_SET_BACK || r == refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_BUCKET_SET_BACK
}

// CloseReason returns why admission is closed, in words.
func (p *providersPage) CloseReason() string {
	switch p.Admission.GetCloseReason() {
	case refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_BY_OPERATOR:
		return "An operator closed it."
	case refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_AT_START:
		return "A replica was started with --admission=closed."
	case refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_DATABASE_SET_BACK:
		return "The database is older than the records of what was sent: it was restored from a backup, or a failover lost commits."
	case refractv1.AdmissionCloseReason_ADMISSION_CLOSE_REASON_BUCKET_SET_BACK:
		return "The bucket lacks the records of what this database sent: the database was copied, restored or moved."
	default:
		return ""
	}
}
