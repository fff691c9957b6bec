package console

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// tenantForm is the form of a tenant's terms. The API sets the share and all quotas together, and takes an absent quota for none. So
// the form has the terms as they were when its page was made: unless one of them is changed, none is sent. Retention times are sent one
// by one.
type tenantForm struct {
	Own        bool // Whether the tenant is to have its own terms.
	WasOwn     bool
	Terms      []termField
	Periods    []periodField
	Violations map[string]string // By field of the API.
}

// termField is the weight or a quota.
type termField struct {
	term

	Value, Unit string
	Was         string // The amount when the page was made; empty for none.
}

// term is what the form says about the weight or a quota.
type term struct {
	Name, Label, Hint string
	Units             []unit // Nil for a plain number.
	Absent            int64  // The amount that applies if none is given; 0 means that there is no limit.
}

// periodField is a retention time.
type periodField struct {
	period

	Value, Unit string
	Was         string // The time when the page was made, in seconds.
}

// period is what the form says about a retention time.
type period struct{ Name, Label, Hint string }

// unit is a unit of amounts.
type unit struct {
	Name string
	Size int64
}

var (
	sizeUnits = []unit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"bytes", 1}}
	timeUnits = []unit{{"days", 86400}, {"hours", 3600}, {"minutes", 60}, {"seconds", 1}}
)

// What the unit of a retention time can be besides a unit.
const (
	keepForever   = "without end"
	keepAsDefault = "as the default"
)

// Units returns the choices of the form, which end with those that need no number.
func (period) Units() []string {
	var names []string
	for _, u := range timeUnits {
		names = append(names, u.Name)
	}
	return append(names, keepForever, keepAsDefault)
}

// terms are the fields of the share and the quotas, in the order of the form.
var terms = []term{
	{Name: "weight", Label: "Weight", Absent: 1, Hint: "The share of a provider relative to other tenants that wait, from 1 to 1000."},
	{Name: "max_queued", Label: "Queued tasks", Hint: "Further submissions are refused."},
	{Name: "max_in_flight", Label: "Open attempts", Hint: "At all providers together. Further tasks wait."},
	{Name: "max_per_day", Label: "Submissions per UTC day", Hint: "Further submissions are refused."},
	{Name: "max_calls_per_second", Label: "Calls per second", Hint: "At each replica. Further calls are refused."},
	{Name: "max_source_bytes", Label: "Size of uploads", Units: sizeUnits, Absent: 100 << 30, Hint: "Of uploaded sources and unfinished uploads together."},
	{Name: "max_sources", Label: "Number of uploads", Absent: 10000, Hint: "Uploaded sources and unfinished uploads."},
	{Name: "max_unfinished_uploads", Label: "Unfinished uploads", Absent: 1000, Hint: "Further uploads are refused."},
}

// keepPeriods are the fields of retention times.
var keepPeriods = []period{
	{"keep_outputs", "Outputs", "After they were saved; an hour at least. Removed outputs do not come back."},
	{"keep_sources", "Uploaded sources", "After their last use; a day at least."},
	{"keep_callbacks", "Callbacks", "After their arrival; an hour at least."},
	{"keep_tasks", "Tasks", "After they ended, with their attempts, events, callbacks and outputs; a day at least."},
}

// Empty says what an empty field means.
func (t term) Empty() string {
	switch {
	case t.Absent == 0:
		return "no limit"
	case t.Units != nil:
		return amountOf(t.Units, t.Absent).String()
	default:
		return strconv.FormatInt(t.Absent, 10)
	}
}

// amount is a number with its unit.
type amount struct {
	Value string
	Unit  string
}

// String returns the amount as text.
func (a amount) String() string { return strings.TrimSpace(a.Value + " " + a.Unit) }

// amountOf returns an amount in the largest unit that divides it. Without units it is a plain number. It is empty for 0.
func amountOf(units []unit, n int64) amount {
	if n == 0 && units == nil {
		return amount{}
	}
	for _, u := range units {
		if n != 0 && n%u.Size == 0 {
			return amount{strconv.FormatInt(n/u.Size, 10), u.Name}
		}
	}
	return amount{Value: strconv.FormatInt(n, 10)}
}

