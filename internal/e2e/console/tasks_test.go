package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

func TestTasks_AFilterIsInTheURLAndStaysInTheForm(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.submit(t, acme, "A neon city [sim:processing=1h]", func(r *refractv1.SubmitTaskRequest) { r.Labels = map[string]string{"project": "spring"} })
	s.submit(t, acme, "A paper city [sim:processing=1h]", func(r *refractv1.SubmitTaskRequest) { r.Labels = map[string]string{"project": "winter"} })

	all := s.get(t, acme, "/tasks").wantStatus(t, http.StatusOK).want(t, "A neon city", "A paper city")
	one := all.submit(t, "Filter", "label", "project=spring").wantStatus(t, http.StatusOK).want(t, "A neon city").wantNot(t, "A paper city")
	if got := one.url.Query()["label"]; len(got) == 0 || got[0] != "project=spring" {
		t.Errorf("the URL of the filtered list is %s", one.url)
	}
	// The form that the page shows sends the same filter again.
	one.submit(t, "Filter").want(t, "A neon city").wantNot(t, "A paper city")
	s.get(t, acme, "/tasks?text=PAPER").want(t, "A paper city").wantNot(t, "A neon city")

	none := s.get(t, acme, "/tasks?state=FAILED").wantStatus(t, http.StatusOK).want(t, "No task matches the filter.")
	if got := none.link(t, "Clear the filter"); got != "/tasks" {
		t.Errorf("the link that clears the filter leads to %s", got)
	}
}

func TestTasks_AFilterThatIsWrongIsShownAgain(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for query, want := range map[string]string{
		"label=project":           `the label "project" is not of the form key=value`,
		"state=DONE":              `there is no state "DONE"`,
		"reason=BAD_LUCK":         `there is no failure reason "BAD_LUCK"`,
		"from=yesterday":          `"yesterday" is not a time`,
		"label=A%3D1":             "labels",
		"page=notatoken":          "page_token",
		"label=a%3D1&label=a%3D2": "cannot have two values",
	} {
		s.get(t, acme, "/tasks?text=typed&"+query).wantStatus(t, http.StatusBadRequest).want(t, want)
	}
}

func TestTasks_PagesLeadToOlderTasks(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.get(t, acme, "/tasks").want(t, "There is no task yet")
	var ids []string
	for i := range 51 {
		ids = append(ids, s.submit(t, acme, fmt.Sprintf("City number %d. [sim:processing=1h]", i)).GetId())
	}
	first := s.get(t, acme, "/tasks?text=CITY").want(t, "City number 50.").wantNot(t, ids[0])
	if n := len(first.all("tr")) - 1; n != 50 {
		t.Errorf("the first page has %d tasks", n)
	}
	older := s.get(t, acme, first.link(t, "Older")).want(t, "City number 0.").wantNot(t, ids[50])
	if older.url.Query().Get("text") != "CITY" {
		t.Errorf("the page of older tasks lost the filter: %s", older.url)
	}
	s.get(t, acme, older.link(t, "Newest")).want(t, "City number 50.")
	weigh(t, s)
}

// weigh fails the test if the first page of tasks, with what it loads, has 100 KiB or more.
func weigh(t *testing.T, s *site) {
	t.Helper()
	const most = 100 << 10
	page := s.get(t, acme, "/tasks")
	parts := map[string]int{"/tasks": len(page.body)}
	for _, asset := range []string{"console.css", "icon.svg", "console.js", "times.js", "copy.js", "keys.js", "live.js", "morph.js"} {
		parts[asset] = len(s.get(t, acme, "/assets/"+asset).wantStatus(t, http.StatusOK).body)
	}
	sum := 0
	for _, n := range parts {
		sum += n
	}
	if sum >= most {
		t.Errorf("the first page has %d bytes in total, want fewer than %d: %v", sum, most, parts)
	}
}

