package wiretest

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

// Request is a submission, and the body that it must be sent with.
type Request struct {
	Name       string
	Submission provider.Submission
	Body       string // As JSON; the order of the names does not count.
}

// TestRequests checks that each submission is one POST to target, the path of a base URL that ends in root, and that
// the id in Accepted comes back.
func (a Adapter) TestRequests(t *testing.T, root, target, id string, requests []Request) {
	t.Helper()
	for _, tt := range requests {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			var got []string
			url, arrived := Serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = []string{
					r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get("Accept"),
					sorted(t, body), strconv.FormatBool(r.ContentLength == int64(len(body))),
				}
				if !strings.HasPrefix(r.UserAgent(), "Refract/") {
					t.Errorf("User-Agent is %q", r.UserAgent())
				}
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, a.Accepted)
			})
			gotID, err := a.New(t, url+root, nil).Submit(t.Context(), tt.Submission)
			if err != nil || gotID.TaskID != id {
				t.Fatalf("Submit = %q, %v; want %q", gotID, err, id)
			}
			want := []string{"POST", target, cmp.Or(a.Scheme, "Bearer") + " " + Key, "application/json", "application/json", sorted(t, []byte(tt.Body)), "true"}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if n := arrived.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// sorted returns a JSON object with its names in order, which providers do not care about.
func sorted(t *testing.T, body []byte) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		t.Errorf("the body %q is no JSON object: %v", body, err)
		return string(body)
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// Answer is an answer of a provider. Want is how it is read: an id, or the message of an error.
type Answer struct {
	Name   string
	Status int
	Body   string
	Want   string
}

// TestAccepted checks that each answer is the acceptance of a submission with the wanted id.
func (a Adapter) TestAccepted(t *testing.T, answers []Answer) {
	t.Helper()
	for _, tt := range answers {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			got, err := a.New(t, Answering(t, tt.Status, tt.Body), nil).Submit(t.Context(), a.submission())
			if err != nil || got.TaskID != tt.Want {
				t.Errorf("Submit = %q, %v; want %q", got, err, tt.Want)
			}
		})
	}
}

// TestProveNothing checks that each answer to a submission leaves its outcome unknown.
func (a Adapter) TestProveNothing(t *testing.T, answers []Answer) {
	t.Helper()
	for _, tt := range answers {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			p := a.New(t, Answering(t, tt.Status, tt.Body), nil)
			perr := WantClass(t, a.Do(t, p, wire.OpSubmit), provider.Ambiguous)
			if perr.Pause != "" || perr.Input {
				t.Errorf("pause %q, input %v, want neither", perr.Pause, perr.Input)
			}
		})
	}
}

// Reading is an answer about a task with status 200, and what it means.
type Reading struct {
	Name, Body string
	Want       provider.Status
}

// TestReadings checks that a check reads each answer as the status of the task with that id.
func (a Adapter) TestReadings(t *testing.T, id string, readings []Reading) {
	t.Helper()
	for _, tt := range readings {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			p := a.New(t, Answering(t, http.StatusOK, tt.Body), nil)
			got, err := p.Check(t.Context(), provider.Query{TaskID: id, Remote: a.Remote, Submitted: time.Now().Add(-time.Hour)})
			if err != nil {
				t.Fatalf("Check: %v", err)
			}
			if diff := gocmp.Diff(tt.Want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMalformed checks that no body is taken for a callback, and that nothing of it is read.
func (a Adapter) TestMalformed(t *testing.T, bodies map[string]string) {
	t.Helper()
	p := a.New(t, "", nil)
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := p.Callback(t.Context(), http.Header{}, []byte(body), time.Now())
			wantMalformed(t, err)
			if diff := gocmp.Diff(provider.Callback{}, got); diff != "" {
				t.Errorf("callback (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBrokenConfigs checks that each configuration is refused in the name of the provider, without its secrets: Key,
// and what is called LinkSecret.
func TestBrokenConfigs[C any](t *testing.T, name string, broken map[string]C, construct func(C) error) {
	t.Helper()
	for what, cfg := range broken {
		err := construct(cfg)
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		if text := err.Error(); strings.Contains(text, LinkSecret) || strings.Contains(text, Key) ||
			!strings.HasPrefix(text, "configure "+name+": ") {
			t.Errorf("%s: error is %q", what, text)
		}
	}
}
