package kie

import (
	"net/http"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/provider"
)

func TestWords_KeepNoSecret(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	for _, tt := range []struct{ name, in, want string }{
		{"plain", " Not enough credits. ", "Not enough credits."},
		{"API key", "bad header Bearer " + testKey + "!", "bad header Bearer [redacted]!"},
		{"callback URL", "can't call " + submission.CallbackURL + ", sorry", "can't call [redacted], sorry"},
		{"token alone", "token " + testToken + "?", "token [redacted]?"},
		{"token in another URL", "http://other/" + testToken, "http://other/[redacted]"},
		{"escaped in JSON", `{"callBackUrl":"https:\/\/h.example\/cb\/tok"}`, `{"callBackUrl":"https:\/\/h.example/[redacted]"}`},
		{"signed link", "fetch HTTPS://b.example:9000/v.mp4?X-Amz-Signature=abc#f: 403", "fetch HTTPS://b.example:9000/[redacted] 403"},
		{"user in a link", "fetch http://me:pw@h/x", "fetch http://h/[redacted]"},
		{"broken bytes", "a\xffb", "ab"},
		{"long", strings.Repeat("é", 400), strings.Repeat("é", 256)},
		{"secret at the cut", strings.Repeat("x", 505) + testToken, strings.Repeat("x", 505) + "[redact"},
	} {
		if got := p.words(tt.in, callbackSecrets(submission.CallbackURL)...); got != tt.want {
			t.Errorf("%s: words(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestWords_ShowNoHalfOfASecretWhereLookingEnds(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	const head, middle = "http://h/", " the token is "
	in := head + strings.Repeat("x", maxWords-len(head+middle)-len(testToken)/2) + middle + testToken
	if got := p.words(in, testToken); strings.Contains(got, testToken[:4]) || !strings.HasPrefix(got, "http://h/[redacted]") {
		t.Errorf("words of %d bytes = %q", len(in), got)
	}
}

func TestCallbackSecrets_CoverEveryFormOfTheToken(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "")
	const callbackURL = "https://h/v1/callbacks/kie/to%2Bken%20x/?y=1"
	for _, in := range []string{callbackURL, "to%2Bken%20x", "to+ken x"} {
		if got := p.words(in, callbackSecrets(callbackURL)...); got != redacted {
			t.Errorf("words(%q) = %q, want %q", in, got, redacted)
		}
	}
}

func TestErrors_TellNoSecretThatTheProviderEchoes(t *testing.T) {
	t.Parallel()
	echo := `Authorization: Bearer ` + testKey + ` link https://tempfile.aiquickdraw.com/l/f7.mp4?sig=s3cr3t`
	providerError(t, do(t, answering(t, http.StatusOK, `{"code":422,"msg":"`+echo+`"}`), opLink))
	echo += ` callBackUrl ` + submission.CallbackURL + ` token ` + testToken
	for _, body := range []string{
		echo,
		`{"error":"` + echo + `"}`,
		`{"code":422,"msg":"` + echo + `"}`,
		`{"code":"500","message":"` + echo + `"}`,
		`{"code":200,"msg":"` + echo + `","data":[]}`,
	} {
		for _, status := range []int{http.StatusOK, http.StatusForbidden, http.StatusInternalServerError} {
			p := answering(t, status, body)
			perr := providerError(t, do(t, p, opSubmit)) // Looks for the secrets.
			if !strings.Contains(perr.Message, redacted) {
				t.Errorf("message is %q, want the echo in it, redacted", perr.Message)
			}
		}
	}
	// A check does not know the callback URL, but keeps no path of any URL.
	p := answering(t, http.StatusOK, `{"code":500,"msg":"can't call `+submission.CallbackURL+`"}`)
	if perr := wantClass(t, do(t, p, opCheck), provider.Unavailable); perr.Message != "can't call https://refract.example.com/[redacted]" {
		t.Errorf("message is %q", perr.Message)
	}
}
