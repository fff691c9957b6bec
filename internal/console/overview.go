package console

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// overviewPage is what the overview shows.
type overviewPage struct {
	Periods []periodLink
	Period  string // The name of the chosen one, in words.
	Key     string // Its name in the URL.
	Tenant  string // The filter of an operator; empty for all tenants.
	Service *serviceState
	Figures *figures // Nil if they could not be made.
}

// serviceState is what operators see of the service.
type serviceState struct {
	Admission *refractv1.Admission
	Paused    []*refractv1.ProviderAccount
	Accounts  int
	Stuck     []*refractv1.StuckTask
	More      bool // Whether more tasks are stuck.
}

// figures are the statistics of tasks, as charts and tables.
type figures struct {
	*refractv1.TaskStatistics
	Count      string
	States     []stateCount
	Throughput throughputChart
	Times      []barRow
	Failures   []barRow
}

type stateCount struct{ State, Tasks string }

// periodLink leads to the same page for a period.
type periodLink struct {
	Name    string
	URL     string
	Current bool
}

// periods are the choices of a period. The default is defaultPeriod.
var periods = []struct {
	key, name string
	length    time.Duration
}{
	{"1h", "1 hour", time.Hour},
	{"24h", "24 hours", 24 * time.Hour},
	{"7d", "7 days", 7 * 24 * time.Hour},
	{"30d", "30 days", 30 * 24 * time.Hour},
}

const defaultPeriod = "24h"

// maxStuckShown is how many stuck tasks the overview lists.
const maxStuckShown = 10

// overview shows what happened to the tasks of a tenant, or of all tenants to operators.
func (c *Console) overview(v *visit) error {
	query := v.r.URL.Query()
	page, length := newOverviewPage(query.Get("period"), strings.TrimSpace(query.Get("tenant")))
	statistics := c.tenantStatistics
	if v.caller.Operator {
		statistics = c.serviceStatistics
		var err error
		if page.Service, err = c.serviceState(v, page.Tenant); err != nil {
			return err
		}
	}
	s, err := statistics(v, page.Tenant, length)
	if status.Code(err) == codes.Unauthenticated {
		return err
	}
	if err != nil {
		shown := errorPageOf(err)
		if shown.Status == http.StatusInternalServerError {
			c.Log.ErrorContext(v, "the statistics of the overview failed", "error", err)
		}
		return v.showStatus(shown.Status, "overview", "Overview", "There are no statistics: "+shown.Message, page)
	}
	page.Figures = newFigures(s)
	return v.show("overview", "Overview", page)
}

// newOverviewPage returns the page for a period by its name in the URL, and the length of the period.
func newOverviewPage(key, tenant string) (overviewPage, time.Duration) {
	page, length := overviewPage{Tenant: tenant}, time.Duration(0)
	chosen := defaultPeriod
	for _, p := range periods {
		if p.key == key {
			chosen = key
		}
	}
	for _, p := range periods {
		target := url.Values{"period": {p.key}}
		if tenant != "" {
			target.Set("tenant", tenant)
		}
		page.Periods = append(page.Periods, periodLink{Name: p.name, URL: "/overview?" + target.Encode(), Current: p.key == chosen})
		if p.key == chosen {
			page.Period, page.Key, length = p.name, p.key, p.length
		}
	}
	return page, length
}

func (c *Console) tenantStatistics(v *visit, _ string, period time.Duration) (*refractv1.TaskStatistics, error) {
	resp, err := c.tasks.GetTaskStatistics(v, &refractv1.GetTaskStatisticsRequest{Period: durationpb.New(period)})
	return resp.GetStatistics(), err
}

func (c *Console) serviceStatistics(v *visit, tenant string, period time.Duration) (*refractv1.TaskStatistics, error) {
	resp, err := c.operators.GetServiceStatistics(v, &refractv1.GetServiceStatisticsRequest{Period: durationpb.New(period), Tenant: tenant})
	return resp.GetStatistics(), err
}

// serviceState returns what operators see of the service, with the stuck tasks of a tenant or of all.
func (c *Console) serviceState(v *visit, tenant string) (*serviceState, error) {
	admission, err := c.operators.GetAdmission(v, &refractv1.GetAdmissionRequest{})
	if err != nil {
		return nil, err
	}
	accounts, err := c.operators.ListProviderAccounts(v, &refractv1.ListProviderAccountsRequest{})
	if err != nil {
		return nil, err
	}
	stuck, err := c.operators.ListStuckTasks(v, &refractv1.ListStuckTasksRequest{PageSize: maxStuckShown, Tenant: tenant})
	if err != nil {
		return nil, err
	}
	s := &serviceState{
		Admission: admission.GetAdmission(), Accounts: len(accounts.GetAccounts()), Stuck: stuck.GetTasks(), More: stuck.GetNextPageToken() != "",
	}
	for _, a := range accounts.GetAccounts() {
		if a.GetPause() != nil {
			s.Paused = append(s.Paused, a)
		}
	}
	return s, nil
}

// newFigures returns the charts and tables of statistics.
func newFigures(s *refractv1.TaskStatistics) *figures {
	s = cmp.Or(s, &refractv1.TaskStatistics{})
	f := &figures{
		TaskStatistics: s, Count: countText(int64(s.GetTasks())), Throughput: newThroughputChart(s),
		Times: newStateTimeRows(s.GetStateTimes()), Failures: newFailureRows(s.GetFailures()),
	}
	for _, n := range s.GetStates() {
		f.States = append(f.States, stateCount{stateName(n.GetState()), countText(int64(n.GetTasks()))})
	}
	return f
}

// reasonText returns the reason of a failure for people, such as "Provider failed".
func reasonText(r refractv1.FailureReason) string {
	if r == refractv1.FailureReason_FAILURE_REASON_UNSPECIFIED {
		return "Unknown"
	}
	return labelText(strings.ToLower(word("FAILURE_REASON_", r)))
}

// causeText returns what a task waits for: the sentence of the service, or else the cause.
func causeText(w *refractv1.Waiting) string {
	switch {
	case w.GetMessage() != "":
		return w.GetMessage()
	case w.GetCause() == refractv1.WaitingCause_WAITING_CAUSE_UNSPECIFIED:
		return "unknown"
	default:
		return labelText(strings.ToLower(word("WAITING_CAUSE_", w.GetCause())))
	}
}
