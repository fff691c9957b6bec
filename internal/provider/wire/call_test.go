package wire

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter_IsHonouredInBothForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		" 7 ":                           7 * time.Second,
		"-7":                            0,
		"soon":                          0,
		"86401":                         24 * time.Hour,
		"9223372036854775807":           24 * time.Hour,
		"99999999999999999999":          0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0,
		"Fri, 02 Jan 2099 03:04:00 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}

func TestDateOf_IsTheServersAndElseOurs(t *testing.T) {
	t.Parallel()
	if got := dateOf(http.Header{"Date": {"Fri, 02 Jan 2026 03:04:05 GMT"}}); !got.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("dateOf = %v, want what the header says", got)
	}
	if off := time.Since(dateOf(http.Header{"Date": {"yesterday"}})); off < 0 || off > time.Minute {
		t.Errorf("without a date the time is %v ago, want now", off)
	}
}
