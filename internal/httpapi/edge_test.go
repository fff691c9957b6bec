package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
)

// edge is a remote side that answers everything.
func edge() *remote {
	return &remote{
		submit: func(_ context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.SubmitTaskResponse, error) {
			return &refractv1.SubmitTaskResponse{Task: &refractv1.Task{RequestId: req.GetRequestId()}}, nil
		},
		get: func(context.Context, *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
			return &refractv1.GetTaskResponse{Task: &refractv1.Task{Id: taskID}}, nil
		},
		list: func(context.Context, *refractv1.ListTasksRequest) (*refractv1.ListTasksResponse, error) {
			return &refractv1.ListTasksResponse{}, nil
		},
	}
}

func TestREST_UnknownParametersAreRefusedByName(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, edge())
	long := strings.Repeat("p", 30_000)
	for name, tc := range map[string]struct{ method, path, field, says string }{
		"list, singular":       {http.MethodGet, "/v1/tasks?state=TASK_STATE_QUEUED", "state", "this method takes page_size, page_token, states, labels"},
		"list, among others":   {http.MethodGet, "/v1/tasks?page_size=1&limit=2", "limit", ""},
		"list, of a map":       {http.MethodGet, "/v1/tasks?label[a]=b", "label[a]", ""},
		"list, without a name": {http.MethodGet, "/v1/tasks?=x", `"description":"there is no query parameter`, ""},
		"list, half an index":  {http.MethodGet, "/v1/tasks?states[=TASK_STATE_QUEUED", "states[", ""},
		"list, an index":       {http.MethodGet, "/v1/tasks?page_token[0]=x", "page_token[0]", ""},
		"list, half a key":     {http.MethodGet, "/v1/tasks?labels[a=b", "labels[a", "must be of the form labels[key]=value"},
		"list, two keys":       {http.MethodGet, "/v1/tasks?labels[a[b]=c", "labels[a[b]", "must be of the form labels[key]=value"},
		"list, a broken key":   {http.MethodGet, "/v1/tasks?labels[a%0Ab]=c", "labels[a", "must be of the form labels[key]=value"},
		"list, by semicolons":  {http.MethodGet, "/v1/tasks?page_size=1;state=TASK_STATE_QUEUED", "the query is malformed", "separate its parameters by \u0026"},
		"list, many":           {http.MethodGet, "/v1/tasks?state=1" + strings.Repeat("&a", 20_000), "the query is malformed", ""},
		"list, a long name":    {http.MethodGet, "/v1/tasks?" + long + "=1", strings.Repeat("p", 61) + "…", ""},
		"get":                  {http.MethodGet, "/v1/tasks/" + taskID + "?view=full", "view", "this method takes none"},
		"get, of its path":     {http.MethodGet, "/v1/tasks/" + taskID + "?task_id=other", "task_id", ""},
		"get, in JSON's name":  {http.MethodGet, "/v1/tasks/" + taskID + "?taskId=other", "taskId", ""},
		"watch, of its path":   {http.MethodGet, watchPath + "?taskId=other", "taskId", ""},
		"events":               {http.MethodGet, "/v1/tasks/" + taskID + "/events?after=3", "after", "page_size, page_token"},
		"submit":               {http.MethodPost, "/v1/tasks?dry_run=true", "dry_run", ""},
		"cancel":               {http.MethodPost, "/v1/tasks/" + taskID + ":cancel?force=1", "force", ""},
		"watch":                {http.MethodGet, watchPath + "?afterRevison=3", "afterRevison", "this method takes after_revision"},
		"watch all":            {http.MethodGet, "/v1/tasks:watch?state=TASK_STATE_FAILED", "state", ""},
		"download":             {http.MethodGet, "/v1/tasks/" + taskID + "/outputs/0?download=1", "download", ""},
		"link":                 {http.MethodGet, "/v1/outputs/token?download=1", "download", ""},
		"upload":               {http.MethodPut, uploadAt + "?offset=3", "offset", ""},
		"question":             {http.MethodGet, uploadAt + "?offset=3", "offset", ""},
		"tenants":              {http.MethodGet, "/v1/tenants?name=a", "name", "tenant"},
		"set tenant":           {http.MethodPut, "/v1/tenants/a?weight=3", "weight", ""},
		"callbacks":            {http.MethodGet, "/v1/callbacks?verdict=CALLBACK_VERDICT_STALE", "verdict", ""},
		"webhooks":             {http.MethodGet, "/v1/webhooks?page_size=1", "page_size", "this method takes none"},
		"webhook":              {http.MethodPatch, "/v1/webhooks/w?enabled=true", "enabled", "this method takes none"},
		"delete webhook":       {http.MethodDelete, "/v1/webhooks/w?force=true", "force", "this method takes none"},
		"deliveries":           {http.MethodGet, "/v1/webhookDeliveries?state=FAILED", "state", "this method takes page_size, page_token, endpoint_id, task_id, states"},
		"providers":            {http.MethodGet, "/v1/providers?account=kie", "account", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var body io.Reader
			if tc.method != http.MethodGet {
				body = strings.NewReader("{}")
			}
			a := s.do(t, tc.method, tc.path, body)
			if a.status != http.StatusBadRequest || !strings.Contains(a.body, tc.field) || !strings.Contains(a.body, tc.says) ||
				!strings.Contains(a.body, `"reason":"INVALID_REQUEST"`) {
				t.Errorf("answer %d %s\nwant 400 that names %s and says %q", a.status, a.body, tc.field, tc.says)
			}
			if len(a.body) > 2000 {
				t.Errorf("the answer has %d bytes", len(a.body))
			}
		})
	}
	for _, path := range []string{"/healthz?x=1", "/readyz?verbose", "/v1/tasks?pageSize=1&page_token=&states=TASK_STATE_QUEUED&labels[a.b]=c&createTimeFrom=2026-01-01T00:00:00Z"} {
		if a := s.do(t, http.MethodGet, path, nil); a.status != http.StatusOK {
			t.Errorf("%s is answered %d %s", path, a.status, a.body)
		}
	}
}

