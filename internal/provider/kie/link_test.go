package kie

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
)

func TestRefreshLink_ReturnsTheFreshLink(t *testing.T) {
	t.Parallel()
	var got []string
	url, _ := wiretest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = []string{r.Method, r.RequestURI, strings.TrimSpace(string(body))}
		_, _ = io.WriteString(w, `{"code":200,"msg":"success","data":"https://tempfile.1f6cbd98"}`)
	})
	link, err := newProvider(t, url).RefreshLink(t.Context(), "https://tempfile.x/a.mp4?a=1&b=2")
	if err != nil || link != "https://tempfile.1f6cbd98" {
		t.Fatalf("RefreshLink = %q, %v", link, err)
	}
	want := []string{"POST", "/api/v1/common/download-url", `{"url":"https://tempfile.x/a.mp4?a=1&b=2"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestRefreshLink_IsUnavailableWithoutALink(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`null`, `""`, `"file:///x"`, `"no link"`, `["https://h/a","https://h/b"]`, `{"href":"https://h/a"}`, `7`} {
		perr := wiretest.WantClass(t, wiretest.Do(t, answering(t, http.StatusOK, `{"code":200,"msg":"hm","data":`+data+`}`), wire.OpLink), provider.Unavailable)
		if perr.Message != "hm" {
			t.Errorf("data %s: message is %q", data, perr.Message)
		}
	}
	wiretest.WantClass(t, wiretest.Do(t, answering(t, http.StatusOK, `{"code":200,"msg":"hm"}`), wire.OpLink), provider.Unavailable)
}
