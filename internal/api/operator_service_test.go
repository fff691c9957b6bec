package api

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/admission"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/retention"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/tenants"
)

// operatorTable stands in for what operators see and change, and keeps what was changed.
type operatorTable struct {
	AccountStore
	TenantStore
	CallbackStore

	changes  []string
	inbox    callback.Filter
	account  admission.Account
	accounts int // How many accounts the table has.
}

func (o *operatorTable) changed(format string, args ...any) error {
	o.changes = append(o.changes, fmt.Sprintf(format, args...))
	return nil
}

func (o *operatorTable) ProviderAccounts(_ context.Context, configured admission.AccountLimits) ([]admission.Account, error) {
	if len(configured) != 1 {
		return nil, fmt.Errorf("%d accounts were asked for", len(configured))
	}
	return []admission.Account{o.account}[:o.accounts], nil
}

func (o *operatorTable) LimitAccount(_ context.Context, account string, l admission.OperatorLimits) error {
	return o.changed("limit %s %+v", account, l)
}

func (o *operatorTable) HoldAccount(_ context.Context, account, reason string) error {
	return o.changed("hold %s %s", account, reason)
}

func (o *operatorTable) ReleaseAccount(_ context.Context, account string) error {
	return o.changed("release %s", account)
}

func (o *operatorTable) Tenant(_ context.Context, name string) (tenants.Tenant, error) {
	return tenants.Tenant{Name: name, Limits: tenants.Limits{Weight: 1}}, nil
}

func (o *operatorTable) SetLimits(_ context.Context, name string, l tenants.Limits, keep retention.PeriodChanges) error {
	return o.changed("limits %q %+v retention %s", name, l, periods(keep))
}

func (o *operatorTable) SetRetention(_ context.Context, name string, keep retention.PeriodChanges) error {
	return o.changed("retention %q %s", name, periods(keep))
}

func (o *operatorTable) DropLimits(_ context.Context, name string) error {
	return o.changed("drop %q", name)
}

func (o *operatorTable) Callbacks(_ context.Context, f callback.Filter) ([]callback.Stored, error) {
	o.inbox = f
	var found []callback.Stored
	for id := range min(f.Limit, 2) {
		found = append(found, callback.Stored{ID: callback.ID(9 - id), ReceiveTime: noon})
	}
	return found, nil
}

// periods returns changes of retention in the order of their kinds.
func periods(changes retention.PeriodChanges) string {
	var all []string
	for _, kind := range retention.Kinds {
		if d, ok := changes[kind]; ok && d == nil {
			all = append(all, fmt.Sprintf("%v=default", kind))
		} else if ok {
			all = append(all, fmt.Sprintf("%v=%v", kind, *d))
		}
	}
	return strings.Join(all, " ")
}

// serveOperators serves an account "kie", and counts how often admission is woken.
func serveOperators(t *testing.T, table *operatorTable) (client refractv1.OperatorServiceClient, admitted *int, lines *logLines) {
	t.Helper()
	log, lines := testLogger()
	admitted = new(int)
	service := NewOperatorService(OperatorServiceConfig{Accounts: table, Tenants: table, Callbacks: table, Admit: func() { *admitted++ }, Log: log})
	service.configured = admission.AccountLimits{"kie": provider.Limits{Submissions: 18, Window: 10 * time.Second, InFlight: 100}}
	conn, _ := serveInMemory(t, Config{Operators: service, Log: log})
	return refractv1.NewOperatorServiceClient(conn), admitted, lines
}

func TestOperator_ChangesAnAccountWakesAdmissionAndLogsWho(t *testing.T) {
	t.Parallel()
	table := &operatorTable{account: admission.Account{Usage: admission.Usage{Account: "kie"}}, accounts: 1}
	client, admitted, lines := serveOperators(t, table)
	ctx := as(t, "operator")
	if _, err := client.PauseProvider(ctx, &refractv1.PauseProviderRequest{Account: "kie", Reason: "prices"}); err != nil {
		t.Error(err)
	}
	if _, err := client.ResumeProvider(ctx, &refractv1.ResumeProviderRequest{Account: "kie"}); err != nil {
		t.Error(err)
	}
	rate := &refractv1.SubmissionRate{Submissions: 3, Window: durationpb.New(time.Minute)}
	if _, err := client.UpdateProviderLimits(ctx, &refractv1.UpdateProviderLimitsRequest{Account: "kie", Rate: rate, InFlight: new(int32(7))}); err != nil {
		t.Error(err)
	}
	want := []string{"hold kie prices", "release kie", "limit kie {Submissions:3 Window:1m0s InFlight:7}"}
	if diff := cmp.Diff(want, table.changes); diff != "" || *admitted != len(want) {
		t.Errorf("admission was woken %d times, changes (-want +got):\n%s", *admitted, diff)
	}
	found := lines.find(t, "changed by an operator")
	if len(found) != len(want) {
		t.Fatalf("the log has %v", found)
	}
	for _, line := range found {
		if line["operator"] != "ops" || line["actor"] != "operator" || line["account"] != "kie" || line["request_id"] == "" {
			t.Errorf("the log has %v", line)
		}
	}
}

