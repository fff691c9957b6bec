package lumaagents

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestErrors_MeanWhatTheirStatusSays(t *testing.T) {
	t.Parallel()
	adapter().TestPlainErrors(t, map[int]wiretest.Meaning{
		403: {Submit: wiretest.Paused(provider.PauseBlocked), Check: wiretest.Paused(provider.PauseBlocked)},
		410: {Submit: wiretest.Class(provider.Rejected), Check: wiretest.Class(provider.Unavailable)},
	})
}

func TestCauses_AreKnownForEveryDocumentedCode(t *testing.T) {
	t.Parallel()
	want := map[string]provider.Cause{
		"content_moderated":  provider.CauseModerated,
		"generation_failed":  provider.CauseUnspecified,
		"budget_exhausted":   provider.CauseOutOfCredits,
		"output_not_found":   provider.CauseUnspecified,
		"image_too_large":    provider.CauseInputTooLarge,
		"unsupported_format": provider.CauseInputUnsupported,
		"corrupt_input":      provider.CauseInputUnsupported,
		"invalid_request":    provider.CauseInputRejected,
		"rate_limited":       provider.CauseUnspecified,
		"a_code_of_tomorrow": provider.CauseUnspecified,
	}
	for code, cause := range want {
		body := generation(fmt.Sprintf(`"state":"failed","output":null,"failure_code":%q,"failure_reason":"said so"`, code))
		got, err := answering(t, http.StatusOK, body).Check(t.Context(), provider.Query{TaskID: taskID, Submitted: longAgo()})
		if err != nil {
			t.Errorf("%s: %v", code, err)
		}
		if diff := cmp.Diff(failed(cause, code+": said so"), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", code, diff)
		}
	}
}
