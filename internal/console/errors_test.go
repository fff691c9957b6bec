package console

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/publicerr"
)

func TestRetryAfter_IsSetWhereTheErrorSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	quota := func(retry time.Duration) error {
		return publicerr.New(codes.ResourceExhausted, refractv1.ErrorReason_ERROR_REASON_QUOTA_EXCEEDED, "the quota is used up", retry, nil).Err()
	}
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"too many attempts to sign in": {errTooMany, "60"},
		"a quota until tomorrow":       {quota(90 * time.Minute), "5400"},
		"part of a second":             {quota(time.Millisecond), "1"},
		"no time is known":             {quota(0), ""},
		"no status":                    {errors.New("broken pipe"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			c := &Console{Config: Config{Log: slog.New(slog.DiscardHandler)}}
			c.showError(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), nil, tc.err)
			if got := w.Header().Get("Retry-After"); got != tc.want {
				t.Errorf("Retry-After is %q, want %q", got, tc.want)
			}
		})
	}
}
