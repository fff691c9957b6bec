package console_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// secretText matches the secret of an endpoint.
var secretText = regexp.MustCompile(`whsec_[A-Za-z0-9+/=]{20,}`)

func TestWebhooks_ASecretIsShownOnceAndAReloadChangesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	form := s.get(t, acme, "/webhooks/new")
	created := form.submit(t, "Create endpoint", "url", "https://example.com/hook", "labels", "team=video").wantStatus(t, http.StatusCreated)
	secret := secretText.FindString(created.text())
	if secret == "" || created.header.Get("Cache-Control") != "no-store" || strings.Contains(created.url.String(), "whsec") {
		t.Fatalf("%s (Cache-Control %q) shows no secret, or may be kept:\n%s", created.url, created.header.Get("Cache-Control"), created.text())
	}
	form.submit(t, "Create endpoint", "url", "https://example.com/hook").wantStatus(t, http.StatusConflict).want(t, "so nothing was done")

	list := s.get(t, acme, "/webhooks").want(t, "team=video").wantNot(t, secret)
	endpoint := list.link(t, "https://example.com/hook")
	s.get(t, acme, endpoint).wantStatus(t, http.StatusOK).wantNot(t, secret)
	s.get(t, other, "/webhooks").wantNot(t, "example.com/hook")
	s.get(t, other, endpoint).wantStatus(t, http.StatusNotFound)

	rotate := s.get(t, acme, endpoint+"/rotate")
	rotated := rotate.submit(t, "Rotate the secret").wantStatus(t, http.StatusOK).want(t, "signed with the previous secret, too, until").wantNot(t, secret)
	if secretText.FindString(rotated.text()) == "" {
		t.Errorf("no new secret is shown:\n%s", rotated.text())
	}
	rotate.submit(t, "Rotate the secret").wantStatus(t, http.StatusConflict).wantNot(t, "whsec_")
}

func TestWebhooks_AFormKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	p := s.get(t, acme, "/webhooks/new").submit(t, "Create endpoint", "url", "https://example.com/hook", "description", "<b>Billing", "labels", "UPPER=1", "rate_limit", "5000").
		wantStatus(t, http.StatusBadRequest).want(t, "UPPER: Must be 1 to 63", "less than or equal to 1000").wantNot(t, "<b>Billing")
	for _, input := range p.all("input") {
		name := attribute(input, "name")
		if name == "description" && attribute(input, "value") != "<b>Billing" {
			t.Errorf("the description is %q", attribute(input, "value"))
		}
		if name == "rate_limit" && (attribute(input, "aria-invalid") != "true" || !strings.Contains(attribute(input, "aria-describedby"), "rate_limit-error")) {
			t.Errorf("the rate limit does not lead to its problem: %+v", input.Attr)
		}
	}
	s.get(t, acme, "/webhooks").want(t, "There is no endpoint yet")
}

func TestWebhooks_AnEndpointIsTestedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	var broken atomic.Bool
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			http.Error(w, "<i>out of order</i>", http.StatusInternalServerError)
		}
	}))
	t.Cleanup(receiver.Close)
	s.get(t, acme, "/webhooks/new").submit(t, "Create endpoint", "url", receiver.URL+"/hook").wantStatus(t, http.StatusCreated)
	endpoint := s.get(t, acme, "/webhooks").link(t, receiver.URL+"/hook")

	s.get(t, acme, endpoint).submit(t, "Send a test event").want(t, "The test succeeded", "200 OK")
	broken.Store(true)
	s.get(t, acme, endpoint).submit(t, "Send a test event").want(t, "The test failed", "500", "<i>out of order</i>").wantNot(t, "<i>out of order</i>")
	broken.Store(false)

	task := s.submit(t, acme, "A neon city")
	s.await(t, acme, task.GetId(), succeeded)
	delivery := s.get(t, acme, endpoint).want(t, task.GetId()).link(t, "task.succeeded")
	sending := s.get(t, acme, delivery).want(t, task.GetId(), "Attempts")
	sending.submit(t, sending.sendButton(t)).want(t, "The event is sent again")
	s.get(t, acme, endpoint+"?state=FAILED").want(t, "No delivery matches the filters")
	s.get(t, acme, endpoint+"?task_id=x").wantStatus(t, http.StatusBadRequest)
	s.get(t, acme, endpoint+"/redeliver?since=").want(t, "No delivery has failed")
	s.get(t, acme, endpoint+"/redeliver?since=x").wantStatus(t, http.StatusBadRequest).want(t, "Enter a date and time")

	s.get(t, acme, endpoint+"/edit").submit(t, "Save", "description", "Billing").want(t, "The endpoint is changed", "Billing", "task.succeeded")
	s.get(t, acme, endpoint).submit(t, "Disable").want(t, "The endpoint is disabled", "by request")
	s.get(t, acme, endpoint).submit(t, "Enable").want(t, "The endpoint is enabled")
	s.get(t, acme, endpoint+"/delete").submit(t, "Delete the endpoint").want(t, "are deleted", "There is no endpoint yet")
	s.get(t, acme, endpoint).wantStatus(t, http.StatusNotFound)
	s.get(t, acme, "/webhooks/x").wantStatus(t, http.StatusNotFound)
}