// TestREST_SaysWhatIsWrongInWords searches messages for the wording of Go libraries.
func TestREST_SaysWhatIsWrongInWords(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, edge())
	for path, want := range map[string]string{
		"/v1/tasks?pageSize=many":                              "pageSize must be one whole number, and can't be many",
		"/v1/tasks?pageSize=1&pageSize=2":                      "pageSize must be one whole number, and can't be 1, 2",
		"/v1/tasks?states=QUEUED":                              "states must be one of TASK_STATE_QUEUED, ",
		"/v1/tasks?create_time_from=yesterday":                 "create_time_from must be a time such as 2026-01-31T12:00:00Z, and can't be yesterday",
		"/v1/tasks?create_time_from=0000-12-31T00:00:00Z":      "create_time_from must be a time such as",
		"/v1/tasks?create_time_from=10000-01-01T00:00:00Z":     "create_time_from must be a time such as",
		"/v1/tasks?labels=a":                                   "labels must be of the form labels[key]=value",
		"/v1/tasks?page_size=" + strings.Repeat("9", 10_000):   "and can't be " + strings.Repeat("9", 61) + "…",
		"/v1/callbacks?receive_time_to=2026-01-01%2012:00:00Z": "receive_time_to must be a time such as",
	} {
		a := s.do(t, http.MethodGet, path, nil)
		if a.status != http.StatusBadRequest || !strings.Contains(a.body, want) || strings.Contains(a.body, "strconv") || strings.Contains(a.body, "parsing") {
			t.Errorf("%.60s: answer %d %s\nwant 400 with %s", path, a.status, a.body, want)
		}
	}
}

func TestREST_AllowNamesWhatAPathTakes(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, edge(), func(cfg *httpapi.InternalConfig) {
		cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	})
	for path, want := range map[string]string{
		"/v1/tasks":                          "GET, HEAD, POST",
		"/v1/tasks/" + taskID:                "GET, HEAD",
		"/v1/tasks/" + taskID + ":cancel":    "POST",
		"/v1/tasks/" + taskID + "/outputs/0": "GET, HEAD",
		"/v1/tasks:batchSubmit":              "POST",
		"/v1/tasks:watch":                    "GET, HEAD",
		"/v1/tenants/a":                      "PUT",
		"/v1/sources/" + uploadID:            "GET, HEAD, PUT",
		"/v1/outputs/token":                  "GET, HEAD",
		"/healthz":                           "GET, HEAD",
		"/metrics":                           "GET, HEAD",
		"/v1/webhooks":                       "GET, HEAD, POST",
		"/v1/webhooks/w":                     "GET, HEAD, PATCH, DELETE",
		"/v1/webhooks/w:test":                "POST",
		"/v1/webhookDeliveries:redeliver":    "POST",
	} {
		for _, method := range []string{http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			if strings.Contains(want, method) {
				continue
			}
			a := s.do(t, method, path, nil)
			if got := a.header.Get("Allow"); a.status != http.StatusMethodNotAllowed || got != want {
				t.Errorf("%s %s: answer %d with Allow %q, want 405 with %q", method, path, a.status, got, want)
			}
		}
	}
}

