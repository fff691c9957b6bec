package operation_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// TestAPITokens_OperatorsReplaceThem has an operator make tokens over REST and gRPC, list them page by page, and revoke them. A token
// works until it is revoked, and only the answer to its creation has it.
func TestAPITokens_OperatorsReplaceThem(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	o := ts.Operator(t)
	status, header, body := e2etest.Request(t, http.MethodPost, "http://"+ts.HTTPAddr()+"/v1/apiTokens", `{"tenant":"films","operator":true}`, "Authorization", "Bearer "+o.Token)
	first := &refractv1.CreateAPITokenResponse{}
	if err := protojson.Unmarshal(body, first); err != nil || status != http.StatusOK {
		t.Fatalf("REST answered %d %s: %v", status, body, err)
	}
	if got := header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("Cache-Control of the answer with the secret = %q, want no-store", got)
	}
	second, err := o.CreateAPIToken(o.Ctx(t), &refractv1.CreateAPITokenRequest{Tenant: "films"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.CreateAPIToken(o.Ctx(t), &refractv1.CreateAPITokenRequest{Tenant: "films"})
	if got := e2etest.RefusalOf(err); got.Code != codes.FailedPrecondition || got.Reason != "TOO_MANY_TOKENS" {
		t.Errorf("a third token: %v, want TOO_MANY_TOKENS", err)
	}
	if _, err := o.ListAPITokens(e2etest.As(ts.Anonymous(t), first.GetSecret()), &refractv1.ListAPITokensRequest{}); err != nil {
		t.Errorf("a call of operators with the first token: %v", err)
	}
	if _, err := o.ListAPITokens(e2etest.As(ts.Anonymous(t), second.GetSecret()), &refractv1.ListAPITokensRequest{}); e2etest.RefusalOf(err).Reason != "OPERATOR_REQUIRED" {
		t.Errorf("a call of operators with the second token: %v, want OPERATOR_REQUIRED", err)
	}

	revoked, err := o.RevokeAPIToken(o.Ctx(t), &refractv1.RevokeAPITokenRequest{TokenId: strings.ToUpper(first.GetToken().GetId())})
	if err != nil || revoked.GetToken().GetRevokeTime() == nil || !revoked.GetToken().GetOperator() || revoked.GetToken().GetTenant() != "films" {
		t.Fatalf("RevokeAPIToken = %v, %v", revoked, err)
	}
	e2etest.Eventually(t, "the revoked token is refused", func() bool {
		_, err := o.ListAPITokens(e2etest.As(ts.Anonymous(t), first.GetSecret()), &refractv1.ListAPITokensRequest{})
		return e2etest.RefusalOf(err).Reason == "CREDENTIALS_INVALID"
	})
	_, err = o.RevokeAPIToken(o.Ctx(t), &refractv1.RevokeAPITokenRequest{TokenId: first.GetToken().GetId()})
	if got := e2etest.RefusalOf(err); got.Code != codes.NotFound || got.Reason != "TOKEN_NOT_FOUND" {
		t.Errorf("a second revocation: %v, want TOKEN_NOT_FOUND", err)
	}

	var listed []string
	for req := (&refractv1.ListAPITokensRequest{PageSize: 1}); ; {
		page, err := o.ListAPITokens(o.Ctx(t), req)
		if err != nil || len(page.GetTokens()) != 1 {
			t.Fatalf("ListAPITokens(%v) = %v, %v, want one token", req, page, err)
		}
		k := page.GetTokens()[0]
		state := "live"
		if k.GetRevokeTime() != nil {
			state = "revoked"
		}
		listed = append(listed, k.GetTenant()+" "+state)
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	if got := strings.Join(listed, ", "); got != "acme live, films revoked, films live, ops live" {
		t.Errorf("the pages have: %s", got)
	}

	events, err := o.ListAuditEvents(o.Ctx(t), &refractv1.ListAuditEventsRequest{Action: "token"})
	if err != nil || len(events.GetEvents()) != 3 {
		t.Fatalf("ListAuditEvents = %v, %v, want three events", events, err)
	}
	for _, secret := range []string{first.GetSecret(), second.GetSecret()} {
		if strings.Contains(events.String(), secret) {
			t.Errorf("the audit log has the token %s", secret)
		}
		ts.Log.Check(t, secret)
	}
}

// TestTenants_OneIsReadByName reads tenants one by one: the default, one with its own terms, and one that no list has.
func TestTenants_OneIsReadByName(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, nil)
	o := ts.Operator(t)
	for name, weight := range map[string]int32{"-": 3, "films": 7} {
		if _, err := o.UpdateTenant(o.Ctx(t), &refractv1.UpdateTenantRequest{Tenant: name, Weight: weight}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int32{"-": 3, "films": 7, "nobody": 3} {
		resp, err := o.ListTenants(o.Ctx(t), &refractv1.ListTenantsRequest{Tenant: name})
		if err != nil || len(resp.GetTenants()) != 1 || resp.GetNextPageToken() != "" {
			t.Fatalf("ListTenants(%q) = %v, %v, want one tenant", name, resp, err)
		}
		if got := resp.GetTenants()[0]; got.GetTenant() != name || got.GetWeight() != want || got.GetOwnTerms() == (name == "nobody") {
			t.Errorf("ListTenants(%q) = %v, want weight %d", name, got, want)
		}
	}
	events, err := o.ListAuditEvents(o.Ctx(t), &refractv1.ListAuditEventsRequest{Tenant: "films"})
	if err != nil || len(events.GetEvents()) != 1 || events.GetEvents()[0].GetTarget() != "films" {
		t.Errorf("the changes of films: %v, %v, want one", events, err)
	}
}
