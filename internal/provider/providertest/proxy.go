package providertest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
)

// reply is an answer of the simulator to the provider.
type reply struct {
	url    string // The URL of the request at the simulator.
	status int
	header http.Header
	body   string
}

// behind returns the provider as it sees the simulator through something that changes every reply.
func (r *rig) behind(change func(*reply)) *watched {
	r.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got, err := r.pass(transport, req)
		if err != nil {
			r.Errorf("pass a request on: %v", err)
			return
		}
		change(got)
		got.header.Del("Content-Length")
		for name, values := range got.header {
			w.Header()[name] = values
		}
		w.WriteHeader(got.status)
		_, _ = io.WriteString(w, got.body)
	}))
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
	proxy.Start()
	r.Cleanup(proxy.Close)
	path := strings.TrimPrefix(r.sim.BaseURL(r.subject.Name), r.sim.URL())
	return r.connect(proxy.URL+path, apiKey)
}

// pass sends a request to the simulator and reads the answer.
func (r *rig) pass(transport *http.Transport, req *http.Request) (*reply, error) {
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", strings.TrimPrefix(r.sim.URL(), "http://"), ""
	resp, err := transport.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &reply{url: out.URL.String(), status: resp.StatusCode, header: resp.Header, body: string(body)}, err
}

// answer is a body that no provider sends.
type answer struct{ name, body string }

// garbage are answers as proxies, outages and bugs make them.
func garbage() []answer {
	return []answer{
		{"nothing", ""},
		{"a page that repeats the request", "<html>{key} {callback}</html>"},
		{"half an object", `{"message":"{key}","id`},
		{"an empty object", `{}`},
		{"null", `null`},
		{"an array", `[{}]`},
		{"a string", `"ok {callback}"`},
		{"another's error", `{"error":{"message":"calling {callback} with {key}"}}`},
	}
}

// give replaces any reply by this answer.
func (a answer) give(status int, r *rig) func(*reply) {
	body := strings.NewReplacer("{key}", apiKey, "{callback}", r.hook).Replace(a.body)
	return func(got *reply) { got.status, got.body = status, body }
}