func TestREST_HeadWorksWhereGetDoes(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, edge(), func(cfg *httpapi.InternalConfig) {
		cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	})
	for path, want := range map[string]int{
		"/v1/tasks": 200, "/v1/tasks/" + taskID: 200, "/metrics": 200, "/healthz": 200,
		"/v1/tasks?state=x": 400, "/v1/tasks/" + taskID + ":cancel": 405, "/v2": 404,
	} {
		a := s.do(t, http.MethodHead, path, nil)
		if a.status != want || a.body != "" {
			t.Errorf("HEAD %s: answer %d %q, want %d", path, a.status, a.body, want)
		}
		if got, want := a.header.Get("Content-Length"), fmt.Sprint(len(s.do(t, http.MethodGet, path, nil).body)); a.status == 200 && path != "/metrics" && got != want {
			t.Errorf("HEAD %s: Content-Length %s, GET has %s", path, got, want)
		}
	}
}

func TestREST_BodiesOfOtherKindsAreRefused(t *testing.T) {
	t.Parallel()
	tokens, open := serveInternal(t, edge()), serveInternal(t, edge(), func(cfg *httpapi.InternalConfig) { cfg.Open = true })
	for _, tc := range []struct {
		header, value string
		tokens, open  int
	}{
		{"Content-Type", "application/json", 200, 200},
		{"Content-Type", "application/json; charset=UTF-8", 200, 200},
		{"Content-Type", "application/vnd.refract+json", 200, 200},
		{"Content-Type", "application/json; charset=utf-16", 415, 415},
		{"Content-Type", "text/plain", 415, 415},
		{"Content-Type", "multipart/form-data; boundary=x", 415, 415},
		{"Content-Type", "application/xml", 415, 415},
		{"Content-Type", ";;", 415, 415},
		{"Content-Type", "application/x-www-form-urlencoded", 200, 415}, // What curl sends, and a form of another site.
		{"Content-Type", "", 200, 415},
		{"Content-Encoding", "gzip", 415, 415},
		{"Content-Encoding", "identity", 200, 415}, // Without a type.
	} {
		for name, at := range map[string]struct {
			site
			want int
		}{"tokens": {tokens, tc.tokens}, "open": {open, tc.open}} {
			a := at.do(t, http.MethodPost, "/v1/tasks", strings.NewReader("\xef\xbb\xbf"+`{"requestId":"a"}`), tc.header, tc.value)
			if a.status != at.want || a.status == 200 && !strings.Contains(a.body, `"requestId":"a"`) {
				t.Errorf("%s: %s %q is answered %d %s, want %d", name, tc.header, tc.value, a.status, a.body, at.want)
			}
		}
	}
	for _, headers := range [][]string{{"Content-Encoding", "identity", "Content-Encoding", "gzip"}, {"Content-Encoding", "identity, GZIP"}} {
		if a := tokens.do(t, http.MethodPost, "/v1/tasks", strings.NewReader("{}"), headers...); a.status != 415 || !strings.Contains(strings.ToLower(a.body), "content-encoding gzip is") {
			t.Errorf("%q is answered %d %s", headers, a.status, a.body)
		}
	}
	for method, path := range map[string]string{http.MethodPut: uploadAt} {
		if a := tokens.do(t, method, path, strings.NewReader("x"), "Content-Encoding", "gzip"); a.status != 415 || a.header.Get("Accept-Encoding") != "identity" {
			t.Errorf("a compressed upload is answered %d %s", a.status, a.body)
		}
	}
}

