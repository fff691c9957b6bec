package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/refract-video/refract/internal/httpapi"
)

// echo answers the self-test with the token "good" by its body.
type echo struct{}

func (echo) VerifySelfTest(token string) bool            { return token == "good" }
func (echo) AnswerSelfTest(_ string, body []byte) string { return "got " + string(body) }

// TestIngress_AnswersSelfTests posts self-tests to ingresses that answer them and that do not. Where none is answered, a self-test
// is refused like a callback with a wrong token.
func TestIngress_AnswersSelfTests(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tests       httpapi.SelfTests
		method      string
		path, body  string
		wantStatus  int
		wantContent string
	}{
		"a self-test":         {echo{}, http.MethodPost, "/v1/callbacks/self-test/good", "body", http.StatusOK, "got body\n"},
		"an empty one":        {echo{}, http.MethodPost, "/v1/callbacks/self-test/good", "", http.StatusOK, "got \n"},
		"a forged token":      {echo{}, http.MethodPost, "/v1/callbacks/self-test/bad", "body", http.StatusUnauthorized, ""},
		"another account":     {echo{}, http.MethodPost, "/v1/callbacks/kie/good", "body", http.StatusUnauthorized, ""},
		"another method":      {echo{}, http.MethodGet, "/v1/callbacks/self-test/good", "", http.StatusNotFound, ""},
		"a body that is huge": {echo{}, http.MethodPost, "/v1/callbacks/self-test/good", strings.Repeat("x", bodyBound+1), http.StatusRequestEntityTooLarge, ""},
		"none are answered":   {nil, http.MethodPost, "/v1/callbacks/self-test/good", "body", http.StatusUnauthorized, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := &logText{}
			s := serve(t, httpapi.NewIngress(httpapi.IngressConfig{
				Callbacks: &inbox{wrong: refusal(t, codes.Unauthenticated, "CALLBACK_TOKEN_INVALID", "no")}, MaxBody: bodyBound, Log: text.logger(),
				SelfTests: tc.tests,
			}), text)
			a := s.do(t, tc.method, tc.path, strings.NewReader(tc.body))
			if a.status != tc.wantStatus || tc.wantContent != "" && a.body != tc.wantContent {
				t.Errorf("answer %d %q, want %d %q", a.status, a.body, tc.wantStatus, tc.wantContent)
			}
		})
	}
}
