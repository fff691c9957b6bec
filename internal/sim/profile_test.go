package sim_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/simtest"
)

// plainProfile is the least that a simulated API has: it submits a prompt, answers a query, and calls back.
type plainProfile struct{}

func (plainProfile) Terms() (sim.Terms, error) {
	return sim.Terms{
		Name: "plain", Path: "/plain", AuthScheme: "Key", SubmitLimit: simtest.Unlimited, QueryLimit: simtest.Unlimited, MaxConcurrent: -1,
		Callbacks:       sim.CallbackTerms{Attempts: 1, Timeout: simtest.Hung},
		MaintenanceCode: http.StatusServiceUnavailable, Directives: sim.AnswerDirectives(),
	}, nil
}

func (plainProfile) Open(api *sim.API) sim.Protocol { return plainProtocol{api} }

type plainProtocol struct{ api *sim.API }

func (p plainProtocol) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /plain/jobs", func(w http.ResponseWriter, r *http.Request) {
		var sub sim.Submission
		flaw := sim.ReadJSON(w, r, sim.MaxJSON, &sub)
		p.api.Submit(w, r, sub, flaw)
	})
	mux.HandleFunc("GET /plain/jobs/{id}", p.api.Query(func(r *http.Request) (any, *sim.Refusal) {
		j := p.api.Find(r.PathValue("id"))
		if j == nil {
			return nil, p.Refusal(http.StatusNotFound)
		}
		return j.Shown().Results, nil
	}))
}

func (plainProtocol) NewID() string                 { return sim.RandomHex() }
func (plainProtocol) Refusal(code int) *sim.Refusal { return sim.Refuse(code, "code %d", code) }

func (p plainProtocol) Refuse(w http.ResponseWriter, no *sim.Refusal) {
	p.api.Write(w, no.Code, sim.JSON(no.Message))
}

func (plainProtocol) Created(_ http.ResponseWriter, j *sim.Job) (status int, body []byte) {
	return http.StatusAccepted, sim.JSON(j.ID)
}

func (plainProtocol) Callback(_ *sim.Job, claim sim.Claim) sim.Message {
	return sim.UnsignedMessage(sim.JSON(claim.Results))
}

func TestStart_ServesAnyProfile(t *testing.T) {
	t.Parallel()
	callbacks := make(chan string, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var links []string
		_ = json.NewDecoder(r.Body).Decode(&links)
		callbacks <- strings.Join(links, " ")
	}))
	defer hook.Close()
	s, err := sim.Start(sim.Config{APIKeys: []string{simtest.APIKey}}, plainProfile{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	call := func(method, url, scheme, body string) (status int, answer json.RawMessage) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", scheme+" "+simtest.APIKey)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, answer
	}
	jobs := s.BaseURL("plain") + "/jobs"
	submission := string(sim.JSON(sim.Submission{Prompt: "p", CallbackURL: hook.URL}))
	if status, answer := call(http.MethodPost, jobs, "Bearer", submission); status != 401 {
		t.Errorf("another scheme: status %d, %s; want 401", status, answer)
	}
	status, answer := call(http.MethodPost, jobs, "Key", submission)
	if status != 202 {
		t.Fatalf("submit: status %d, %s", status, answer)
	}
	var link string
	select {
	case link = <-callbacks:
	case <-time.After(simtest.Hung):
		t.Fatal("no callback came")
	}
	var id string
	var results []string
	_ = json.Unmarshal(answer, &id)
	if _, answer = call(http.MethodGet, jobs+"/"+id, "Key", ""); json.Unmarshal(answer, &results) != nil || len(results) != 1 || results[0] != link {
		t.Errorf("query: got %s, want the link %s of the callback", answer, link)
	}
	ctx, cancel := context.WithTimeout(t.Context(), simtest.Hung)
	defer cancel()
	if err := s.Await(ctx, func() bool { return len(s.Deliveries()) == 1 }); err != nil || s.Ledger()[1].Profile != "plain" {
		t.Errorf("%v; ledger %+v", err, s.Ledger())
	}
}

func TestStart_RefusesTwoProfilesOfOneName(t *testing.T) {
	t.Parallel()
	if s, err := sim.Start(sim.Config{}, plainProfile{}, plainProfile{}); err == nil {
		_ = s.Close()
		t.Error("started")
	}
}