// TestREST_ReadsNoBodyOfAStranger announces bodies and sends none. Without the check before the body the answer is 408, after
// 15 seconds.
func TestREST_ReadsNoBodyOfAStranger(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	text := &logText{}
	cfg := httpapi.InternalConfig{Conn: dial(t, edge()), Log: text.logger(), Enter: func(r *http.Request) httpapi.Caller {
		return callerStandIn{authenticate: func() error {
			asked.Add(1)
			if r.Header.Get("Authorization") != "Bearer good" {
				return refusal(t, codes.Unauthenticated, "CREDENTIALS_INVALID", "no")
			}
			return nil
		}}
	}}
	s := serve(t, httpapi.NewInternal(cfg), text)
	for name, tc := range map[string]struct {
		method, path, authorization string
		want                        int
	}{
		"submit":       {http.MethodPost, "/v1/tasks", "Bearer bad", 401},
		"upload":       {http.MethodPut, uploadAt, "", 401},
		"get":          {http.MethodGet, "/v1/tasks", "", 401},
		"no route":     {http.MethodPost, "/v2", "Bearer good", 404},
		"wrong method": {http.MethodDelete, "/v1/tasks", "Bearer good", 405},
		"wrong query":  {http.MethodPost, "/v1/tasks?x=1", "Bearer good", 400},
		"wrong upload": {http.MethodPut, uploadAt + "?x=1", "Bearer good", 400},
		"too large":    {http.MethodPost, "/v1/tasks", "Bearer good", 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(hung))
			length := 100
			if tc.want == http.StatusRequestEntityTooLarge {
				length = 4 << 20
			}
			fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n", tc.method, tc.path, tc.authorization, length)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tc.want || !resp.Close {
				t.Errorf("answer %d, connection goes on: %t; want %d and its end", resp.StatusCode, !resp.Close, tc.want)
			}
		})
	}
	t.Cleanup(func() {
		if asked.Load() == 0 {
			t.Error("no request was authenticated")
		}
	})
}

// TestREST_EchoesLittle sends names and values of megabytes.
func TestREST_EchoesLittle(t *testing.T) {
	t.Parallel()
	r := edge()
	r.get = func(context.Context, *refractv1.GetTaskRequest) (*refractv1.GetTaskResponse, error) {
		return nil, refusal(t, codes.InvalidArgument, "INVALID_REQUEST", strings.Repeat("m", 1<<20), &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: strings.Repeat("f", 1<<20)}},
		})
	}
	s := serveInternal(t, r)
	long := strings.Repeat("x", 2_900_000)
	for name, body := range map[string]string{
		"a field name":     `{"` + long + `":1}`,
		"a value":          `{"strength":"` + long + `"}`,
		"a number":         `{"priority":` + strings.Repeat("9", 2_900_000) + `}`,
		"not JSON":         long,
		"too many items":   `{"fallbackProviders":[""` + strings.Repeat(`,""`, 700_000) + `]}`,
		"too many entries": `{"labels":{"a":""` + strings.Repeat(`,"a":""`, 400_000) + `}}`,
		"a duration":       `{"deadline":"` + long + `"}`,
	} {
		a := s.do(t, http.MethodPost, "/v1/tasks", strings.NewReader(body))
		if a.status != http.StatusBadRequest || len(a.body) > 5000 {
			t.Errorf("%s: answer %d of %d bytes, want 400 of at most 5000", name, a.status, len(a.body))
		}
	}
}

func TestREST_CountsItemsBeforeItMakesAnythingOfThem(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, edge())
	a := s.do(t, http.MethodPost, "/v1/tasks:batchSubmit", strings.NewReader(`{"requests":[{}`+strings.Repeat(`,{}`, 700_000)+`]}`))
	if want := `"field":"requests","description":"must have at most 1000 items"`; a.status != http.StatusBadRequest || !strings.Contains(a.body, want) {
		t.Errorf("answer %d %.300s, want 400 with %s", a.status, a.body, want)
	}
}

