package wire

import (
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/redact"
)

func TestRedact_KeepNoSecret(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://localhost", nil)
	for _, tt := range []struct{ name, in, want string }{
		{"plain", " Not enough credits. ", "Not enough credits."},
		{"API key", "bad header Bearer " + testKey + "!", "bad header Bearer [redacted]!"},
		{"callback URL", "can't call " + callbackURL + ", sorry", "can't call [redacted], sorry"},
		{"token alone", "token " + testToken + "?", "token [redacted]?"},
		{"token in another URL", "http://other/" + testToken, "http://other/[redacted]"},
		{"escaped in JSON", `{"callBackUrl":"https:\/\/h.example\/cb\/tok"}`, `{"callBackUrl":"https:\/\/h.example/[redacted]"}`},
		{"signed link", "fetch HTTPS://b.example:9000/v.mp4?X-Amz-Signature=abc#f: 403", "fetch HTTPS://b.example:9000/[redacted] 403"},
		{"user in a link", "fetch http://me:pw@h/x", "fetch http://h/[redacted]"},
		{"link with a broken byte", "fetch ht\xfftps://h/x?s=1 now", "fetch https://h/[redacted] now"},
		{"API key with a broken byte", "key " + testKey[:5] + "\xff" + testKey[5:], "key [redacted]"},
		{"broken bytes", "a\xffb", "ab"},
		{"long", strings.Repeat("é", 400), strings.Repeat("é", 256)},
		{"secret at the cut", strings.Repeat("x", 505) + testToken, strings.Repeat("x", 505) + "[redact"},
	} {
		if got := c.Redact(tt.in, CallbackSecrets(callbackURL)...); got != tt.want {
			t.Errorf("%s: Redact(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestRedact_ShowNoHalfOfASecretWhereLookingEnds(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://localhost", nil)
	const head, middle = "http://h/", " the token is "
	in := head + strings.Repeat("x", maxRedacted-len(head+middle)-len(testToken)/2) + middle + testToken
	if got := c.Redact(in, testToken); strings.Contains(got, testToken[:4]) || !strings.HasPrefix(got, "http://h/[redacted]") {
		t.Errorf("Redact of %d bytes = %q", len(in), got)
	}
}

func TestCallbackSecrets_CoverEveryFormOfTheToken(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://localhost", nil)
	const callbackURL = "https://h/v1/callbacks/kie/to%2Bken%20x/?y=1"
	for _, in := range []string{callbackURL, "to%2Bken%20x", "to+ken x"} {
		if got := c.Redact(in, CallbackSecrets(callbackURL)...); got != redact.Mark {
			t.Errorf("Redact(%q) = %q, want %q", in, got, redact.Mark)
		}
	}
}
