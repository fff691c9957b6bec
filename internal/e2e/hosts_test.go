package e2e_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/output"
	"github.com/refract-video/refract/internal/server"
	"github.com/refract-video/refract/internal/sim"
)

// TestService_SurvivesResultHosts sends one task to each kind of untrusted result host. Each task must end in time with
// its reason, say what was tried, and leave nothing in the bucket.
func TestService_SurvivesResultHosts(t *testing.T) {
	t.Parallel()
	private := newPrivateServer(t)
	rebinding := e2etest.NewRebindingHost(t)
	start := func(patience time.Duration) *e2etest.Service {
		return e2etest.Start(t, func(f *server.Config, c *e2etest.SimConfig) {
			e2etest.EveryProvider(f, c)
			f.AllowPrivate, f.CallbackURL = false, "https://refract.example.com"
			f.FetchAllow = []string{"127.0.0.1"} // The address of the simulator. The rest of loopback is private.
			f.Tuning = server.Tuning{
				Patience: patience, MaxBytes: 1 << 20, Pause: time.Millisecond, Resolver: rebinding.Resolver(), Roots: rebinding.Roots,
				Save: output.Patience{Tries: 2, NoLinks: time.Second},
			}
			f.KIE.Poll, f.Luma.Poll = 300*time.Millisecond, 300*time.Millisecond // No callback reaches the service.
		})
	}
	patient, hasty := start(0), start(300*time.Millisecond)
	const unavailable, invalid = refractv1.FailureReason_FAILURE_REASON_OUTPUT_UNAVAILABLE, refractv1.FailureReason_FAILURE_REASON_OUTPUT_INVALID
	for _, tc := range []struct {
		name, directive, provider string
		reason                    refractv1.FailureReason
		says                      []string
		outcome                   string
	}{
		{"web page", "html-result", "kie", invalid, []string{"provider's link: not a video", "asked for another: it names the same", "exchanged link: not a video"}, "not_video"},
		{"truncated", "half-result", "kie", invalid, []string{"not a video", "bytes long where"}, "not_video"},
		{"wrong length", "long-length", "kie", unavailable, []string{"provider's link: started 5 times: the download has to start again after the connection broke: unexpected EOF"}, "unreachable"},
		{"endless", "endless", "kie", invalid, []string{"too large", "1048576 bytes allowed"}, "too_large"},
		{"slow-loris", "loris=20ms", "kie", unavailable, []string{"came too slowly"}, "unreachable"},
		{"redirect to a private address", "redirect=" + private.URL, "kie", unavailable, []string{"refused by the network guard"}, "blocked"},
		{"redirect to another scheme", "redirect=file:///etc/passwd", "kie", unavailable, []string{"refused by the network guard"}, "blocked"},
		{"redirect with a user name", "redirect=http://u:p@127.0.0.1/", "kie", unavailable, []string{"refused by the network guard"}, "blocked"},
		{"name that turns private", "redirect=" + rebinding.URL, "kie", unavailable, []string{"refused by the network guard"}, "blocked"},
		{"expired for good", "gone=403", "kie", unavailable, []string{
			"provider's link: the link is dead: status 403", "it names the same", "was to be exchanged:", "404",
		}, "link_dead"},
		{"expired, and the provider can't help", "gone=410", "luma", unavailable, []string{"the link is dead: status 410", "it names the same"}, "link_dead"},
		{"links that can't be read", "shape=unreadable", "kie", unavailable, []string{`check: unavailable: "resultUrls can't be read: {\"location\":`}, "unreachable"},
		{"no links", "empty-results", "kie", unavailable, []string{"success, but names no result file"}, "no_links"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ts := patient // On a busy machine, a host may seem slow.
			if tc.name == "slow-loris" {
				ts = hasty
			}
			task := ts.Submit(t, "[sim:"+tc.directive+"]", func(r *refractv1.SubmitTaskRequest) { r.Provider = tc.provider })
			last := ts.End(t, task.GetId()) // Within its 30 s.
			if last.GetFailure().GetReason() != tc.reason {
				t.Fatalf("ended %v, want %v", last, tc.reason)
			}
			message := last.GetFailure().GetMessage()
			for rest, i := message, 0; i < len(tc.says); i++ { // In this order.
				_, after, found := strings.Cut(rest, tc.says[i])
				if !found {
					t.Errorf("the message is %q, want %q in it", message, tc.says)
				}
				rest = after
			}
			if strings.Contains(message, "/results/") || strings.Contains(message, "?") {
				t.Errorf("the message contains a link: %q", message)
			}
			if keys, err := ts.Bucket(t).Keys(t.Context(), media.OutputPrefix+task.GetId(), 10); err != nil || len(keys) > 0 {
				t.Errorf("the bucket holds %v, %v, want nothing of the task", keys, err)
			}
			if _, metrics := ts.Rest(t, http.MethodGet, "/metrics", ""); !strings.Contains(string(metrics), `outcome="`+tc.outcome+`"`) {
				t.Errorf("no save is counted as %s", tc.outcome)
			}
		})
	}
	t.Cleanup(func() {
		if n := private.hits.Load(); n > 0 {
			t.Errorf("%d requests reached the private server", n)
		}
	})
}

// TestService_RemovesTheOutputsOfATaskWithOneThatFails has eleven results, of which the last is one byte too large.
func TestService_RemovesTheOutputsOfATaskWithOneThatFails(t *testing.T) {
	t.Parallel()
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) {
		f.Tuning = server.Tuning{MaxBytes: int64(len(sim.ResultClip(strings.Repeat("0", 32), 9)))}
	})
	last := ts.End(t, ts.Submit(t, "[sim:results=11]").GetId())
	if message := last.GetFailure().GetMessage(); !strings.Contains(message, "output 10 of 11") || !strings.Contains(message, "too large") {
		t.Fatalf("ended %v, want that output 10 is too large", last)
	}
	if keys, err := ts.Bucket(t).Keys(t.Context(), media.OutputPrefix, 10); err != nil || len(keys) > 0 {
		t.Errorf("the bucket holds %v, %v, want nothing", keys, err)
	}
}

// privateServer is a server that no request may reach.
type privateServer struct {
	*httptest.Server
	hits atomic.Int32
}

func newPrivateServer(t *testing.T) *privateServer {
	t.Helper()
	p := &privateServer{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { p.hits.Add(1) }))
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Listener.Close()
	p.Listener = lis
	p.Start()
	t.Cleanup(p.Close)
	return p
}
