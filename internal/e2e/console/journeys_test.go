//go:build browser

package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/sim"
)

// model is the model that the tests submit to.
const model = "luma/ray-2-modify"

func TestBrowser_SubmitsAnUploadAndSeesItSucceed(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.pauseKie(t, "until the page shows the task")
	b := s.browse(t, acme, ordinary)
	b.open(t, "/submit?model="+model).fill(t, "textbox", "Prompt…", "A neon city at dusk")
	b.attach(t, "input[type=file]", clipFile(t))
	b.want(t, "uploaded").click(t, "button", "Submit the task")
	id := strings.TrimPrefix(b.wantPath(t, "/tasks/0"), "/tasks/")
	b.want(t, "until the page shows the task").mark(t)
	s.resumeKie(t)
	b.find(t, "heading", "Output 0")
	b.want(t, "SUCCEEDED").sameDocument(t)

	b.compare(t)
	boundary := b.find(t, "slider", "Boundary between source and output")
	b.click(t, "slider", boundary.name).press(t, kb.ArrowRight).press(t, kb.ArrowRight)
	b.until(t, "the boundary to move", func() bool { return b.find(t, "slider", boundary.name).value != boundary.value })
	b.until(t, "both videos to load", func() bool {
		return peek[bool](b, `[...document.querySelectorAll("video")].length === 2 && [...document.querySelectorAll("video")].every((v) => v.readyState >= 1)`)
	})

	b.click(t, "link", "Download")
	wantSHA256(t, s.task(t, acme, id), b.download(t, 1))
}

// wantSHA256 fails the test unless a file is the output of a task.
func wantSHA256(t *testing.T, task *refractv1.Task, content []byte) {
	t.Helper()
	sum := sha256.Sum256(content)
	if got, want := hex.EncodeToString(sum[:]), task.GetOutputs()[0].GetSha256(); got != want {
		t.Errorf("the downloaded file of %d bytes has the SHA-256 %s, want %s", len(content), got, want)
	}
}

// clipFile returns the path of a clip.
func clipFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, sim.SampleClip(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBrowser_CancelsATask(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.pauseKie(t, "maintenance")
	task := s.submit(t, acme, "A neon city")
	b := s.browse(t, acme, ordinary).open(t, "/tasks/"+task.GetId())
	b.click(t, "DisclosureTriangle", "Cancel the task…").click(t, "button", "Cancel the task").want(t, "CANCELED")
	if state := s.task(t, acme, task.GetId()).GetState(); state != canceled {
		t.Errorf("the task is %v, want canceled", state)
	}
}

func TestBrowser_RetriesATask(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	task := s.submit(t, acme, "A neon city [sim:fail]")
	s.await(t, acme, task.GetId(), failed)
	b := s.browse(t, acme, ordinary).open(t, "/tasks/"+task.GetId())
	b.want(t, "which is paid for").click(t, "button", "Retry and pay for an attempt").want(t, "Attempt 2")
	e2etest.Eventually(t, "a second attempt", func() bool { return s.task(t, acme, task.GetId()).GetAttempt().GetNumber() == 2 })
}

func TestBrowser_APausedProviderIsWhyATaskWaits(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ops := s.browse(t, operator, ordinary).open(t, "/providers")
	ops.pause(t, "the invoice is unpaid")
	task := s.submit(t, acme, "A neon city")
	b := s.browse(t, acme, ordinary).open(t, "/tasks/"+task.GetId())
	b.want(t, "the invoice is unpaid").mark(t)
	ops.resume(t)
	b.want(t, "SUCCEEDED").sameDocument(t)
}

func TestBrowser_SendsADeliveryAgain(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	received := make(chan string, 64)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received <- r.Header.Get("webhook-id") }))
	t.Cleanup(receiver.Close)
	endpoint := s.endpoint(t, acme, receiver.URL)
	s.submit(t, acme, "A neon city")
	first := <-received
	b := s.browse(t, acme, ordinary).open(t, "/webhooks/"+endpoint.GetId()+"/deliveries/"+first)
	b.until(t, "the delivery to be recorded", func() bool {
		if b.has("button", "Send again") {
			return true
		}
		b.open(t, "/webhooks/"+endpoint.GetId()+"/deliveries/"+first)
		return false
	})
	b.click(t, "button", "Send again")
	for again := range received {
		if again == first {
			break
		}
	}
}