// sendButton returns the text of the button that sends the event of a delivery again, which depends on the state that the page shows.
func (p *page) sendButton(t *testing.T) string {
	t.Helper()
	for _, b := range p.all("button") {
		if text := textOf(b); strings.HasPrefix(text, "Send ") {
			return text
		}
	}
	t.Fatal("the delivery can't be sent again")
	return ""
}

func TestProviders_AreForOperators(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, path := range []string{"/providers", "/inbox", "/inbox/1"} {
		s.get(t, acme, path).wantStatus(t, http.StatusForbidden)
	}
}

func TestProviders_OperatorsPauseAndLimitAccounts(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	providers := s.get(t, operator, "/providers").want(t, "Admission open", "kie live", "in the last 10 s", "No task has been in its state for longer")

	providers.submit(t, "Pause kie", "reason", " ").wantStatus(t, http.StatusBadRequest).want(t, "Each is explained at its field")
	paused := providers.submit(t, "Pause kie", "reason", "Invoice under <b>dispute").want(t, "The account is paused", "kie paused", "Invoice under <b>dispute").wantNot(t, "<b>dispute")
	task := s.submit(t, acme, "A neon city")
	resp, err := s.tasks.GetTask(s.ctx(t, acme), &refractv1.GetTaskRequest{TaskId: task.GetId()})
	if err != nil || resp.GetTask().GetState() != queued {
		t.Fatalf("a task of a paused account is %v: %v", resp.GetTask().GetState(), err)
	}
	paused.submit(t, "Resume kie").want(t, "The account takes tasks again", "kie live")
	s.await(t, acme, task.GetId(), succeeded)

	providers.submit(t, "Set limits", "submissions", "0").wantStatus(t, http.StatusBadRequest).want(t, "greater than or equal to 1")
	providers.submit(t, "Set limits", "window", "soon").wantStatus(t, http.StatusBadRequest).want(t, "Enter a number.")
	limited := providers.submit(t, "Set limits", "submissions", "2", "window", "60", "in_flight", "3").want(t, "2 in 1 min, 3 in flight", "set by an operator")
	limited.submit(t, "Back to configured").want(t, "The configured limits are in force again").wantNot(t, "set by an operator")
}

func TestProviders_OperatorsCloseOfferingsAndAdmission(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	closing := s.get(t, operator, "/providers/offerings/close?model=luma/ray-2-modify&provider=kie")
	closing.submit(t, "Close the offering", "reason", "").wantStatus(t, http.StatusBadRequest)
	s.get(t, operator, "/providers/offerings/close?model=luma/none&provider=kie").submit(t, "Close the offering", "reason", "Too dark").wantStatus(t, http.StatusNotFound)
	closed := closing.submit(t, "Close the offering", "reason", "Too dark").want(t, "The offering is closed", "Too dark")
	closed.submit(t, "Open luma/ray-2-modify at kie").want(t, "The offering is open").wantNot(t, "Too dark")

	admission := s.get(t, operator, "/providers").submit(t, "Close admission for all providers", "reason", "Maintenance").want(t, "Admission closed", "No task is sent to any provider.", "Maintenance")
	admission.submit(t, "Open admission").want(t, "Admission open")
}

func TestInbox_CallbacksAreFilteredShownAndReplayed(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	task := s.submit(t, acme, "A <b>neon</b> city")
	s.await(t, acme, task.GetId(), succeeded)
	forged := s.submit(t, acme, "A neon city [sim:bad-signature]")
	s.await(t, acme, forged.GetId(), succeeded) // The service asks the provider.

	inbox := s.get(t, operator, "/inbox?task_id="+task.GetId()).want(t, task.GetId())
	callback := inbox.link(t, "Open")
	s.get(t, operator, callback).want(t, task.GetId(), "URL tokens and links are redacted", `"code": 200`).wantNot(t, "<b>neon").
		submit(t, "Replay").wantStatus(t, http.StatusOK).want(t, "already settled", task.GetId())

	s.get(t, operator, "/inbox?verdict=BAD_SIGNATURE").want(t, forged.GetId()).wantNot(t, task.GetId())
	s.get(t, operator, "/inbox?verdict=MALFORMED&account=kie&from=2020-01-01T00:00&to=2100-01-01T00:00").want(t, "No callback matches the filters")
	s.get(t, operator, "/inbox?from=soon").wantStatus(t, http.StatusBadRequest).want(t, "Enter a date and time")
	s.get(t, operator, "/inbox?task_id=x").wantStatus(t, http.StatusBadRequest)
	s.get(t, operator, "/inbox/999999").wantStatus(t, http.StatusNotFound)
	s.get(t, operator, "/inbox/x").wantStatus(t, http.StatusNotFound)
}