func TestOperator_AnAccountThatIsNotConfiguredIsNotFound(t *testing.T) {
	t.Parallel()
	table := &operatorTable{accounts: 0}
	client, admitted, _ := serveOperators(t, table)
	for _, account := range []string{"luma", "kie"} { // The second is configured, and gone when it is read.
		_, err := client.ResumeProvider(as(t, "operator"), &refractv1.ResumeProviderRequest{Account: account})
		reason, facts := reasonOfStatus(status.Convert(err))
		if status.Code(err) != codes.NotFound || reason != "ACCOUNT_NOT_FOUND" || facts["account"] != account {
			t.Errorf("%s: answered %v with %s %v", account, err, reason, facts)
		}
	}
	if diff := cmp.Diff([]string{"release kie"}, table.changes); diff != "" || *admitted != 1 {
		t.Errorf("admission was woken %d times, changes (-want +got):\n%s", *admitted, diff)
	}
}

func TestUpdateTenant_ChangesWhatTheRequestNames(t *testing.T) {
	t.Parallel()
	hours := func(n int) *refractv1.KeepTime {
		return &refractv1.KeepTime{Time: &refractv1.KeepTime_KeepFor{KeepFor: durationpb.New(time.Duration(n) * time.Hour)}}
	}
	standard := &refractv1.KeepTime{Time: &refractv1.KeepTime_AsDefault{AsDefault: true}}
	for name, tc := range map[string]struct {
		req   *refractv1.UpdateTenantRequest
		want  string // The change; empty where the request is refused.
		field string // Of the refusal.
	}{
		"a weight": {
			req:  &refractv1.UpdateTenantRequest{Tenant: "acme", Weight: 3},
			want: `limits "acme" {Weight:3 MaxQueued:0 MaxInFlight:0 MaxPerDay:0 Sources:{Bytes:0 Sources:0 Uploads:0} MaxCallsPerSecond:0} retention `,
		},
		"quotas without a weight": {
			req: &refractv1.UpdateTenantRequest{
				Tenant: "acme", MaxQueued: new(int32(1)), MaxInFlight: new(int32(2)), MaxPerDay: new(int32(3)),
				MaxSourceBytes: new(int64(4)), MaxSources: new(int32(5)), MaxUnfinishedUploads: new(int32(6)),
				MaxCallsPerSecond: new(int32(7)),
			},
			want: `limits "acme" {Weight:1 MaxQueued:1 MaxInFlight:2 MaxPerDay:3 Sources:{Bytes:4 Sources:5 Uploads:6} MaxCallsPerSecond:7} retention `,
		},
		"the default": {
			req:  &refractv1.UpdateTenantRequest{Tenant: "-", Weight: 2},
			want: `limits "" {Weight:2 MaxQueued:0 MaxInFlight:0 MaxPerDay:0 Sources:{Bytes:0 Sources:0 Uploads:0} MaxCallsPerSecond:0} retention `,
		},
		"retention alone": {
			req:  &refractv1.UpdateTenantRequest{Tenant: "acme", KeepOutputs: hours(48), KeepTasks: standard},
			want: `retention "acme" ` + periods(retention.PeriodChanges{retention.OutputKind: new(48 * time.Hour), retention.TaskKind: nil}),
		},
		"nothing, which is a weight of 1": {
			req:  &refractv1.UpdateTenantRequest{Tenant: "acme"},
			want: `limits "acme" {Weight:1 MaxQueued:0 MaxInFlight:0 MaxPerDay:0 Sources:{Bytes:0 Sources:0 Uploads:0} MaxCallsPerSecond:0} retention `,
		},
		"no limits of its own":     {req: &refractv1.UpdateTenantRequest{Tenant: "acme", UseDefault: true}, want: `drop "acme"`},
		"no limits, and a weight":  {req: &refractv1.UpdateTenantRequest{Tenant: "acme", UseDefault: true, Weight: 2}, field: "use_default"},
		"no limits, and retention": {req: &refractv1.UpdateTenantRequest{Tenant: "acme", UseDefault: true, KeepTasks: standard}, field: "use_default"},
		"outputs kept for minutes": {req: &refractv1.UpdateTenantRequest{Tenant: "acme", KeepCallbacks: keepFor(time.Minute)}, field: "keep_callbacks.keep_for"},
		"no tenant":                {req: &refractv1.UpdateTenantRequest{}, field: "tenant"},
		"a weight over the limit":  {req: &refractv1.UpdateTenantRequest{Tenant: "acme", Weight: 1001}, field: "weight"},
		"a quota of nothing":       {req: &refractv1.UpdateTenantRequest{Tenant: "acme", MaxQueued: new(int32(0))}, field: "max_queued"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := &operatorTable{}
			client, admitted, _ := serveOperators(t, table)
			_, err := client.UpdateTenant(as(t, "operator"), tc.req)
			if got := strings.Join(fieldsOfStatus(status.Convert(err)), ","); got != tc.field {
				t.Errorf("answered %v and names %q, want %q", err, got, tc.field)
			}
			if got := strings.Join(table.changes, "; "); got != tc.want || (*admitted == 1) != (tc.want != "") {
				t.Errorf("admission was woken %d times\ngot  %s\nwant %s", *admitted, got, tc.want)
			}
		})
	}
}

