package httpapi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/provider"
)

// applier is a settler that applies every callback and keeps the refused ones.
type applier struct{ refused []lifecycle.Callback }

func (*applier) SettleCallback(context.Context, lifecycle.Callback, provider.Callback) (lifecycle.Verdict, error) {
	return lifecycle.Applied, nil
}

func (a *applier) RefuseCallback(_ context.Context, c lifecycle.Callback) error {
	a.refused = append(a.refused, c)
	return nil
}

// receiverOf returns the callback service over a real receiver, and the tokens of its URLs.
func receiverOf(t testing.TB, accounts provider.Accounts) (httpapi.Callbacks, *callback.Tokens, *applier) {
	t.Helper()
	tokens, err := callback.NewTokens(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	log, settler := slog.New(slog.DiscardHandler), &applier{}
	receiver, err := callback.NewReceiver(callback.Config{
		Tokens: tokens, Accounts: accounts, Settler: settler, Meter: noop.Meter{}, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	statuses := &api.Statuses{Unavailable: func(error) bool { return false }, Log: log}
	return api.NewInProcessCallbacks(api.NewCallbackService(receiver), statuses, log), tokens, settler
}

// BenchmarkIngress takes signed callbacks of a kilobyte, as kie.ai sends them, up to the store and no further. "service"
// replaces all that follows the HTTP handler.
func BenchmarkIngress(b *testing.B) {
	accounts := kieAccount(b)
	receiver, tokens, settler := receiverOf(b, accounts)
	token, err := tokens.Make("kie", taskID)
	if err != nil {
		b.Fatal(err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	signature := kieSignature("task-1", now)
	body := `{"code":200,"data":{"taskId":"task-1","resultUrls":["https://files.example/1.mp4"],"param":"` + strings.Repeat("p", 900) + `"}}`
	standIn := &inbox{receive: func(context.Context, *refractv1.ReceiveCallbackRequest) (*refractv1.ReceiveCallbackResponse, error) {
		return received, nil
	}}
	for name, callbacks := range map[string]httpapi.Callbacks{"receiver": receiver, "service": standIn} {
		b.Run(name, func(b *testing.B) {
			path := "/v1/callbacks/kie/" + token
			if name == "service" {
				path = callbackPath
			}
			handler := httpapi.NewIngress(ingressConfig(callbacks, accounts))
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, strings.NewReader(body))
				r.Header = http.Header{
					"Content-Type": {"application/json"}, "User-Agent": {"kie"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip"},
					"Content-Length": {strconv.Itoa(len(body))}, "X-Webhook-Timestamp": {now}, "X-Webhook-Signature": {signature},
				}
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("answer %d %s", w.Code, w.Body)
				}
			}
			if len(settler.refused) > 0 {
				b.Fatalf("%d callbacks were refused", len(settler.refused))
			}
		})
	}
}

func ingressConfig(callbacks httpapi.Callbacks, accounts provider.Accounts) httpapi.IngressConfig {
	return httpapi.IngressConfig{
		Callbacks: callbacks, Headers: accounts.CallbackHeaders(), MaxBody: callback.MaxBody, Log: slog.New(slog.DiscardHandler),
	}
}
