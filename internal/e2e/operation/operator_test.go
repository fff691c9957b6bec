package operation_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
)

func protoName(s string) protoreflect.Name { return protoreflect.Name(s) }

const unknownID = "00000000-0000-7000-8000-000000000000"

// TestOperators_AreRecognizedByTheirToken makes every call of operators with a tenant's token and without a token, over
// gRPC and REST.
func TestOperators_AreRecognizedByTheirToken(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	calls := []operatorCall{
		{"ListProviderAccounts", &refractv1.ListProviderAccountsRequest{}, http.MethodGet, "/v1/providers", ""},
		{"UpdateProviderLimits", &refractv1.UpdateProviderLimitsRequest{Account: "kie"}, http.MethodPost, "/v1/providers/kie/limits", ""},
		{"PauseProvider", &refractv1.PauseProviderRequest{Account: "kie", Reason: "x"}, http.MethodPost, "/v1/providers/kie:pause", `{"reason":"x"}`},
		{"ResumeProvider", &refractv1.ResumeProviderRequest{Account: "kie"}, http.MethodPost, "/v1/providers/kie:resume", ""},
		{"CloseOffering", &refractv1.CloseOfferingRequest{Model: "luma/ray-2-modify", Provider: "kie", Reason: "x"}, http.MethodPost, "/v1/models/luma/ray-2-modify:close", `{"provider":"kie","reason":"x"}`},
		{"OpenOffering", &refractv1.OpenOfferingRequest{Model: "luma/ray-2-modify", Provider: "kie"}, http.MethodPost, "/v1/models/luma/ray-2-modify:open", `{"provider":"kie"}`},
		{"ListTenants", &refractv1.ListTenantsRequest{}, http.MethodGet, "/v1/tenants", ""},
		{"UpdateTenant", &refractv1.UpdateTenantRequest{Tenant: "acme"}, http.MethodPut, "/v1/tenants/acme", ""},
		{"ListCallbacks", &refractv1.ListCallbacksRequest{}, http.MethodGet, "/v1/callbacks", ""},
		{"GetCallback", &refractv1.GetCallbackRequest{CallbackId: "1"}, http.MethodGet, "/v1/callbacks/1", ""},
		{"ReplayCallback", &refractv1.ReplayCallbackRequest{CallbackId: "1"}, http.MethodPost, "/v1/callbacks/1:replay", ""},
		{"CheckTask", &refractv1.CheckTaskRequest{TaskId: unknownID}, http.MethodPost, "/v1/tasks/" + unknownID + ":check", ""},
		{"ListStuckTasks", &refractv1.ListStuckTasksRequest{}, http.MethodGet, "/v1/stuckTasks", ""},
		{"GetServiceStatistics", &refractv1.GetServiceStatisticsRequest{}, http.MethodGet, "/v1/statistics", ""},
		{"ListAuditEvents", &refractv1.ListAuditEventsRequest{}, http.MethodGet, "/v1/auditEvents", ""},
		{"ListConsoleSessions", &refractv1.ListConsoleSessionsRequest{}, http.MethodGet, "/v1/consoleSessions", ""},
		{"EndConsoleSession", &refractv1.EndConsoleSessionRequest{SessionId: unknownID}, http.MethodPost, "/v1/consoleSessions/" + unknownID + ":end", ""},
		{"GetAdmission", &refractv1.GetAdmissionRequest{}, http.MethodGet, "/v1/admission", ""},
		{"CloseAdmission", &refractv1.CloseAdmissionRequest{Reason: "x"}, http.MethodPost, "/v1/admission:close", `{"reason":"x"}`},
		{"OpenAdmission", &refractv1.OpenAdmissionRequest{}, http.MethodPost, "/v1/admission:open", ""},
		{"CheckRestore", &refractv1.CheckRestoreRequest{}, http.MethodPost, "/v1/restore:check", ""},
		{"ListAPITokens", &refractv1.ListAPITokensRequest{}, http.MethodGet, "/v1/apiTokens", ""},
		{"CreateAPIToken", &refractv1.CreateAPITokenRequest{Tenant: "acme"}, http.MethodPost, "/v1/apiTokens", `{"tenant":"acme"}`},
		{"RevokeAPIToken", &refractv1.RevokeAPITokenRequest{TokenId: unknownID}, http.MethodPost, "/v1/apiTokens/" + unknownID + ":revoke", ""},
	}
	if got, want := len(calls), len(refractv1.OperatorService_ServiceDesc.Methods); got != want {
		t.Errorf("the table has %d calls, the service %d", got, want)
	}
	for _, tc := range calls {
		t.Run(tc.rpc, func(t *testing.T) { //nolint:paralleltest // It would wait for its turn among all tests, and the service with it.
			for token, want := range map[string]struct {
				e2etest.Refusal
				status int
			}{
				ts.Token: {e2etest.Refusal{Code: codes.PermissionDenied, Reason: "OPERATOR_REQUIRED"}, http.StatusForbidden},
				"":       {e2etest.Refusal{Code: codes.Unauthenticated, Reason: "CREDENTIALS_INVALID"}, http.StatusUnauthorized},
			} {
				overGRPC, overREST, status := tc.refusals(t, ts, token)
				if diff := cmp.Diff(want.Refusal, overGRPC); diff != "" {
					t.Errorf("gRPC (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(want.Refusal, overREST); diff != "" || status != want.status {
					t.Errorf("REST answered %d, want %d (-want +got):\n%s", status, want.status, diff)
				}
			}
			// The public listener does not even reveal that the calls exist.
			status, _, answer := e2etest.Request(t, tc.method, "http://"+ts.IngressAddr()+tc.path, tc.body)
			if status != http.StatusNotFound {
				t.Errorf("the ingress answered %d %s, want 404", status, answer)
			}
		})
	}
}

// TestOperators_WithoutAuthenticationAreAll calls without a token a service that requires none.
func TestOperators_WithoutAuthenticationAreAll(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
		e2etest.EveryProvider(f, c)
		f.Auth = "none"
	})
	resp, err := refractv1.NewOperatorServiceClient(e2etest.Dial(t, ts.GRPCAddr())).ListProviderAccounts(ts.Anonymous(t), &refractv1.ListProviderAccountsRequest{})
	if err != nil || len(resp.GetAccounts()) != 4 {
		t.Errorf("ListProviderAccounts = %v, %v, want four accounts", resp, err)
	}
}