// TestBrowser_TheKeyboardIsEnough submits a task and downloads its output without a pointer.
func TestBrowser_TheKeyboardIsEnough(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	b := s.browse(t, acme, ordinary).open(t, "/tasks")
	b.tabTo(t, "link", "Submit").press(t, "\r").wantPath(t, "/submit")
	b.tabTo(t, "link", "Luma…").press(t, "\r").wantPath(t, "/submit?model=")
	b.tabTo(t, "radio", "Upload a file").press(t, kb.ArrowDown)
	b.tabTo(t, "textbox", "Address…").press(t, s.clip())
	b.tabTo(t, "textbox", "Prompt…").press(t, "A neon city at dusk")
	b.tabTo(t, "button", "Submit the task").press(t, "\r").wantPath(t, "/tasks/0")
	b.find(t, "heading", "Output 0")
	b.tabTo(t, "link", "Download").press(t, "\r")
	tasks, err := s.tasks.ListTasks(s.ctx(t, acme), &refractv1.ListTasksRequest{})
	if err != nil || len(tasks.GetTasks()) != 1 {
		t.Fatalf("tasks: %v, %v", tasks, err)
	}
	wantSHA256(t, tasks.GetTasks()[0], b.download(t, 1))
}

func TestBrowser_PagesWorkWithoutScript(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	b := s.browse(t, acme, look{width: 1440}).open(t, "/submit?model="+model)
	b.fill(t, "textbox", "Prompt…", "A neon city at dusk").attach(t, "input[type=file]", clipFile(t))
	b.click(t, "button", "Submit the task")
	id := strings.TrimPrefix(b.wantPath(t, "/tasks/0"), "/tasks/")
	s.await(t, acme, id, succeeded)
	b.open(t, "/tasks?state=SUCCEEDED").click(t, "link", "A neon city at dusk").wantPath(t, "/tasks/"+id)
	b.want(t, "SUCCEEDED").click(t, "link", "Download")
	wantSHA256(t, s.task(t, acme, id), b.download(t, 1))
}

// TestBrowser_PagesLoadNothingFromElsewhere opens every page. The tab fails the test for a violation of the policy, a request to another
// origin, and an error of a script.
func TestBrowser_PagesLoadNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	p := populate(t)
	tabs := map[visitor]*tab{}
	for _, at := range p.places {
		b := tabs[at.visitor]
		if b == nil {
			b = p.browse(t, at.visitor, ordinary)
			tabs[at.visitor] = b
		}
		if headings := eval[int](t, b.open(t, at.path), `document.querySelectorAll("h1").length`); headings != 1 {
			t.Errorf("%s has %d headings of the first level, want 1", at.name, headings)
		}
		if over := eval[int](t, b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
			t.Errorf("%s is %d pixels wider than the window of 1440", at.name, over)
		}
		b.setLook(t, look{width: 390, script: true})
		if over := eval[int](t, b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
			t.Errorf("%s is %d pixels wider than the window of 390", at.name, over)
		}
		b.setLook(t, ordinary)
	}
}

// maxFirstPage bounds the first page with all that it loads, in bytes as they are sent.
const maxFirstPage = 100 << 10

func TestBrowser_TheFirstPageIsSmall(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.pauseKie(t, "maintenance")
	for range 60 {
		s.submit(t, acme, "A neon city at dusk, in the rain, with reflections on the street and a tram that comes around the corner")
	}
	b := s.browse(t, acme, ordinary).open(t, "/tasks")
	b.find(t, "heading", "Tasks")
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.received == 0 || b.received >= maxFirstPage {
		t.Errorf("the first page takes %.0f bytes, want less than %d", b.received, maxFirstPage)
	}
	t.Logf("the first page takes %.0f bytes", b.received)
}

// pause pauses the account at kie.ai by the page of providers.
func (b *tab) pause(t *testing.T, reason string) {
	t.Helper()
	b.click(t, "DisclosureTriangle", "Pause…").fill(t, "textbox", "Reason", reason).click(t, "button", "Pause kie")
	b.find(t, "button", "Resume kie")
}

// resume resumes it.
func (b *tab) resume(t *testing.T) {
	t.Helper()
	b.click(t, "button", "Resume kie").find(t, "DisclosureTriangle", "Pause…")
}

// compare lays the output over the source. The page may move while its videos load, so the first click can miss.
func (b *tab) compare(t *testing.T) {
	t.Helper()
	b.until(t, "the slider", func() bool {
		if b.has("slider", "Boundary between source and output") {
			return true
		}
		b.click(t, "radio", "Slider")
		return false
	})
}