func keepFor(d time.Duration) *refractv1.KeepTime {
	return &refractv1.KeepTime{Time: &refractv1.KeepTime_KeepFor{KeepFor: durationpb.New(d)}}
}

func TestListCallbacks_FiltersAndPages(t *testing.T) {
	t.Parallel()
	table := &operatorTable{}
	client, _, _ := serveOperators(t, table)
	resp, err := client.ListCallbacks(as(t, "operator"), &refractv1.ListCallbacksRequest{
		PageSize: 1, TaskId: "01990000-0000-7000-8000-00000000ABCD", Account: "kie",
		Verdicts:        []refractv1.CallbackVerdict{refractv1.CallbackVerdict_CALLBACK_VERDICT_BAD_SIGNATURE},
		ReceiveTimeFrom: timestamppb.New(noon), ReceiveTimeTo: timestamppb.New(noon.Add(time.Hour)),
	})
	if err != nil || len(resp.GetCallbacks()) != 1 || resp.GetCallbacks()[0].GetId() != "9" {
		t.Fatalf("answered %v, %v", resp, err)
	}
	want := callback.Filter{
		Task: "01990000-0000-7000-8000-00000000abcd", Account: "kie", Verdicts: []lifecycle.Verdict{"bad_signature"},
		FromTime: noon, ToTime: noon.Add(time.Hour), Limit: 2,
	}
	if diff := cmp.Diff(want, table.inbox); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	if _, err := client.ListCallbacks(as(t, "operator"), &refractv1.ListCallbacksRequest{PageToken: resp.GetNextPageToken()}); err != nil {
		t.Fatal(err)
	}
	if got := table.inbox.Before; got.ID != 9 || !got.Time.Equal(noon) {
		t.Errorf("the next page begins after %+v, want after callback 9", got)
	}
}

func TestProviderAccount_SaysWhyItIsPaused(t *testing.T) {
	t.Parallel()
	until := noon.Add(time.Minute)
	for name, tc := range map[string]struct {
		account admission.Account
		want    *refractv1.ProviderPause
	}{
		"open": {admission.Account{}, nil},
		"by itself": {
			admission.Account{Usage: admission.Usage{Paused: true, PauseReason: "no credits", PausedUntil: until}},
			&refractv1.ProviderPause{Cause: refractv1.WaitingCause_WAITING_CAUSE_PROVIDER_PAUSED, Reason: "no credits", UntilTime: timestamppb.New(until)},
		},
		"by an operator": {
			admission.Account{Usage: admission.Usage{Paused: true, Held: true, PauseReason: "prices", PausedUntil: until}, Storage: "is full"},
			&refractv1.ProviderPause{Cause: refractv1.WaitingCause_WAITING_CAUSE_PROVIDER_PAUSED, Reason: "prices", ByOperator: true},
		},
		"by the storage": {
			admission.Account{Usage: admission.Usage{Paused: true, PauseReason: "no credits"}, Storage: "is full"},
			&refractv1.ProviderPause{Cause: refractv1.WaitingCause_WAITING_CAUSE_STORAGE_UNAVAILABLE, Reason: "results can't be stored: the storage is full"},
		},
	} {
		if diff := cmp.Diff(tc.want, providerAccount(&tc.account).GetPause(), protocmp.Transform()); diff != "" {
			t.Errorf("%s: pause (-want +got):\n%s", name, diff)
		}
	}
}

func TestTenant_ShowsTheLimitsInForce(t *testing.T) {
	t.Parallel()
	bare := tenant(&tenants.Tenant{Today: 5})
	if bare.GetTenant() != "-" || bare.MaxQueued != nil || bare.SubmissionsToday != nil || bare.GetMaxSources() != 10_000 {
		t.Errorf("the default without quotas is %v", bare)
	}
	for name, want := range map[string]bool{"acme": true, "": false} { // The default stands for many tenants.
		own := tenant(&tenants.Tenant{Name: name, Today: 5, Limits: tenants.Limits{MaxPerDay: 9, Sources: source.Limits{Sources: 3}}})
		if (own.SubmissionsToday != nil) != want || own.GetMaxPerDay() != 9 || own.GetMaxSources() != 3 {
			t.Errorf("%q with a daily quota is %v", name, own)
		}
	}
}

func TestCount32_StaysWithinItsType(t *testing.T) {
	t.Parallel()
	if got := count32(math.MaxInt32 + 1); got != math.MaxInt32 {
		t.Errorf("one more than fits is counted as %d", got)
	}
	if countOf32(0) != nil || *countOf32(7) != 7 {
		t.Error("0 is no quota, and 7 is one")
	}
}