// TestOperators_AreRefusedBadInput runs one table over gRPC and over REST: the same code, reason and fields.
func TestOperators_AreRefusedBadInput(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	token := ts.Operator(t).Token
	long := strings.Repeat("x", 257)
	invalid := func(fields ...string) e2etest.Refusal {
		return e2etest.Refusal{Code: codes.InvalidArgument, Reason: "INVALID_REQUEST", Fields: fields}
	}
	missing := func(reason string) e2etest.Refusal {
		return e2etest.Refusal{Code: codes.NotFound, Reason: reason}
	}
	limit := func(r *refractv1.UpdateProviderLimitsRequest) operatorCall {
		r.Account = "kie"
		return operatorCall{"UpdateProviderLimits", r, http.MethodPost, "/v1/providers/kie/limits", jsonOf(t, r)}
	}
	pause := func(account, reason string) operatorCall {
		r := &refractv1.PauseProviderRequest{Account: account, Reason: reason}
		return operatorCall{"PauseProvider", r, http.MethodPost, "/v1/providers/" + account + ":pause", jsonOf(t, r)}
	}
	closing := func(model, providerName, reason string) operatorCall {
		r := &refractv1.CloseOfferingRequest{Model: model, Provider: providerName, Reason: reason}
		return operatorCall{"CloseOffering", r, http.MethodPost, "/v1/models/" + model + ":close", jsonOf(t, r)}
	}
	tenant := func(r *refractv1.UpdateTenantRequest) operatorCall {
		return operatorCall{"UpdateTenant", r, http.MethodPut, "/v1/tenants/" + r.GetTenant(), jsonOf(t, r)}
	}
	newToken := func(tenant string) operatorCall {
		r := &refractv1.CreateAPITokenRequest{Tenant: tenant}
		return operatorCall{"CreateAPIToken", r, http.MethodPost, "/v1/apiTokens", jsonOf(t, r)}
	}
	revocation := func(id string) operatorCall {
		return operatorCall{"RevokeAPIToken", &refractv1.RevokeAPITokenRequest{TokenId: id}, http.MethodPost, "/v1/apiTokens/" + id + ":revoke", ""}
	}
	callback := func(id string) operatorCall {
		return operatorCall{"GetCallback", &refractv1.GetCallbackRequest{CallbackId: id}, http.MethodGet, "/v1/callbacks/" + id, ""}
	}
	list := func(r *refractv1.ListCallbacksRequest, query string) operatorCall {
		return operatorCall{"ListCallbacks", r, http.MethodGet, "/v1/callbacks?" + query, ""}
	}
	rate := func(submissions int32, window time.Duration) *refractv1.SubmissionRate {
		return &refractv1.SubmissionRate{Submissions: submissions, Window: durationpb.New(window)}
	}
	for name, tc := range map[string]struct {
		call operatorCall
		want e2etest.Refusal
	}{
		"no submissions":     {limit(&refractv1.UpdateProviderLimitsRequest{Rate: rate(0, time.Second)}), invalid("rate.submissions")},
		"too many":           {limit(&refractv1.UpdateProviderLimitsRequest{Rate: rate(100_001, time.Second)}), invalid("rate.submissions")},
		"no window":          {limit(&refractv1.UpdateProviderLimitsRequest{Rate: &refractv1.SubmissionRate{Submissions: 1}}), invalid("rate.window")},
		"too short":          {limit(&refractv1.UpdateProviderLimitsRequest{Rate: rate(1, time.Millisecond)}), invalid("rate.window")},
		"too long":           {limit(&refractv1.UpdateProviderLimitsRequest{Rate: rate(1, 25*time.Hour)}), invalid("rate.window")},
		"none in flight":     {limit(&refractv1.UpdateProviderLimitsRequest{InFlight: new(int32)}), invalid("in_flight")},
		"an unknown limit":   {operatorCall{"UpdateProviderLimits", &refractv1.UpdateProviderLimitsRequest{Account: "kie-eu"}, http.MethodPost, "/v1/providers/kie-eu/limits", ""}, missing("ACCOUNT_NOT_FOUND")},
		"an unknown pause":   {pause("kie-eu", "x"), missing("ACCOUNT_NOT_FOUND")},
		"an unknown resume":  {operatorCall{"ResumeProvider", &refractv1.ResumeProviderRequest{Account: "sim"}, http.MethodPost, "/v1/providers/sim:resume", ""}, missing("ACCOUNT_NOT_FOUND")},
		"no reason":          {pause("kie", ""), invalid("reason")},
		"a blank reason":     {pause("kie", "  "), invalid("reason")},
		"a control":          {pause("kie", "a\x1b[2Jb"), invalid("reason")},
		"a long reason":      {pause("kie", long), invalid("reason")},
		"an unknown model":   {closing("acme/none", "kie", "x"), missing("MODEL_NOT_FOUND")},
		"not sold there":     {closing("luma/ray-3.2-edit", "kie", "x"), invalid("provider")},
		"closed for nothing": {closing("luma/ray-2-modify", "kie", ""), invalid("reason")},
		"a long tenant":      {tenant(&refractv1.UpdateTenantRequest{Tenant: long[:65]}), invalid("tenant")},
		"a heavy tenant":     {tenant(&refractv1.UpdateTenantRequest{Tenant: "acme", Weight: 1001}), invalid("weight")},
		"no quota":           {tenant(&refractv1.UpdateTenantRequest{Tenant: "acme", MaxQueued: new(int32)}), invalid("max_queued")},
		"less than none":     {tenant(&refractv1.UpdateTenantRequest{Tenant: "acme", MaxPerDay: new(int32(-1))}), invalid("max_per_day")},
		"terms and default":  {tenant(&refractv1.UpdateTenantRequest{Tenant: "acme", MaxInFlight: new(int32(1)), UseDefault: true}), invalid("use_default")},
		"a page of tenants":  {operatorCall{"ListTenants", &refractv1.ListTenantsRequest{PageToken: "x"}, http.MethodGet, "/v1/tenants?page_token=x", ""}, invalid("page_token")},
		"a long filter":      {operatorCall{"ListTenants", &refractv1.ListTenantsRequest{Tenant: long[:65]}, http.MethodGet, "/v1/tenants?tenant=" + long[:65], ""}, invalid("tenant")},
		"a page of tokens":   {operatorCall{"ListAPITokens", &refractv1.ListAPITokensRequest{PageToken: "x"}, http.MethodGet, "/v1/apiTokens?page_token=x", ""}, invalid("page_token")},
		"nobody's token":     {newToken(""), invalid("tenant")},
		"the default's":      {newToken("-"), invalid("tenant")},
		"a hidden name":      {newToken("acme\u200b"), invalid("tenant")},
		"no token's id":      {revocation("x"), invalid("token_id")},
		"an unknown token":   {revocation(unknownID), missing("TOKEN_NOT_FOUND")},
		"no number":          {callback("abc"), invalid("callback_id")},
		"too large an id":    {callback(strings.Repeat("9", 19)), invalid("callback_id")},
		"unknown callback":   {callback("4711"), missing("CALLBACK_NOT_FOUND")},
		"unknown session":    {operatorCall{"EndConsoleSession", &refractv1.EndConsoleSessionRequest{SessionId: unknownID}, http.MethodPost, "/v1/consoleSessions/" + unknownID + ":end", ""}, missing("SESSION_NOT_FOUND")},
		"unknown replay":     {operatorCall{"ReplayCallback", &refractv1.ReplayCallbackRequest{CallbackId: "4711"}, http.MethodPost, "/v1/callbacks/4711:replay", ""}, missing("CALLBACK_NOT_FOUND")},
		"no task":            {list(&refractv1.ListCallbacksRequest{TaskId: "x"}, "taskId=x"), invalid("task_id")},
		"no account":         {list(&refractv1.ListCallbacksRequest{Account: "KIE"}, "account=KIE"), invalid("account")},
		"a large page":       {list(&refractv1.ListCallbacksRequest{PageSize: 501}, "pageSize=501"), invalid("page_size")},
		"a page":             {list(&refractv1.ListCallbacksRequest{PageToken: "AAAA"}, "pageToken=AAAA"), invalid("page_token")},
		"before time": {
			list(&refractv1.ListCallbacksRequest{ReceiveTimeFrom: timestamppb.New(time.Unix(-1, 0))}, "receiveTimeFrom=1969-12-31T23:59:59Z"), invalid("receive_time_from"),
		},
		"a page of stuck tasks": {
			operatorCall{"ListStuckTasks", &refractv1.ListStuckTasksRequest{PageToken: "AAAA"}, http.MethodGet, "/v1/stuckTasks?pageToken=AAAA", ""}, invalid("page_token"),
		},
		"an unknown task": {
			operatorCall{"CheckTask", &refractv1.CheckTaskRequest{TaskId: unknownID}, http.MethodPost, "/v1/tasks/" + unknownID + ":check", ""},
			e2etest.Refusal{Code: codes.NotFound, Reason: "TASK_NOT_FOUND", TaskID: unknownID},
		},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // It would wait for its turn among all tests, and the service with it.
			overGRPC, overREST, _ := tc.call.refusals(t, ts, token)
			if diff := cmp.Diff(tc.want, overGRPC); diff != "" {
				t.Errorf("gRPC (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, overREST); diff != "" {
				t.Errorf("REST (-want +got):\n%s", diff)
			}
		})
	}
}
