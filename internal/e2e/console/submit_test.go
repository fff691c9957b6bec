package console_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/html"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// editModel is a model with parameters at the provider of the tests.
const editModel = "wan/2-7-videoedit"

const submitButton = "Submit the task"

// form opens the form of a task.
func (s *site) form(t *testing.T, v visitor, model string) *page {
	t.Helper()
	return s.get(t, v, "/submit?model="+model).wantStatus(t, http.StatusOK)
}

// video returns the bytes of the clip of the simulator.
func (s *site) video(t *testing.T) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(s.ctx(t, acme), http.MethodGet, s.clip(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// count returns how many tasks a visitor has.
func (s *site) count(t *testing.T, v visitor) int {
	t.Helper()
	resp, err := s.tasks.ListTasks(s.ctx(t, v), &refractv1.ListTasksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return len(resp.GetTasks())
}

// named returns the field of a page with a name.
func (p *page) named(t *testing.T, name string) *html.Node {
	t.Helper()
	for _, f := range controls(p.root) {
		if attribute(f, "name") == name {
			return f
		}
	}
	t.Fatalf("%s has no field %q", p.url, name)
	return nil
}

func TestSubmit_ShowsTheModelsThatTakeTasks(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	p := s.get(t, acme, "/submit").wantStatus(t, http.StatusOK)
	p.want(t, "Wan 2.7 video edit", "kie available", "Takes about 13 min", "2 to 10 s", "Models that take no tasks now", "no account")
	if got := p.link(t, "Wan 2.7 video edit"); !strings.HasPrefix(got, "/submit?model=") {
		t.Errorf("the model leads to %s", got)
	}
	s.get(t, acme, "/submit?model=none/such").wantStatus(t, http.StatusNotFound)
}

func TestSubmit_AFormMakesOneTaskHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	form := s.form(t, acme, editModel)
	send := func() *page {
		return form.submit(t, submitButton, "source", "uri", "source_uri", s.clip(), "prompt", "A neon city [sim:processing=1h]",
			"parameters.resolution", `"720p"`, "parameters.watermark", "no", "parameters.seed", "7", "labels", "team=ads", "priority", "-3", "deadline", "2d")
	}
	first, second := send(), send()
	if !strings.HasPrefix(first.url.Path, "/tasks/") || first.url.Path != second.url.Path {
		t.Fatalf("the form leads to %s and %s, want one task: %s", first.url, second.url, first.text())
	}
	got := s.task(t, acme, strings.TrimPrefix(first.url.Path, "/tasks/"))
	if p := got.GetParameters().AsMap(); len(p) != 3 || p["resolution"] != "720p" || p["watermark"] != false || p["seed"] != 7. {
		t.Errorf("the parameters are %v", p)
	}
	if got.GetModel() != editModel || got.GetLabels()["team"] != "ads" || got.GetPriority() != -3 {
		t.Errorf("the task is %v", got)
	}
	if n := s.count(t, acme); n != 1 {
		t.Errorf("there are %d tasks, want 1", n)
	}

	// Other values under the same request id are another task, which takes a decision.
	changed := form.submit(t, submitButton, "source", "uri", "source_uri", s.clip(), "prompt", "Another prompt [sim:processing=1h]")
	changed.wantStatus(t, http.StatusConflict).want(t, "This form has already made a task", "Another prompt")
	if again := changed.submit(t, submitButton); !strings.HasPrefix(again.url.Path, "/tasks/") || again.url.Path == first.url.Path {
		t.Errorf("the form of another task leads to %s", again.url)
	}
}

func TestSubmit_UploadsTheFileOfAForm(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	form := s.form(t, acme, editModel)
	files := map[string]file{"file": {"My clip.mp4", s.video(t)}}
	done := form.submitFiles(t, submitButton, files, "prompt", "A neon city")
	if !strings.HasPrefix(done.url.Path, "/tasks/") {
		t.Fatalf("the form leads to %s: %s", done.url, done.text())
	}
	id := strings.TrimPrefix(done.url.Path, "/tasks/")
	if s.task(t, acme, id).GetSource().GetSourceId() == "" {
		t.Error("the task has no uploaded source")
	}
	s.await(t, acme, id, succeeded)
	if twice := form.submitFiles(t, submitButton, files, "prompt", "A neon city"); twice.url.Path != done.url.Path {
		t.Errorf("the form with the same file leads to %s, want %s", twice.url, done.url)
	}
}

func TestSubmit_KeepsWhatWasEnteredAndUploaded(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	form := s.form(t, acme, editModel)
	refused := form.submitFiles(t, submitButton, map[string]file{"file": {"My clip.mp4", s.video(t)}},
		"prompt", "A <neon> city", "parameters.aspect_ratio", "wide", "parameters.negative_prompt", "rain\nsnow", "parameters.prompt_extend", "no", "labels", "team=ads")
	refused.wantStatus(t, http.StatusBadRequest).want(t, "The task was not submitted", "Aspect ratio: ", "A <neon> city", "My clip.mp4")
	ratio := refused.named(t, "parameters.aspect_ratio")
	described := attribute(ratio, "aria-describedby")
	if attribute(ratio, "aria-invalid") != "true" || !strings.Contains(described, "-problem") || attribute(ratio, "value") != "wide" {
		t.Errorf("the field is described by %q, its value is %q", described, attribute(ratio, "value"))
	}
	if got := refused.link(t, "Aspect ratio: provider kie ("+editModel+"): does not match ^[0-9]{1,2}:[0-9]{1,2}$"); got != "#"+attribute(ratio, "id") {
		t.Errorf("the summary leads to %s, want the field %s", got, attribute(ratio, "id"))
	}
	if got, want := attribute(refused.named(t, "request_id"), "value"), attribute(form.named(t, "request_id"), "value"); got != want {
		t.Errorf("the request id is %s, want that of the form, %s", got, want)
	}
	if n := s.count(t, acme); n != 0 {
		t.Errorf("there are %d tasks, want none", n)
	}
	done := refused.submit(t, submitButton, "parameters.aspect_ratio", "16:9")
	if !strings.HasPrefix(done.url.Path, "/tasks/") {
		t.Fatalf("the mended form leads to %s: %s", done.url, done.text())
	}
	got := s.task(t, acme, strings.TrimPrefix(done.url.Path, "/tasks/"))
	if p := got.GetParameters().AsMap(); got.GetPrompt() != "A <neon> city" || p["negative_prompt"] != "rain\nsnow" || p["prompt_extend"] != false || got.GetSource().GetSourceId() == "" {
		t.Errorf("the task is %v", got)
	}
}

func TestSubmit_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	form := s.form(t, acme, editModel)
	for name, tt := range map[string]struct {
		fields []string
		status int
		want   string
	}{
		"no file":             {nil, http.StatusBadRequest, "Video file: is required"},
		"no address":          {[]string{"source", "uri"}, http.StatusBadRequest, "Address of the video: is required"},
		"no public address":   {[]string{"source", "uri", "source_uri", "ftp://example.com/a"}, http.StatusBadRequest, "Address of the video: "},
		"a source of another": {[]string{"source", "id", "source_id", "00000000-0000-4000-8000-000000000000"}, http.StatusNotFound, "Id of an uploaded source: "},
		"no id":               {[]string{"source", "id", "source_id", "x"}, http.StatusBadRequest, "Id of an uploaded source: "},
		"no number":           {[]string{"source", "uri", "source_uri", s.clip(), "priority", "high"}, http.StatusBadRequest, "Priority: must be a whole number"},
		"a priority too high": {[]string{"source", "uri", "source_uri", s.clip(), "priority", "101"}, http.StatusBadRequest, "Priority: "},
		"no duration":         {[]string{"source", "uri", "source_uri", s.clip(), "deadline", "soon"}, http.StatusBadRequest, "Deadline: must be a duration"},
		"no label":            {[]string{"source", "uri", "source_uri", s.clip(), "labels", "team"}, http.StatusBadRequest, "Labels: Write each label as key=value on a line of its own."},
		"a bad label":         {[]string{"source", "uri", "source_uri", s.clip(), "labels", "Team=a"}, http.StatusBadRequest, "Labels: "},
		"no number of it":     {[]string{"source", "uri", "source_uri", s.clip(), "parameters.seed", "NaN"}, http.StatusBadRequest, "Seed: must be a number"},
		"NUL":                 {[]string{"source", "uri", "source_uri", s.clip(), "prompt", "a\x00b"}, http.StatusBadRequest, "Prompt: must not have a NUL"},
		"no text":             {[]string{"source", "uri", "source_uri", s.clip(), "prompt", "a\xff"}, http.StatusBadRequest, "Prompt: must be text in UTF-8"},
		"no secret":           {[]string{"source", "uri", "source_uri", s.clip(), "webhook_uri", "https://example.com/hook"}, http.StatusConflict, "Webhook: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			form.submit(t, submitButton, append([]string{"prompt", "A neon city"}, tt.fields...)...).wantStatus(t, tt.status).want(t, "The task was not submitted", tt.want)
		})
	}
}

