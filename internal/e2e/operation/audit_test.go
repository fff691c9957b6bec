package operation_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/tenants"
)

// TestAudit_SaysWhoChangedWhat has an operator with a certificate, an operator with a JWT and a tenant with a token change everything
// that they can, and a command make and revoke a token. Then it reads the log by the command of operators, page by page.
func TestAudit_SaysWhoChangedWhat(t *testing.T) {
	t.Parallel()
	s := startIdentityService(t)
	const alice = "spiffe://example.org/operator/alice"
	robot := credentialed{headers: []string{s.issuer.token(t, "first", "films", map[string]any{"groups": "video-operators"})}}
	robotName := s.issuer.URL + " robot-of-films"
	byCert, certCtx := s.conn(t, credentialed{cert: new(s.authority.issue(t, alice))})
	byJWT, jwtCtx := s.conn(t, robot)
	byToken, tokenCtx := s.conn(t, credentialed{headers: []string{"Bearer " + s.Token}})
	ops, jwtOps, hooks := refractv1.NewOperatorServiceClient(byCert), refractv1.NewOperatorServiceClient(byJWT), refractv1.NewWebhookServiceClient(byToken)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	database := "--database-url=" + s.Pool.Config().ConnString()
	exit, out, errs := e2etest.Run(t, "token", "create", "--tenant=films", "--json", database)
	if exit != 0 {
		t.Fatal(errs)
	}
	created := struct{ ID, Token string }{}
	if err := json.Unmarshal([]byte(out), &created); err != nil {
		t.Fatal(err)
	}
	if exit, _, errs := e2etest.Run(t, "token", "revoke", created.ID, database); exit != 0 {
		t.Fatal(errs)
	}
	must(ops.PauseProvider(certCtx, &refractv1.PauseProviderRequest{Account: "kie", Reason: "prices"}))
	must(ops.ResumeProvider(certCtx, &refractv1.ResumeProviderRequest{Account: "kie"}))
	must(ops.UpdateProviderLimits(certCtx, &refractv1.UpdateProviderLimitsRequest{Account: "kie", InFlight: new(int32(7))}))
	must(ops.CloseOffering(certCtx, &refractv1.CloseOfferingRequest{Model: "luma/ray-2-modify", Provider: "kie", Reason: "prices"}))
	must(ops.OpenOffering(certCtx, &refractv1.OpenOfferingRequest{Model: "luma/ray-2-modify", Provider: "kie"}))
	must(ops.CloseAdmission(certCtx, &refractv1.CloseAdmissionRequest{Reason: "audit"}))
	must(ops.CheckRestore(certCtx, &refractv1.CheckRestoreRequest{Settle: true}))
	must(ops.OpenAdmission(certCtx, &refractv1.OpenAdmissionRequest{}))
	must(jwtOps.UpdateTenant(jwtCtx, &refractv1.UpdateTenantRequest{Tenant: "acme", Weight: 2, MaxCallsPerSecond: new(int32(1000))}))
	must(jwtOps.UpdateTenant(jwtCtx, &refractv1.UpdateTenantRequest{Tenant: "acme", Weight: 3, MaxCallsPerSecond: new(int32(1000))}))
	must(jwtOps.UpdateTenant(jwtCtx, &refractv1.UpdateTenantRequest{Tenant: "acme", UseDefault: true}))
	endpoint, err := hooks.CreateWebhookEndpoint(tokenCtx, &refractv1.CreateWebhookEndpointRequest{Url: "https://example.com/hooks/T0PSECRET?key=hunter2", Description: "first"})
	must(endpoint, err)
	id := endpoint.GetEndpoint().GetId()
	must(hooks.UpdateWebhookEndpoint(tokenCtx, &refractv1.UpdateWebhookEndpointRequest{EndpointId: id, Description: new("second")}))
	rotated, err := hooks.RotateWebhookSecret(tokenCtx, &refractv1.RotateWebhookSecretRequest{EndpointId: id})
	must(rotated, err)
	must(hooks.DeleteWebhookEndpoint(tokenCtx, &refractv1.DeleteWebhookEndpointRequest{EndpointId: id}))
	if _, err := ops.CheckTask(certCtx, &refractv1.CheckTaskRequest{TaskId: unknownID}); status.Code(err) != codes.NotFound {
		t.Errorf("a check of no task: %v", err)
	}

	token, ca := strings.TrimPrefix(robot.headers[0], "Bearer "), "--ca="+s.authority.file
	exit, all, errs := e2etest.Command(t, s.GRPCAddr(), "audit", "--json", "--limit=0", ca, "--token="+token)
	if exit != 0 {
		t.Fatal(errs)
	}
	read := func(args ...string) string {
		t.Helper()
		return command(t, s.Service, token, append([]string{"audit", ca}, args...)...)
	}
	var got []string
	for line := range strings.Lines(all) {
		e := &refractv1.AuditEvent{}
		if err := protojson.Unmarshal([]byte(line), e); err != nil {
			t.Fatal(err)
		}
		actor := e.GetActor()
		if kind := strings.TrimPrefix(actor.GetKind().String(), "AUDIT_ACTOR_KIND_"); kind == "COMMAND" || kind == "TOKEN" {
			actor.Name = strings.ToLower(kind) // The user of this machine, and a random id.
		}
		got = append(got, strings.TrimSpace(actor.GetName()+" of "+actor.GetTenant()+": "+e.GetAction()+" "+strings.ReplaceAll(strings.ReplaceAll(e.GetTarget(), id, "E"), created.ID, "T")))
	}
	slices.Reverse(got)
	want := []string{
		"command of : token.create T", "command of : token.revoke T",
		alice + " of : provider.pause kie", alice + " of : provider.resume kie", alice + " of : provider.limit kie",
		alice + " of : offering.close luma/ray-2-modify@kie", alice + " of : offering.open luma/ray-2-modify@kie",
		alice + " of : admission.close admission", alice + " of : admission.settle admission", alice + " of : admission.open admission",
		robotName + " of films: tenant.update acme", robotName + " of films: tenant.update acme", robotName + " of films: tenant.update acme",
		"token of acme: webhook_endpoint.create E", "token of acme: webhook_endpoint.update E",
		"token of acme: webhook_endpoint.rotate_secret E", "token of acme: webhook_endpoint.delete E",
		alice + " of : task.check " + unknownID,
	}
	if !slices.Equal(want, got) {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, secret := range []string{
		"T0PSECRET", "hunter2", created.Token, s.Token, endpoint.GetSecret(), rotated.GetSecret(), strings.TrimPrefix(robot.headers[0], "Bearer "),
	} {
		if strings.Contains(all, secret) {
			t.Errorf("the log has the secret %q:\n%s", secret, all)
		}
	}
	if table := read("--action=tenant"); strings.Count(table, "\n") != 4 || !strings.Contains(table, `{"weight":2} -> {"weight":3}`) || !strings.Contains(table, "-> nothing") {
		t.Errorf("the changes of tenants:\n%s", table)
	}
	if table := read("--actor="+alice, "--target=kie", "--limit=2"); strings.Count(table, "\n") != 3 || !strings.Contains(table, "provider.limit") {
		t.Errorf("the last two changes of alice:\n%s", table)
	}
	if _, err := refractv1.NewOperatorServiceClient(byToken).ListAuditEvents(tokenCtx, &refractv1.ListAuditEventsRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a tenant that reads the log: %v", err)
	}
	if httpStatus, body := s.restAs(t, robot, http.MethodGet, "/v1/auditEvents?action=provider.pause", ""); httpStatus != http.StatusOK || !strings.Contains(string(body), "prices") {
		t.Errorf("REST: %d %s", httpStatus, body)
	}
}

// TestCallRate_ATenantIsRefusedAndNoOther makes many more calls at once than a tenant may, over gRPC and REST.
func TestCallRate_ATenantIsRefusedAndNoOther(t *testing.T) {
	t.Parallel()
	s := startIdentityService(t)
	if err := s.Store(t).Tenants.SetLimits(t.Context(), "acme", tenants.Limits{Weight: 1, MaxCallsPerSecond: 1}, nil); err != nil {
		t.Fatal(err)
	}
	acme := credentialed{headers: []string{"Bearer " + s.Token}}
	e2etest.Eventually(t, "the limit applies", func() bool { return s.overGRPC(t, acme).Reason == "CALL_RATE_EXCEEDED" })
	conn, ctx := s.conn(t, acme)
	var refused, others atomic.Int32
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			_, err := refractv1.NewTaskServiceClient(conn).ListTasks(ctx, &refractv1.ListTasksRequest{}, grpc.WaitForReady(true))
			if st := sight(nil, err); st.Reason == "CALL_RATE_EXCEEDED" && st.Code == codes.ResourceExhausted {
				refused.Add(1)
			} else if err != nil {
				others.Add(1)
			}
		})
	}
	calls.Wait()
	if refused.Load() == 0 || others.Load() > 0 {
		t.Errorf("%d calls of a hundred were refused for their rate, and %d for another reason", refused.Load(), others.Load())
	}
	if got := s.overGRPC(t, credentialed{headers: []string{s.issuer.token(t, "first", "films", nil)}}); got.Code != codes.OK {
		t.Errorf("another tenant: %+v", got)
	}
	e2etest.Eventually(t, "REST refuses before it reads the body", func() bool {
		httpStatus, body := s.restAs(t, acme, http.MethodPost, "/v1/tasks", "this is no JSON")
		return httpStatus == http.StatusTooManyRequests && strings.Contains(string(body), "CALL_RATE_EXCEEDED")
	})
}
