package kie

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire/wiretest"
	"github.com/refract-video/refract/internal/sim"
	simkie "github.com/refract-video/refract/internal/sim/kie"
)

func file(content string) provider.File {
	return provider.File{Name: "a-1.mp4", ContentType: "video/mp4", SizeBytes: int64(len(content)), Content: strings.NewReader(content)}
}

func TestUpload_GivesALinkToTheFile(t *testing.T) {
	t.Parallel()
	s, err := sim.Start(sim.Config{APIKeys: []string{testKey}}, simkie.Profile{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	clip := sim.TinyClip()
	p := newProvider(t, s.URL())
	link, err := p.Upload(t.Context(), provider.File{
		Name: "a-1.mp4", ContentType: "video/mp4", SizeBytes: int64(len(clip)), Content: bytes.NewReader(clip),
	})
	if err != nil || !strings.HasSuffix(link, "/files/refract/a-1.mp4") {
		t.Fatalf("link %q, %v", link, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, clip) {
		t.Errorf("the link leads to %d bytes, %v, want the %d that were uploaded", len(got), err, len(clip))
	}
}

func TestUpload_SendsItsLengthAndTheFieldsOfTheForm(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 || r.ParseMultipartForm(1<<20) != nil {
			got <- "no form with a length"
			return
		}
		part := r.MultipartForm.File["file"][0]
		got <- strings.Join([]string{
			r.URL.Path, r.Header.Get("Authorization"), r.FormValue("uploadPath"), r.FormValue("fileName"), part.Filename, part.Header.Get("Content-Type"),
		}, " ")
		_, _ = io.WriteString(w, `{"success":true,"code":200,"msg":"","data":{"fileUrl":"https://files.example/x.mp4"}}`)
	}))
	t.Cleanup(server.Close)
	p := newProvider(t, "http://127.0.0.1:1", func(c *Config) { c.UploadURL = server.URL + "/" })
	link, err := p.Upload(t.Context(), file("hello"))
	if err != nil || link != "https://files.example/x.mp4" {
		t.Errorf("link %q, %v", link, err)
	}
	if got, want := <-got, "/api/file-stream-upload Bearer "+testKey+" refract a-1.mp4 a-1.mp4 video/mp4"; got != want {
		t.Errorf("the provider got %q, want %q", got, want)
	}
}

func TestUpload_ClassifiesAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		want   provider.Class
		input  bool
	}{
		"bad parameter":         {200, `{"success":false,"code":400,"msg":"file is required"}`, provider.Rejected, true},
		"bad key":               {200, `{"success":false,"code":401,"msg":"no"}`, provider.AccountBlocked, false},
		"wrong method":          {405, `{"success":false,"code":405,"msg":"no"}`, provider.Rejected, false},
		"too large for a proxy": {413, `<html>`, provider.Rejected, true},
		"too many":              {429, `{}`, provider.RateLimited, false},
		"server error":          {200, `{"success":false,"code":500,"msg":"no"}`, provider.Unavailable, false},
		"no JSON":               {200, `<html>`, provider.Unavailable, false},
		"no link":               {200, `{"success":true,"code":200,"data":{"downloadUrl":"x"}}`, provider.Unavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := answering(t, tc.status, tc.body).Upload(t.Context(), file("hello"))
			perr := wiretest.ProviderError(t, err)
			if perr.Class != tc.want || perr.Input != tc.input || perr.Op != "upload" {
				t.Errorf("error %v, input %t, want %s, %t", err, perr.Input, tc.want, tc.input)
			}
		})
	}
	_, err := newProvider(t, "http://127.0.0.1:1").Upload(t.Context(), file("hello"))
	if perr := wiretest.ProviderError(t, err); perr.Class != provider.Unavailable {
		t.Errorf("no server answers: %v, want Unavailable", err)
	}
}

func TestNew_UploadsGoToTheProvidersOwnHost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ base, upload, want string }{
		"by default":    {"", "", DefaultUploadURL},
		"spelt out":     {DefaultBaseURL, "", DefaultUploadURL},
		"another API":   {"https://kie.example/", "", "https://kie.example"},
		"another place": {"https://kie.example", "https://up.example/", "https://up.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := New(Config{APIKey: testKey, BaseURL: tc.base, UploadURL: tc.upload})
			if err != nil || p.uploadURL != tc.want {
				t.Errorf("uploads go to %q, %v, want %q", p.uploadURL, err, tc.want)
			}
		})
	}
}