func TestTask_ShowsWhatWasMadeAndHow(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	task := s.submit(t, acme, "A neon city")
	task = s.await(t, acme, task.GetId(), succeeded)
	p := s.get(t, acme, "/tasks/"+task.GetId()).wantStatus(t, http.StatusOK)
	p.want(t, "SUCCEEDED", "A neon city", task.GetOutputs()[0].GetSha256(), "640 × 360", "Attempt 1", "outputs saved", "loads nothing")
	var videos []string
	for _, v := range p.all("video") {
		videos = append(videos, attribute(v, "src"))
	}
	want := "/v1/tasks/" + task.GetId() + "/outputs/0"
	if len(videos) != 1 || videos[0] != want {
		t.Errorf("the page plays %q, want only %q: the source is at another site", videos, want)
	}
	if got := p.link(t, "Download"); got != want {
		t.Errorf("the download is %s", got)
	}
	p.wantNot(t, s.tokens[acme])
	s.get(t, acme, want).wantStatus(t, http.StatusOK)
}

func TestTask_OfAnotherTenantIsNotFound(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	id := s.submit(t, acme, "A neon city [sim:processing=1h]").GetId()
	s.get(t, other, "/tasks/"+id).wantStatus(t, http.StatusNotFound).wantNot(t, "A neon city")
	s.get(t, acme, "/tasks/none").wantStatus(t, http.StatusNotFound)
	// A form of the other tenant, with a token that is right for it, changes nothing.
	token := s.get(t, other, "/tasks/"+s.submit(t, other, "A paper city [sim:processing=1h]").GetId())
	values := url.Values{"form_token": {formTokenOf(t, token)}}
	s.post(t, other, "/tasks/"+id+"/cancel", values).wantStatus(t, http.StatusNotFound)
	if got := s.task(t, acme, id).GetState(); got == canceled {
		t.Error("another tenant canceled the task")
	}
	// An operator reads the story, and gets no button that the API would refuse.
	p := s.get(t, operator, "/tasks/"+id).wantStatus(t, http.StatusOK).want(t, "A neon city", "another tenant's task")
	if strings.Contains(string(p.body), "/tasks/"+id+"/cancel") {
		t.Error("an operator gets a button to cancel the task of another tenant")
	}
}

// formTokenOf returns the token of the forms of a page.
func formTokenOf(t *testing.T, p *page) string {
	t.Helper()
	for _, input := range p.all("input") {
		if attribute(input, "name") == "form_token" {
			return attribute(input, "value")
		}
	}
	t.Fatalf("%s has no form with a token", p.url)
	return ""
}

func TestTask_CancelAndRetry(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	id := s.submit(t, acme, "A neon city [sim:processing=1h]").GetId()
	s.await(t, acme, id, running)
	p := s.get(t, acme, "/tasks/"+id).submit(t, "Cancel the task").wantStatus(t, http.StatusOK)
	p.want(t, "The task is canceled.", "CANCELED", "Retry")
	if got := s.task(t, acme, id).GetState(); got != canceled {
		t.Fatalf("the task is %v", got)
	}
	// The attempt still runs, so a retry takes it over for free.
	p.want(t, "none: an earlier attempt is taken over")
	p.submit(t, "Retry").wantStatus(t, http.StatusOK).want(t, "The task continues.", "RUNNING")
}

func TestTask_ARefusedFormShowsThePageAgain(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	id := s.submit(t, acme, "A neon city [sim:processing=1h]").GetId()
	s.await(t, acme, id, running)
	p := s.get(t, acme, "/tasks/"+id)
	values := url.Values{"form_token": {formTokenOf(t, p)}}
	s.post(t, acme, "/tasks/"+id+"/retry", values).wantStatus(t, http.StatusConflict).want(t, "A neon city", "Cancel the task")
	s.post(t, acme, "/tasks/"+id+"/check", values).wantStatus(t, http.StatusForbidden)
}

func TestTask_AnOperatorChecksAndReadsCallbacks(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	task := s.submit(t, acme, "A neon city")
	s.await(t, acme, task.GetId(), succeeded)
	p := s.get(t, operator, "/tasks/"+task.GetId()).want(t, "Callbacks", "taskId")
	if s.get(t, acme, "/tasks/"+task.GetId()).text() == p.text() {
		t.Error("a tenant sees what an operator sees")
	}
	never := s.submit(t, acme, "A paper city [sim:processing=1h]")
	s.await(t, acme, never.GetId(), running)
	s.get(t, operator, "/tasks/"+never.GetId()).submit(t, "Check with the provider").wantStatus(t, http.StatusOK).want(t, "The provider is being asked.")
}