// roundSize returns a size in the unit in which it is 1 at least, with one decimal.
func roundSize(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.Size && u.Size > 1 {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.Size), u.Name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// formOf returns the form with the terms in force.
func formOf(t *refractv1.Tenant) tenantForm {
	own := t.GetOwnTerms() || t.GetTenant() == defaultTenant // The default's are always its own.
	f := tenantForm{Own: own, WasOwn: own}
	for i, n := range []int64{
		int64(t.GetWeight()), limitOf(t.MaxQueued), limitOf(t.MaxInFlight), limitOf(t.MaxPerDay), limitOf(t.MaxCallsPerSecond),
		t.GetMaxSourceBytes(), int64(t.GetMaxSources()), int64(t.GetMaxUnfinishedUploads()),
	} {
		a := amountOf(terms[i].Units, n)
		field := termField{term: terms[i], Value: a.Value, Unit: a.Unit}
		if n != 0 {
			field.Was = strconv.FormatInt(n, 10)
		}
		f.Terms = append(f.Terms, field)
	}
	for i, d := range []*durationpb.Duration{t.GetKeepOutputs(), t.GetKeepSources(), t.GetKeepCallbacks(), t.GetKeepTasks()} {
		f.Periods = append(f.Periods, periodFieldOf(keepPeriods[i], d.AsDuration()))
	}
	return f
}

func periodFieldOf(p period, d time.Duration) periodField {
	f := periodField{period: p, Was: strconv.FormatFloat(d.Seconds(), 'f', -1, 64)}
	switch a := amountOf(timeUnits, int64(d/time.Second)); {
	case d == 0:
		f.Unit = keepForever
	case d%time.Second != 0:
		f.Value, f.Unit = f.Was, "seconds"
	default:
		f.Value, f.Unit = a.Value, a.Unit
	}
	return f
}

// readTenantForm returns the form as it was sent.
func readTenantForm(post url.Values) tenantForm {
	f := tenantForm{Own: post.Get("terms") != "default", WasOwn: post.Get("was_terms") == "own", Violations: map[string]string{}}
	for _, t := range terms {
		f.Terms = append(f.Terms, termField{t, strings.TrimSpace(post.Get(t.Name)), post.Get(t.Name + "_unit"), post.Get("was_" + t.Name)})
	}
	for _, p := range keepPeriods {
		f.Periods = append(f.Periods, periodField{p, strings.TrimSpace(post.Get(p.Name)), post.Get(p.Name + "_unit"), post.Get("was_" + p.Name)})
	}
	return f
}

// request returns the request that makes the changes, and reports whether there are any. It adds violations for what is no number.
func (f *tenantForm) request(name string) (req *refractv1.UpdateTenantRequest, changed bool) {
	if !f.Own && f.WasOwn {
		return &refractv1.UpdateTenantRequest{Tenant: name, UseDefault: true}, true
	}
	req = &refractv1.UpdateTenantRequest{Tenant: name}
	amounts, termsChanged := f.amounts()
	if termsChanged || (f.Own && !f.WasOwn) {
		changed = true
		req.Weight = int32(amounts["weight"]) //nolint:gosec // See termField.amount.
		req.MaxQueued, req.MaxInFlight = quota32(amounts["max_queued"]), quota32(amounts["max_in_flight"])
		req.MaxPerDay, req.MaxCallsPerSecond = quota32(amounts["max_per_day"]), quota32(amounts["max_calls_per_second"])
		req.MaxSources, req.MaxUnfinishedUploads = quota32(amounts["max_sources"]), quota32(amounts["max_unfinished_uploads"])
		if n := amounts["max_source_bytes"]; n != 0 {
			req.MaxSourceBytes = &n
		}
	}
	for i, to := range []**refractv1.KeepTime{&req.KeepOutputs, &req.KeepSources, &req.KeepCallbacks, &req.KeepTasks} {
		keep, problem := f.Periods[i].change()
		if problem != "" {
			f.Violations[f.Periods[i].Name] = problem
		}
		if keep != nil {
			changed, *to = true, keep
		}
	}
	if changed && !f.Own {
		f.Violations["use_default"] = "You changed a field below. Choose terms of its own, or undo the change."
	}
	if !termsChanged && !f.WasOwn && changesPeriod(req) {
		req.Weight, req.MaxQueued, req.MaxInFlight, req.MaxPerDay, req.MaxCallsPerSecond = 0, nil, nil, nil, nil
		req.MaxSourceBytes, req.MaxSources, req.MaxUnfinishedUploads = nil, nil, nil // The API copies the default's terms as they are.
	}
	return req, changed
}

// changesPeriod reports whether a request changes a retention time.
func changesPeriod(req *refractv1.UpdateTenantRequest) bool {
	return req.GetKeepOutputs() != nil || req.GetKeepSources() != nil || req.GetKeepCallbacks() != nil || req.GetKeepTasks() != nil
}

// amounts returns the weight and the quotas as the form has them, 0 for those that are absent, and reports whether one differs from
// what it was. A limit that equals the limit of the release is absent, as it was if the page shows it.
func (f *tenantForm) amounts() (amounts map[string]int64, changed bool) {
	amounts = map[string]int64{}
	for _, t := range f.Terms {
		n, problem := t.amount()
		if problem != "" {
			f.Violations[t.Name] = problem
			continue
		}
		was, _ := strconv.ParseInt(t.Was, 10, 64)
		if t.Name != "weight" && n == t.Absent {
			n = 0
		}
		if t.Name != "weight" && was == t.Absent {
			was = 0
		}
		if t.Name == "weight" && n == 0 {
			n = 1
		}
		amounts[t.Name] = n
		changed = changed || n != was
	}
	return amounts, changed
}

// amount returns the amount of a field, 0 for an empty one, or what is wrong with it.
func (t termField) amount() (n int64, problem string) {
	if t.Value == "" {
		return 0, ""
	}
	for _, u := range t.Units {
		if u.Name == t.Unit && u.Size > 1 {
			x, err := strconv.ParseFloat(t.Value, 64)
			if err != nil || !(x > 0) || x*float64(u.Size) > math.MaxInt64/2 {
				return 0, "Enter a number, or nothing for " + t.Empty() + "."
			}
			return int64(x * float64(u.Size)), ""
		}
	}
	limit := int64(math.MaxInt32)
	if t.Units != nil {
		limit = math.MaxInt64
	}
	n, err := strconv.ParseInt(t.Value, 10, 64)
	if err != nil || n < 1 || n > limit {
		return 0, "Enter a whole number from 1, or nothing for " + t.Empty() + "."
	}
	return n, ""
}

// change returns the change of a retention time, nil if it is as it was, or what is wrong with it.
func (p periodField) change() (keep *refractv1.KeepTime, problem string) {
	var d time.Duration
	switch p.Unit {
	case keepAsDefault:
		return &refractv1.KeepTime{Time: &refractv1.KeepTime_AsDefault{AsDefault: true}}, ""
	case keepForever:
	default:
		x, err := strconv.ParseFloat(p.Value, 64)
		for _, u := range timeUnits {
			if u.Name == p.Unit {
				x *= float64(u.Size)
			}
		}
		if err != nil || !(x > 0) || x > math.MaxInt64/1e9 {
			return nil, "Enter a number above 0, or choose “without end”."
		}
		d = time.Duration(math.Round(x * 1e9))
	}
	if strconv.FormatFloat(d.Seconds(), 'f', -1, 64) == p.Was {
		return nil, ""
	}
	return &refractv1.KeepTime{Time: &refractv1.KeepTime_KeepFor{KeepFor: durationpb.New(d)}}, ""
}

// quota32 returns a quota for a request, nil for none.
func quota32(n int64) *int32 {
	if n == 0 {
		return nil
	}
	return new(int32(min(n, math.MaxInt32))) //nolint:gosec // It is bounded right here.
}

// refused takes the violations of the API. Those of a retention time belong to its field.
func (f *tenantForm) refused(err error) {
	for path, sentence := range violations(err) {
		name, _, _ := strings.Cut(path, ".")
		f.Violations[name] = sentence
	}
}
