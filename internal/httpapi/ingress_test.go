package httpapi_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/kie"
)

const (
	bodyBound    = 256 << 10
	callbackPath = "/v1/callbacks/kie/url-token"
)

type receiveFunc = func(context.Context, *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error)

// serveIngress puts the public handler on a socket and counts what was too large.
func serveIngress(t *testing.T, receive receiveFunc) (site, *atomic.Int32) {
	t.Helper()
	text, oversized := &logText{}, &atomic.Int32{}
	return serve(t, httpapi.NewIngress(httpapi.IngressConfig{
		Callbacks: &inbox{receive: receive}, Headers: kieAccount(t).CallbackHeaders(), MaxBody: bodyBound, Log: text.logger(),
		OnOversized: func(context.Context) { oversized.Add(1) },
	}), text), oversized
}

// kieAccount is an account at the provider that signs callbacks.
func kieAccount(t testing.TB) provider.Accounts {
	t.Helper()
	signed, err := kie.New(kie.Config{APIKey: "key", SigningKeys: []string{webhookKey}})
	if err != nil {
		t.Fatal(err)
	}
	return provider.Accounts{"kie": signed}
}

const webhookKey = "webhook-key"

// inbox is a callback service that knows good tokens from others.
type inbox struct {
	refractv1.UnimplementedCallbackServiceServer
	receive receiveFunc
	wrong   error // Of every token that is not url-token.
}

func (i *inbox) CheckToken(_ context.Context, _, token string) error {
	if token == "url-token" {
		return nil
	}
	return i.wrong
}

func (i *inbox) ReceiveCallback(ctx context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
	return i.receive(ctx, req)
}

// TestIngress_ReadsNoBodyWithoutAToken announces a body and sends none. Without the check before the body the
// answer is 408, after 15 seconds.
func TestIngress_ReadsNoBodyWithoutAToken(t *testing.T) {
	t.Parallel()
	text := &logText{}
	s := serve(t, httpapi.NewIngress(httpapi.IngressConfig{
		Callbacks: &inbox{wrong: refusal(t, codes.Unauthenticated, "CALLBACK_TOKEN_INVALID", "no")}, MaxBody: bodyBound, Log: text.logger(),
	}), text)
	body, never := io.Pipe()
	defer never.Close()
	if a := s.do(t, http.MethodPost, "/v1/callbacks/kie/another", body); a.status != http.StatusUnauthorized {
		t.Errorf("answer %d %s, want 401", a.status, a.body)
	}
}

func TestIngress_RefusesCompressedBodies(t *testing.T) {
	t.Parallel()
	s, _ := serveIngress(t, nil)
	a := s.do(t, http.MethodPost, callbackPath, strings.NewReader("{}"), "Content-Encoding", "gzip")
	if a.status != http.StatusUnsupportedMediaType || a.header.Get("Accept-Encoding") != "identity" {
		t.Errorf("answer %d %s", a.status, a.body)
	}
}

var received = &refractv1.ReceiveCallbackResponse{Status: "received"}

func TestIngress_BodyArrivesByteByByte(t *testing.T) {
	t.Parallel()
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	for name, tc := range map[string]struct{ body, contentType string }{
		"JSON":          {`{"a": 1}` + "\n", "application/json"},
		"JSON string":   {`"aGVsbG8="`, "application/json"},
		"not JSON":      {"a=1&b=2", "application/x-www-form-urlencoded"},
		"no type":       {`{}`, ""},
		"bad type":      {`{}`, ";;"},
		"empty":         {"", "application/json"},
		"every byte":    {string(all), "application/octet-stream"},
		"invalid UTF-8": {"{\"a\":\"\xff\xfe\"}", "application/json"},
		"at the bound":  {strings.Repeat("x", bodyBound), "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got *refractv1.ReceiveCallbackRequest
			s, _ := serveIngress(t, func(_ context.Context, req *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
				got = req
				return received, nil
			})
			a := s.do(t, http.MethodPost, callbackPath, strings.NewReader(tc.body), "Content-Type", tc.contentType)
			if want := `{"status":"received"}`; a.status != http.StatusOK || a.body != want {
				t.Fatalf("answer %d %s, want 200 %s", a.status, a.body, want)
			}
			if string(got.GetBody()) != tc.body || got.GetProvider() != "kie" || got.GetToken() != "url-token" {
				t.Errorf("the server got provider %q, token %q, body %.50q", got.GetProvider(), got.GetToken(), got.GetBody())
			}
		})
	}
}

