package luma

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

func TestCallback_ReadsEveryGenerationAndProvesNone(t *testing.T) {
	t.Parallel()
	for _, tt := range generations {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"X-Webhook-Signature": {"of no meaning"}}
			got, err := newProvider(t, "").Callback(t.Context(), header, []byte(tt.Body), time.Time{})
			if err != nil {
				t.Fatalf("Callback: %v", err)
			}
			want := provider.Callback{ProviderTaskID: taskID, Status: tt.Want}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("callback (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCallback_RefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	adapter().TestMalformed(t, map[string]string{
		"empty":               ``,
		"no JSON":             `<html>`,
		"cut JSON":            documentedGeneration[:200],
		"two values":          documentedGeneration + `{}`,
		"null":                `null`,
		"array":               `[` + documentedGeneration + `]`,
		"no id":               `{"state":"completed"}`,
		"id null":             `{"id":null,"state":"completed"}`,
		"id a number":         `{"id":7,"state":"completed"}`,
		"id of dots":          `{"id":"..","state":"completed"}`,
		"id too long":         `{"id":"` + strings.Repeat("a", 129) + `","state":"completed"}`,
		"id not printable":    `{"id":"a\u0000b","state":"completed"}`,
		"id of another case":  `{"ID":"T","state":"completed"}`,
		"id elsewhere":        `{"data":{"id":"T"},"state":"completed"}`,
		"no state":            `{"id":"T"}`,
		"state null":          `{"id":"T","state":null}`,
		"state a number":      `{"id":"T","state":1}`,
		"state of no meaning": `{"id":"T","state":"success"}`,
		"nested without end":  `{"id":` + strings.Repeat(`[`, 100_000),
	})
}