// TestOpen_PagesOfOtherSitesAreRefused sends the requests that a browser sends for pages of other sites.
func TestOpen_PagesOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, edge(), func(cfg *httpapi.InternalConfig) {
		cfg.Open, cfg.BaseURL, cfg.Outputs = true, "https://refract.lan:8443", noOutputs{}
	})
	port := s.Listener.Addr().(*net.TCPAddr).Port
	own := fmt.Sprintf("127.0.0.1:%d", port)
	for name, tc := range map[string]struct {
		method, path, host string
		headers            []string
		want               int
	}{
		"a program":                  {http.MethodGet, "/v1/tasks", own, nil, 200},
		"localhost":                  {http.MethodGet, "/v1/tasks", fmt.Sprintf("localhost:%d", port), nil, 200},
		"IPv6":                       {http.MethodGet, "/v1/tasks", "[::1]:8080", nil, 200},
		"a forwarded port":           {http.MethodGet, "/v1/tasks", "localhost:1234", nil, 200},
		"the base URL":               {http.MethodGet, "/v1/tasks", "refract.lan:8443", nil, 200},
		"the address line":           {http.MethodGet, "/v1/tasks", own, []string{"Sec-Fetch-Site", "none"}, 200},
		"a page of ours":             {http.MethodGet, "/v1/tasks", own, []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + own}, 200},
		"a name pointed here":        {http.MethodGet, "/v1/tasks", "evil.example", nil, 403},
		"one that looks like it":     {http.MethodGet, "/v1/tasks", "localhost.evil.example:8080", nil, 403},
		"another address":            {http.MethodGet, "/v1/tasks", "10.0.0.1:8080", nil, 403},
		"a name, for metrics":        {http.MethodGet, "/healthz", "evil.example", nil, 403},
		"a name, for links":          {http.MethodGet, "/v1/outputs/token", "evil.example", nil, 403},
		"another site":               {http.MethodGet, "/v1/tasks", own, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another port":               {http.MethodGet, "/v1/tasks", own, []string{"Sec-Fetch-Site", "same-site"}, 403},
		"another origin":             {http.MethodGet, "/v1/tasks", own, []string{"Origin", "https://evil.example"}, 403},
		"an origin at another port":  {http.MethodGet, "/v1/tasks", own, []string{"Origin", "http://127.0.0.1:1"}, 403},
		"no origin at all":           {http.MethodGet, "/v1/tasks", own, []string{"Origin", "null"}, 403},
		"two origins":                {http.MethodGet, "/v1/tasks", own, []string{"Origin", "http://" + own, "Origin", "https://evil.example"}, 403},
		"a form":                     {http.MethodPost, "/v1/tasks", own, []string{"Origin", "https://evil.example", "Content-Type", "text/plain"}, 403},
		"a form of an old browser":   {http.MethodPost, "/v1/tasks", own, []string{"Content-Type", "text/plain"}, 415},
		"a form without a body":      {http.MethodPost, "/v1/providers/kie:resume", own, []string{"Origin", "https://evil.example"}, 403},
		"an upload of another site":  {http.MethodPut, uploadAt, own, []string{"Origin", "https://evil.example"}, 403},
		"a link shown by other site": {http.MethodGet, "/v1/outputs/token", own, []string{"Sec-Fetch-Site", "cross-site"}, 500}, // No outputs here.
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var body io.Reader
			if tc.method != http.MethodGet && !strings.HasSuffix(tc.path, "resume") {
				body = strings.NewReader("{}")
			}
			req, err := http.NewRequestWithContext(t.Context(), tc.method, s.URL+tc.path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tc.host
			for i := 0; i < len(tc.headers); i += 2 {
				req.Header.Add(tc.headers[i], tc.headers[i+1])
			}
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tc.want {
				text, _ := io.ReadAll(resp.Body)
				t.Errorf("answer %d %s, want %d", resp.StatusCode, text, tc.want)
			}
		})
	}
}

// TestOpen_ProbesWithoutAHostAreServed sends requests like a load balancer, in HTTP/1.0. Browsers always send Host.
func TestOpen_ProbesWithoutAHostAreServed(t *testing.T) {
	t.Parallel()
	s := serveInternal(t, edge(), func(cfg *httpapi.InternalConfig) { cfg.Open = true })
	for header, want := range map[string]int{"": 200, "Origin: http://evil.example\r\n": 403, "Sec-Fetch-Site: cross-site\r\n": 403} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(hung))
		fmt.Fprintf(conn, "GET /healthz HTTP/1.0\r\n%s\r\n", header)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a request without a host and with %q is answered %d, want %d", header, resp.StatusCode, want)
		}
	}
}

// errNoOutputs is the error of an outage.
var errNoOutputs = errors.New("no outputs")

// noOutputs opens nothing.
type noOutputs struct{}

func (noOutputs) OpenOutput(context.Context, string, int) (io.ReadSeekCloser, time.Time, error) {
	return nil, time.Time{}, errNoOutputs
}

func (noOutputs) OpenLink(context.Context, string) (*httpapi.LinkedOutput, error) {
	return nil, errNoOutputs
}
