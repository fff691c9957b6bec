package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
	"github.com/refract-video/refract/internal/sim/profiles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	apiKey     = "key-1"
	webhookKey = "test-webhook-hmac-key"
	sourceURL  = "https://example.com/in.mp4"
)

// config is the configuration of the engine and of all profiles.
type config struct {
	sim.Config
	profiles.Set
}

// world is a simulator, a receiver for its callbacks, and a plain HTTP client.
type world struct {
	*testing.T
	sim  *sim.Server
	hook *receiver
	http *http.Client
}

// hung is how long a test waits for what must happen, so that only one that hangs reaches it.
const hung = 5 * time.Minute

var unlimited = sim.Limit{N: -1, Window: time.Second}

// setup starts a world; change may be nil.
func setup(t *testing.T, change func(*config)) *world {
	t.Helper()
	cfg := config{
		sim.Config{APIKeys: []string{apiKey}},
		profiles.Set{
			Kie:        kie.Profile{WebhookKey: webhookKey, CallbackSpacing: time.Millisecond, SubmitLimit: unlimited, QueryLimit: unlimited},
			Luma:       luma.Profile{SubmitLimit: unlimited, MaxConcurrent: -1, CallbackSpacing: time.Millisecond},
			LumaAgents: lumaagents.Profile{SubmitLimit: unlimited, MaxConcurrent: -1},
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
		hook.server.Close()
	})
	return &world{T: t, sim: s, hook: hook, http: client}
}

// received is one callback as it arrived.
type received struct {
	header http.Header
	body   string
	json   struct {
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

// receiver records callbacks and answers them with the statuses it was given, then with 200.
type receiver struct {
	server   *httptest.Server
	calls    chan received
	statuses chan int
}

func newReceiver() *receiver {
	r := &receiver{calls: make(chan received, 64), statuses: make(chan int, 64)}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got := received{header: req.Header, body: string(body)}
		_ = json.Unmarshal(body, &got.json)
		r.calls <- got
		select {
		case status := <-r.statuses:
			w.WriteHeader(status)
		default:
		}
	}))
	return r
}

// stall makes the receiver hang on its full channel until the test is over.
func (w *world) stall() {
	for range cap(w.hook.calls) {
		w.hook.calls <- received{}
	}
	w.Cleanup(func() {
		for range cap(w.hook.calls) {
			<-w.hook.calls
		}
	})
}

// callback waits for the next callback.
func (w *world) callback() received {
	w.Helper()
	select {
	case got := <-w.hook.calls:
		return got
	case <-time.After(hung):
		w.Fatal("no callback came")
		return received{}
	}
}

// await waits until a condition on the simulator holds.
func (w *world) await(what string, cond func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), hung)
	defer cancel()
	if err := w.sim.Await(ctx, cond); err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

// envelope is the frame of every answer.
type envelope struct {
	status int
	header http.Header
	raw    string
	Code   int
	Msg    string
	Data   json.RawMessage
}

// call sends a request and returns its answer, or the error of the connection.
func (w *world) call(method, url, key string, body []byte, contentType string) (envelope, error) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", contentType)
	resp, err := w.http.Do(req)
	if err != nil {
		return envelope{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	e := envelope{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &e)
	return e, err
}

// post sends v as JSON with the good key and expects an answer.
func (w *world) post(path string, v any) envelope {
	w.Helper()
	e, err := w.send(path, v)
	if err != nil {
		w.Fatalf("POST %s: %v", path, err)
	}
	return e
}

// send sends v as JSON with the good key.
func (w *world) send(path string, v any) (envelope, error) {
	w.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		w.Fatal(err)
	}
	return w.call(http.MethodPost, w.sim.URL()+path, apiKey, body, "application/json")
}

// get expects an answer to a GET with the good key.
func (w *world) get(url string) envelope {
	w.Helper()
	e, err := w.call(http.MethodGet, url, apiKey, nil, "")
	if err != nil {
		w.Fatalf("GET %s: %v", url, err)
	}
	return e
}

// request is a body of generate.
func (w *world) request(prompt string) map[string]string {
	return map[string]string{"prompt": prompt, "videoUrl": sourceURL, "callBackUrl": w.hook.server.URL + "/cb?token=a&b=c"}
}

// submit creates a task and returns its id.
func (w *world) submit(prompt string) string {
	w.Helper()
	e := w.post("/api/v1/modify/generate", w.request(prompt))
	var data struct{ TaskID string }
	if err := json.Unmarshal(e.Data, &data); err != nil || e.Code != 200 {
		w.Fatalf("generate %q: got %s", prompt, e.raw)
	}
	return data.TaskID
}

// record is data of record-info.
type record struct {
	TaskID       string
	ParamJSON    string
	CreateTime   int64
	CompleteTime *int64
	SuccessFlag  int
	ErrorCode    *int
	ErrorMessage *string
	Response     *struct {
		TaskID     string
		OriginURLs []string
		ResultURLs []string
	}
}

func (w *world) info(id string) envelope {
	w.Helper()
	return w.get(w.sim.URL() + "/api/v1/modify/record-info?taskId=" + id)
}

// finished waits until a task has the flag, and returns its record.
func (w *world) finished(id string, flag int) record {
	w.Helper()
	var rec record
	w.await("task "+id+" finished", func() bool {
		rec = record{}
		e := w.info(id)
		return json.Unmarshal(e.Data, &rec) == nil && rec.SuccessFlag == flag
	})
	return rec
}