func TestSubmit_RefusesAFileThatTheModelDoesNotTake(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	// The model takes 10 MB.
	form := s.form(t, acme, "wan/2-6-video-to-video")
	refused := form.submitFiles(t, submitButton, map[string]file{"file": {"long.mp4", bytes.Repeat([]byte("a"), 11_000_000)}}, "prompt", "A neon city")
	refused.wantStatus(t, http.StatusBadRequest).want(t, "Video file: is larger than 10.0 MB", "A neon city")
}

func TestSubmit_RefusesAFormWithoutItsToken(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	video := string(s.video(t))
	body := func(parts ...string) string {
		var b strings.Builder
		for i := 0; i < len(parts); i += 2 {
			b.WriteString("--x\r\nContent-Disposition: form-data; name=\"" + parts[i] + "\"")
			if parts[i] == "file" {
				b.WriteString(`; filename="a.mp4"`)
			}
			b.WriteString("\r\n\r\n" + parts[i+1] + "\r\n")
		}
		return b.String() + "--x--\r\n"
	}
	token := attribute(s.form(t, acme, editModel).named(t, "form_token"), "value")
	foreign := attribute(s.form(t, other, editModel).named(t, "form_token"), "value")
	for name, text := range map[string]string{
		"none":                 body("model", editModel, "prompt", "a", "file", video),
		"behind the file":      body("model", editModel, "file", video, "form_token", token),
		"that of another":      body("form_token", foreign, "model", editModel, "file", video),
		"a longer one":         body("form_token", strings.Repeat("a", 1<<20), "model", editModel, "file", video),
		"no form":              "a",
		"nothing":              "",
		"a header without end": "--x\r\nContent-Disposition: " + strings.Repeat("a", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.open(t, acme, http.MethodPost, "/submit", "multipart/form-data; boundary=x", strings.NewReader(text)).wantStatus(t, http.StatusForbidden)
		})
	}
	s.open(t, acme, http.MethodPost, "/submit", "multipart/form-data; boundary=x", strings.NewReader(body("form_token", token, "model", editModel, "prompt", strings.Repeat("a", 1<<20)))).
		wantStatus(t, http.StatusRequestEntityTooLarge)
}
