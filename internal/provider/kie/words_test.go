package kie

import (
	"net/http"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestErrors_LeakNoSecretThatTheProviderEchoes(t *testing.T) {
	t.Parallel()
	echo := `Authorization: Bearer ` + testKey + ` link https://tempfile.aiquickdraw.com/l/f7.mp4?sig=s3cr3t`
	wiretest.ProviderError(t, wiretest.Do(t, answering(t, http.StatusOK, `{"code":422,"msg":"`+echo+`"}`), wire.OpLink))
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
			perr := wiretest.ProviderError(t, wiretest.Do(t, p, wire.OpSubmit)) // Looks for the secrets.
			if !strings.Contains(perr.Message, "[redacted]") {
				t.Errorf("message is %q, want the echo in it, redacted", perr.Message)
			}
		}
	}
	p := answering(t, http.StatusOK, `{"data":{"remainedCredits":5916.25}}`)
	if perr := wiretest.WantClass(t, wiretest.Do(t, p, wire.OpCheck), provider.Unavailable); strings.Contains(perr.Error(), "5916") {
		t.Errorf("error %q shows the balance", perr)
	}
	// A check does not know the callback URL, but keeps no path of any URL.
	p = answering(t, http.StatusOK, `{"code":500,"msg":"can't call `+submission.CallbackURL+`"}`)
	if perr := wiretest.WantClass(t, wiretest.Do(t, p, wire.OpCheck), provider.Unavailable); perr.Message != "can't call https://refract.example.com/[redacted]" {
		t.Errorf("message is %q", perr.Message)
	}
}