func TestIngress_CallCarriesSignatureHeadersAlone(t *testing.T) {
	t.Parallel()
	var got map[string][]string
	s, _ := serveIngress(t, func(ctx context.Context, _ *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
		got = callersMetadata(ctx)
		return received, nil
	})
	a := s.do(t, http.MethodPost, callbackPath, strings.NewReader(`{}`),
		"X-Webhook-Timestamp", "1700000000", "X-Webhook-Signature", "c2ln", "X-Webhook-Signature", "caf\xe9",
		"Authorization", "Bearer x", "Traceparent", "00-1-2-01", "X-Request-Id", "r", "X-Forwarded-For", "10.0.0.1",
		"X-Forwarded-Host", "evil.example", "Grpc-Metadata-Tenant", "other", "Grpc-Timeout", "1n", "Te", "trailers", "Cookie", "c=1")
	if a.status != http.StatusOK {
		t.Fatalf("answer %d %s", a.status, a.body)
	}
	want := map[string][]string{"x-webhook-timestamp": {"1700000000"}, "x-webhook-signature": {"c2ln"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

// TestIngress_GatewayObeysNoHeaderOfAStranger sends headers that the gateway treats by rules of its own.
func TestIngress_GatewayObeysNoHeaderOfAStranger(t *testing.T) {
	t.Parallel()
	s, _ := serveIngress(t, func(ctx context.Context, _ *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
		if _, bounded := ctx.Deadline(); bounded {
			t.Error("the call has a deadline of the stranger")
		}
		return received, nil
	})
	for name, value := range map[string]string{"Grpc-Timeout": "1n", "grpc-timeout": "no time", "Te": "trailers", "Accept": "text/event-stream"} {
		a := s.do(t, http.MethodPost, callbackPath, strings.NewReader(`{}`), name, value)
		if want := `{"status":"received"}`; a.status != http.StatusOK || a.body != want || a.header.Get("Content-Length") != strconv.Itoa(len(want)) {
			t.Errorf("with %s %q: answer %d %s and header %v", name, value, a.status, a.body, a.header)
		}
	}
}

// publisher is a fictitious provider that signs the whole body, in headers of its own.
type publisher struct {
	provider.Provider
	got http.Header // Of the last callback.
}

func (*publisher) Name() string { return "publisher" }

func (*publisher) Capabilities() provider.Capabilities {
	return provider.Capabilities{Callbacks: provider.BodySignedCallbacks, CallbackHeaders: []string{"Publisher-Id", "Publisher-Signature"}}
}

// sign returns the signature of a body under an id.
func (*publisher) sign(id string, body []byte) string {
	sum := sha256.Sum256(append([]byte("secret "+id+" "), body...))
	return hex.EncodeToString(sum[:])
}

func (p *publisher) Callback(_ context.Context, header http.Header, body []byte, _ time.Time) (provider.Callback, error) {
	p.got = header
	c := provider.Callback{ProviderTaskID: "p1", Status: provider.Status{Phase: provider.Succeeded}}
	if header.Get("Publisher-Signature") != p.sign(header.Get("Publisher-Id"), body) {
		return c, provider.ErrCallbackSignature
	}
	c.Proof = provider.ProofBody
	return c, nil
}

// TestIngress_AdaptersGetTheHeadersTheyList posts to two providers that sign in headers of different names. A header that
// the adapter does not list must not reach it.
func TestIngress_AdaptersGetTheHeadersTheyList(t *testing.T) {
	t.Parallel()
	second := &publisher{}
	accounts := kieAccount(t)
	accounts["publisher"] = second
	callbacks, tokens, settler := receiverOf(t, accounts)
	text := &logText{}
	s := serve(t, httpapi.NewIngress(ingressConfig(callbacks, accounts)), text)
	at := strconv.FormatInt(time.Now().Unix(), 10)
	body := `{"code":200,"data":{"taskId":"p1"}}`
	for _, tc := range []struct {
		name, account string
		headers       []string
		want          int
	}{
		{"kie", "kie", []string{"X-Webhook-Timestamp", at, "X-Webhook-Signature", kieSignature("p1", at)}, http.StatusOK},
		{"kie, forged", "kie", []string{"X-Webhook-Timestamp", at, "X-Webhook-Signature", kieSignature("p2", at)}, http.StatusUnauthorized},
		{"kie, signed as the other", "kie", []string{"Publisher-Id", "7", "Publisher-Signature", second.sign("7", []byte(body))}, http.StatusUnauthorized},
		{"publisher, forged", "publisher", []string{"Publisher-Id", "8", "Publisher-Signature", second.sign("7", []byte(body))}, http.StatusUnauthorized},
		{"publisher", "publisher", []string{
			"Publisher-Id", "7", "Publisher-Signature", second.sign("7", []byte(body)),
			"Publisher-Debug", "1", "Authorization", "Bearer x", "Cookie", "c=1", "X-Forwarded-For", "10.0.0.1", "Traceparent", "00-1-2-01",
		}, http.StatusOK},
	} {
		token, err := tokens.Make(tc.account, taskID)
		if err != nil {
			t.Fatal(err)
		}
		a := s.do(t, http.MethodPost, "/v1/callbacks/"+tc.account+"/"+token, strings.NewReader(body), tc.headers...)
		if a.status != tc.want {
			t.Errorf("%s: answer %d %s, want %d", tc.name, a.status, a.body, tc.want)
		}
	}
	want := http.Header{"Publisher-Id": {"7"}, "Publisher-Signature": {second.sign("7", []byte(body))}}
	if diff := cmp.Diff(want, second.got); diff != "" {
		t.Errorf("headers at the adapter (-want +got):\n%s", diff)
	}
	if len(settler.refused) != 3 {
		t.Errorf("%d callbacks were refused and kept, want 3", len(settler.refused))
	}
}

// kieSignature signs as kie.ai does.
func kieSignature(id, timestamp string) string {
	mac := hmac.New(sha256.New, []byte(webhookKey))
	mac.Write([]byte(id + "." + timestamp))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestIngress_BodyOverBoundIsRefusedAndCounted(t *testing.T) {
	t.Parallel()
	s, oversized := serveIngress(t, nil)
	body := strings.Repeat("x", bodyBound+1)
	for name, r := range map[string]io.Reader{"sized": strings.NewReader(body), "chunked": io.MultiReader(strings.NewReader(body))} {
		a := s.do(t, http.MethodPost, callbackPath, r)
		if want := `{"code":8,"message":"the body is too large"}`; a.status != http.StatusRequestEntityTooLarge || a.body != want {
			t.Errorf("%s: answer %d %s, want 413 %s", name, a.status, a.body, want)
		}
	}
	if got := oversized.Load(); got != 2 {
		t.Errorf("%d were counted, want 2", got)
	}
}

func TestIngress_ServesNothingButCallbacks(t *testing.T) {
	t.Parallel()
	s, _ := serveIngress(t, nil)
	for name, tc := range map[string]struct{ method, path string }{
		"other method":      {http.MethodGet, callbackPath},
		"put":               {http.MethodPut, callbackPath},
		"root":              {http.MethodGet, "/"},
		"health":            {http.MethodGet, "/healthz"},
		"metrics":           {http.MethodGet, "/metrics"},
		"tasks":             {http.MethodPost, "/v1/tasks"},
		"no token":          {http.MethodPost, "/v1/callbacks/kie"},
		"no provider":       {http.MethodPost, "/v1/callbacks//token"},
		"longer":            {http.MethodPost, callbackPath + "/more"},
		"escaped slash":     {http.MethodPost, "/v1/callbacks/kie/a%2Fb"},
		"not UTF-8":         {http.MethodPost, "/v1/callbacks/kie/%ff"},
		"double slash":      {http.MethodPost, "//v1/callbacks/kie/token"},
		"another beginning": {http.MethodPost, "/x/v1/callbacks/kie/token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, tc.method, tc.path, strings.NewReader("{}"), "X-HTTP-Method-Override", "POST")
			if want := `{"code":5,"message":"not found"}`; a.status != http.StatusNotFound || a.body != want {
				t.Errorf("answer %d %s, want 404 %s", a.status, a.body, want)
			}
		})
	}
}

func TestIngress_RefusalTellsNoInternals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status int
		body   string
	}{
		"forged token": {
			refusal(t, codes.Unauthenticated, "CALLBACK_TOKEN_INVALID", "no"), 401,
			`{"code":16,"message":"no","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CALLBACK_TOKEN_INVALID","domain":"refract"}]}`,
		},
		"transport": {status.Error(codes.Unavailable, "dial hunter2"), 503, `{"code":14,"message":"the service is out of reach"}`},
		"timeout":   {status.Error(codes.DeadlineExceeded, "hunter2"), 504, `{"code":4,"message":"the call took too long"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := serveIngress(t, func(context.Context, *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
				return nil, tc.err
			})
			a := s.do(t, http.MethodPost, callbackPath, strings.NewReader("{}"))
			if a.status != tc.status || a.body != tc.body {
				t.Errorf("answer %d %s\nwant %d %s", a.status, a.body, tc.status, tc.body)
			}
			if strings.Contains(s.log.String(), "url-token") {
				t.Errorf("the log has the URL token: %s", s.log)
			}
		})
	}
}

func TestIngress_PanicKeepsTheTokenOutOfTheLog(t *testing.T) {
	t.Parallel()
	text := &logText{}
	s := serve(t, httpapi.NewIngress(httpapi.IngressConfig{
		Callbacks: &inbox{}, MaxBody: 1, Log: text.logger(), OnOversized: func(context.Context) { boom() },
	}), text)
	a := s.do(t, http.MethodPost, callbackPath, strings.NewReader("{}"))
	if want := `{"code":13,"message":"internal error"}`; a.status != 500 || a.body != want {
		t.Errorf("answer %d %s, want 500 %s", a.status, a.body, want)
	}
	if log := text.String(); !strings.Contains(log, "boom") || strings.Contains(log, "url-token") {
		t.Errorf("the log has %s", log)
	}
}

// The route is written by hand, so it is held against the contract.
func TestIngress_RouteIsThatOfTheContract(t *testing.T) {
	t.Parallel()
	method := refractv1.File_refract_v1_callback_service_proto.Services().ByName("CallbackService").Methods().ByName("ReceiveCallback")
	rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok || rule.GetPost() != "/v1/callbacks/{provider}/{token}" || rule.GetBody() != "body" {
		t.Errorf("the contract has %v", rule)
	}
}
