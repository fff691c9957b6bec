// Package simtest starts a simulator with all profiles for a test. It also has the requests that tests of several packages
// send.
package simtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
	"github.com/refract-video/refract/internal/sim/profiles"
)

// The keys that the simulator knows, and a source.
const (
	APIKey     = "key-1"
	WebhookKey = "test-webhook-hmac-key"
	SourceURL  = "https://example.com/in.mp4"
)

// Config is the configuration of the engine and of all profiles.
type Config struct {
	sim.Config
	profiles.Set
}

// Fixture is a simulator, a receiver for its callbacks, and a plain HTTP client.
type Fixture struct {
	*testing.T
	Sim  *sim.Server
	Hook *Receiver
	HTTP *http.Client
}

// Hung bounds every wait of a test. A test that reaches it hangs.
const Hung = 5 * time.Minute

// Unlimited refuses no call.
var Unlimited = sim.Limit{N: -1, Window: time.Second}

// Setup starts a fixture; change may be nil.
func Setup(t *testing.T, change func(*Config)) *Fixture {
	t.Helper()
	cfg := Config{
		sim.Config{APIKeys: []string{APIKey}},
		profiles.Set{
			Kie:        kie.Profile{WebhookKey: WebhookKey, CallbackSpacing: time.Millisecond, SubmitLimit: Unlimited, QueryLimit: Unlimited},
			Luma:       luma.Profile{SubmitLimit: Unlimited, MaxConcurrent: -1, CallbackSpacing: time.Millisecond},
			LumaAgents: lumaagents.Profile{SubmitLimit: Unlimited, MaxConcurrent: -1},
			Fal:        fal.Profile{Runners: -1, CallbackSpacing: time.Microsecond},
		},
	}
	if change != nil {
		change(&cfg)
	}
	s, err := sim.Start(cfg.Config, cfg.List()...)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	hook := newReceiver()
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		hook.Server.Close()
	})
	return &Fixture{T: t, Sim: s, Hook: hook, HTTP: client}
}

// Received is one callback as it arrived.
type Received struct {
	Header http.Header
	Body   string
	JSON   struct {
		TaskID string
		Code   int
		Data   *struct {
			TaskID     string
			Snake      string `json:"task_id"`
			PromptJSON json.RawMessage
			ResultURLs []string
		}
	}
}

// Receiver records callbacks. It answers them with the configured statuses, and then with 200.
type Receiver struct {
	Server   *httptest.Server
	Calls    chan Received
	Statuses chan int
}

func newReceiver() *Receiver {
	r := &Receiver{Calls: make(chan Received, 64), Statuses: make(chan int, 64)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got := Received{Header: req.Header, Body: string(body)}
		_ = json.Unmarshal(body, &got.JSON)
		r.Calls <- got
		select {
		case status := <-r.Statuses:
			w.WriteHeader(status)
		default:
		}
	}))
	return r
}

// Stall fills the channel of the receiver, so that it hangs until the end of the test.
func (w *Fixture) Stall() {
	for range cap(w.Hook.Calls) {
		w.Hook.Calls <- Received{}
	}
	w.Cleanup(func() {
		for range cap(w.Hook.Calls) {
			<-w.Hook.Calls
		}
	})
}

// Callback waits for the next callback.
func (w *Fixture) Callback() Received {
	w.Helper()
	select {
	case got := <-w.Hook.Calls:
		return got
	case <-time.After(Hung):
		w.Fatal("no callback came")
		return Received{}
	}
}

// Await waits until a condition on the simulator holds.
func (w *Fixture) Await(what string, cond func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), Hung)
	defer cancel()
	if err := w.Sim.Await(ctx, cond); err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

// Answer is an answer of the simulator. Code, Msg and Data are those of an envelope.
type Answer struct {
	Status int
	Header http.Header
	Raw    string
	Code   int
	Msg    string
	Data   json.RawMessage
}

// Call sends a request and returns its answer, or the error of the connection.
func (w *Fixture) Call(method, url, key string, body []byte, contentType string) (Answer, error) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", contentType)
	resp, err := w.HTTP.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	e := Answer{Status: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
	_ = json.Unmarshal(raw, &e)
	return e, err
}

// Post sends v as JSON with the valid key and expects an answer.
func (w *Fixture) Post(path string, v any) Answer {
	w.Helper()
	e, err := w.Send(path, v)
	if err != nil {
		w.Fatalf("POST %s: %v", path, err)
	}
	return e
}

// Send sends v as JSON with the valid key.
func (w *Fixture) Send(path string, v any) (Answer, error) {
	w.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		w.Fatal(err)
	}
	return w.Call(http.MethodPost, w.Sim.URL()+path, APIKey, body, "application/json")
}

// Get sends a GET with the valid key and expects an answer.
func (w *Fixture) Get(url string) Answer {
	w.Helper()
	e, err := w.Call(http.MethodGet, url, APIKey, nil, "")
	if err != nil {
		w.Fatalf("GET %s: %v", url, err)
	}
	return e
}
