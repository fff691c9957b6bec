package api

import (
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/callback"
)

// TestOperatorPageTokens_ComeBackAsTheyWere reads what we make, and refuses every other spelling of it.
func TestOperatorPageTokens_ComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "acme", "-", strings.Repeat("x", 64), "schnee ❄"} {
		token := tenantPageToken(name)
		if got, err := parseTenantPageToken(token); err != nil || got == nil || *got != name || len(token) > 128 {
			t.Errorf("the token of tenant %q gave %v, %v", name, got, err)
		}
	}
	place := callback.Place{Time: time.UnixMicro(1767225600123456), ID: 4711}
	token := callbackPageToken(place)
	if got, err := parseCallbackPageToken(token); err != nil || got.ID != place.ID || !got.Time.Equal(place.Time) {
		t.Errorf("the token of %v gave %v, %v", place, got, err)
	}
	for _, stranger := range []string{
		"x", "====", "AAAA", strings.Repeat("A", 100), "LTE", token + "A", token[:len(token)-2], "\n" + token, tenantPageToken("\x00"), tenantPageToken("\xff"),
	} {
		if got, err := parseTenantPageToken(stranger); err == nil {
			t.Errorf("tenant page token %q gave %q", stranger, *got)
		}
		if got, err := parseCallbackPageToken(stranger); err == nil {
			t.Errorf("callback page token %q gave %v", stranger, got)
		}
	}
}
