package console_test

import (
	"net/http"
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// TestTenants_AnOperatorSetsTerms gives an unknown tenant its own terms, changes its retention alone, and takes the terms away.
func TestTenants_AnOperatorSetsTerms(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.get(t, acme, "/tenants").wantStatus(t, http.StatusForbidden)
	p := s.get(t, operator, "/tenants").wantStatus(t, http.StatusOK).want(t, "The default", "acme")
	const name = "films/a b"
	p = p.submit(t, "Open", "tenant", name).wantStatus(t, http.StatusOK).want(t, "has none of its own")
	p.submit(t, "Save", "terms", "own", "weight", "0").wantStatus(t, http.StatusBadRequest).want(t, "Enter a whole number from 1")
	p.submit(t, "Save", "terms", "own", "weight", "2000").wantStatus(t, http.StatusBadRequest).want(t, "Each is explained at its field")
	p = p.submit(t, "Save", "terms", "own", "weight", "7", "max_per_day", "50").wantStatus(t, http.StatusOK).want(t, "The terms are saved", "0 of 50")
	p = p.submit(t, "Save", "keep_outputs", "36", "keep_outputs_unit", "hours").wantStatus(t, http.StatusOK).want(t, "The terms are saved")
	tenant := func() *refractv1.Tenant {
		t.Helper()
		resp, err := s.operators.ListTenants(s.ctx(t, operator), &refractv1.ListTenantsRequest{Tenant: name})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetTenants()[0]
	}
	if got := tenant(); got.GetWeight() != 7 || got.GetMaxPerDay() != 50 || got.GetKeepOutputs().AsDuration().Hours() != 36 || got.MaxQueued != nil {
		t.Errorf("the tenant has %v", got)
	}
	p = p.submit(t, "Save").wantStatus(t, http.StatusOK).want(t, "Nothing was changed")
	p.submit(t, "Save", "terms", "default").wantStatus(t, http.StatusOK).want(t, "has none of its own")
	if got := tenant(); got.GetOwnTerms() {
		t.Errorf("the tenant has %v, want the default's terms", got)
	}
	audit := s.get(t, operator, "/audit?tenant=films%2Fa+b").wantStatus(t, http.StatusOK).want(t, "tenant.update", "max_per_day")
	if row := audit.row("weight"); row != "weight 7 nothing" {
		t.Errorf("the last change of the weight is shown as %q", row)
	}
	for _, odd := range []string{"..", "open"} { // No path can have such a name.
		s.get(t, operator, "/tenants").submit(t, "Open", "tenant", odd).submit(t, "Save", "terms", "own").wantStatus(t, http.StatusOK).want(t, "The terms are saved")
		s.get(t, operator, "/audit?target="+odd).wantStatus(t, http.StatusOK).want(t, "tenant.update")
	}
	s.get(t, operator, "/audit?from=yesterday").wantStatus(t, http.StatusBadRequest).want(t, "Enter a date and time")
	s.get(t, operator, "/audit?tenant=unknown").wantStatus(t, http.StatusOK).want(t, "No event matches")
}

// TestTokens_ANewTokenIsShownOnce creates a token, sends the same form again as a reload does, and revokes the token.
func TestTokens_ANewTokenIsShownOnce(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.get(t, acme, "/tokens").wantStatus(t, http.StatusForbidden)
	form := s.get(t, operator, "/tokens").wantStatus(t, http.StatusOK).want(t, "acme", "live")
	form.submit(t, "Create the token", "tenant", "-").wantStatus(t, http.StatusBadRequest).want(t, "reserved for the default")
	created := form.submit(t, "Create the token", "tenant", "films").wantStatus(t, http.StatusCreated).want(t, "Copy it now")
	if got := created.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("Cache-Control = %q, want no-store", got)
	}
	secret := textOf(created.all("code")[0])
	if !strings.HasPrefix(secret, "refract_") {
		t.Fatalf("the page shows no token: %s", created.text())
	}
	again := form.submit(t, "Create the token", "tenant", "films").wantStatus(t, http.StatusConflict).want(t, "nothing was done")
	again.wantNot(t, secret)
	list := s.get(t, operator, "/tokens?tenant=films").wantStatus(t, http.StatusOK).wantNot(t, secret)
	if row := list.row("films"); !strings.HasPrefix(row, "films live its tasks") {
		t.Errorf("the list shows the token as %q", row)
	}
	ask := s.get(t, operator, list.link(t, "Revoke")).wantStatus(t, http.StatusOK).want(t, "last live token of films")
	ask.submit(t, "Revoke the token").wantStatus(t, http.StatusOK).want(t, "The token is revoked", "revoked")
	ask.submit(t, "Revoke the token").wantStatus(t, http.StatusNotFound)

	own := ""
	for _, a := range s.get(t, operator, "/tokens?tenant=ops").want(t, "you use it").all("a") {
		if textOf(a) == "Revoke" {
			own = attribute(a, "href")
		}
	}
	s.get(t, operator, own).wantStatus(t, http.StatusOK).want(t, "You lose access")
}
