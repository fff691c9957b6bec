package lumaagents

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestSubmit_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		s    provider.Submission
		want string
	}{
		{
			name: "with all fields",
			s: provider.Submission{
				Prompt: `A city <with> "spires" & stars`, SourceURI: "https://example.com/in.MOV?a=1&b=2", Strength: "reimagine_3",
				Model: "ray-3.2", FirstFrameURI: "https://example.com/image.png",
			},
			want: `{"model":"ray-3.2","type":"video_edit","prompt":"A city <with> \"spires\" & stars",` +
				`"source":{"url":"https://example.com/in.MOV?a=1&b=2","media_type":"video/quicktime"},` +
				`"video":{"resolution":"720p","start_frame":{"url":"https://example.com/image.png"},"edit":{"strength":"reimagine_3"}}}`,
		},
		{
			name: "without optional fields",
			s:    provider.Submission{Prompt: "...", SourceURI: "https://example.com/in.mp4", CallbackURL: wiretest.CallbackURL},
			want: `{"model":"ray-3.2","type":"video_edit","prompt":"...",` +
				`"source":{"url":"https://example.com/in.mp4","media_type":"video/mp4"},` +
				`"video":{"resolution":"720p","edit":{"strength":"flex_1"}}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			url, requests := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = []string{
					r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get("Accept"),
					strings.TrimSpace(string(body)), strconv.FormatBool(r.ContentLength == int64(len(body))),
				}
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, accepted)
			})
			id, err := newProvider(t, url+"/v1/").Submit(t.Context(), tt.s)
			if err != nil || id != taskID {
				t.Fatalf("Submit = %q, %v; want %q", id, err, taskID)
			}
			want := []string{
				"POST", "/v1/generations", "Bearer " + wiretest.Key, "application/json",
				"application/json", tt.want, "true",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestSubmit_AcceptsTheFieldVariantsOfSuccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"another 2xx", 200, accepted, taskID},
		{"id alone", 201, `{"id":"T"}`, "T"},
		{"unknown fields", 201, `{"id":"T","x":[1],"state":"thinking"}`, "T"},
		{"failed at once", 201, `{"id":"T","state":"failed","failure_reason":"no"}`, "T"},
		{"longest id", 201, `{"id":"` + strings.Repeat("a", 128) + `"}`, strings.Repeat("a", 128)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := answering(t, tt.status, tt.body).Submit(t.Context(), wiretest.Submission)
			if err != nil || got != tt.want {
				t.Errorf("Submit = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestSubmit_IsAmbiguousWhenTheAnswerProvesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		body   string
	}{
		{"no content", 204, ``},
		{"empty", 201, ``},
		{"page", 201, `<html>hello</html>`},
		{"cut JSON", 201, accepted[:40]},
		{"JSON that is no object", 201, `["` + taskID + `"]`},
		{"null", 201, `null`},
		{"no id", 201, `{"state":"queued"}`},
		{"id null", 201, `{"id":null,"state":"queued"}`},
		{"id a number", 201, `{"id":7}`},
		{"id empty", 201, `{"id":""}`},
		{"id of dots", 201, `{"id":".."}`},
		{"id too long", 201, `{"id":"` + strings.Repeat("a", 129) + `"}`},
		{"id with a line break", 201, `{"id":"a\nb"}`},
		{"id with a broken byte", 201, "{\"id\":\"a\xffb\"}"},
		{"refusal that holds a generation", 422, accepted},
		{"blocked, and holds a generation", 402, accepted},
		{"generation beside HTTP 500", 500, accepted},
		{"page beside HTTP 502", 502, `<html>bad gateway</html>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			perr := wiretest.WantClass(t, wiretest.Do(t, answering(t, tt.status, tt.body), wire.OpSubmit), provider.Ambiguous)
			if perr.Pause != "" || perr.Input {
				t.Errorf("pause %q, input %v, want neither", perr.Pause, perr.Input)
			}
		})
	}
}

func TestMediaType_FollowsTheEndingOfTheName(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://h/a.mp4":               "video/mp4",
		"https://h/a.mov":               "video/quicktime",
		"https://h/a.b/c.MoV?x=1.mp4#f": "video/quicktime",
		"https://h/a.mp4?name=b.mov":    "video/mp4",
		"https://h/a.mov/b":             "video/mp4",
		"https://h/a.avi":               "video/mp4",
		"https://h/":                    "video/mp4",
		"https://h.mov":                 "video/mp4",
		"":                              "video/mp4",
		"https://h/%zz.mov":             "video/mp4",
	} {
		if got := mediaType(uri); got != want {
			t.Errorf("media type of %q is %q, want %q", uri, got, want)
		}
	}
}
