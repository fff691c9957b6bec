package console_test

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"github.com/refract-video/refract/internal/e2e/e2etest"
)

// clients are the HTTP clients of visitors, each with its own cookies.
type clients struct {
	mu  sync.Mutex
	all map[visitor]*http.Client
}

// client returns the HTTP client of a visitor, who is signed in with it unless they have no token.
func (s *site) client(t *testing.T, v visitor) *http.Client {
	t.Helper()
	s.clients.mu.Lock()
	defer s.clients.mu.Unlock()
	if s.clients.all == nil {
		s.clients.all = map[visitor]*http.Client{}
	}
	c := s.clients.all[v]
	if c != nil {
		return c
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c = &http.Client{Jar: jar}
	if v != stranger {
		login := s.send(t, c, v, http.MethodGet, "/login", "", nil)
		form, _ := login.form(t, "Sign in with a token")
		values := valuesOf(form)
		values.Set("token", s.tokens[v])
		p := s.send(t, c, v, http.MethodPost, "/login", formType, strings.NewReader(values.Encode()))
		if p.status != http.StatusOK || p.url.Path == "/login" {
			t.Fatalf("%s can't sign in: %s: %s", v, p.url, p.text())
		}
	}
	s.clients.all[v] = c
	return c
}

// formType is the type of a form without files.
const formType = "application/x-www-form-urlencoded"

// get opens a page as a visitor, and follows redirections.
func (s *site) get(t *testing.T, v visitor, path string) *page {
	t.Helper()
	return s.open(t, v, http.MethodGet, path, "", nil)
}

// post sends exactly these fields as a form, and follows redirections. [page.submit] sends a form as a browser does.
func (s *site) post(t *testing.T, v visitor, path string, fields url.Values) *page {
	t.Helper()
	return s.open(t, v, http.MethodPost, path, formType, strings.NewReader(fields.Encode()))
}

// open makes a request as a visitor and returns the page to which it leads.
func (s *site) open(t *testing.T, v visitor, method, path, contentType string, body io.Reader) *page {
	t.Helper()
	return s.send(t, s.client(t, v), v, method, path, contentType, body)
}

// send is open with a client.
func (s *site) send(t *testing.T, client *http.Client, v visitor, method, path, contentType string, body io.Reader) *page {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e2etest.Hung)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,*/*;q=0.8")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Origin", s.url)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	p := &page{site: s, visitor: v, status: resp.StatusCode, header: resp.Header, url: resp.Request.URL}
	if p.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if p.root, err = html.Parse(bytes.NewReader(p.body)); err != nil {
		t.Fatalf("%s %s: parse the page: %v", method, path, err)
	}
	return p
}

// page is an answer of the site as an HTTP client sees it.
type page struct {
	site    *site
	visitor visitor
	status  int
	header  http.Header
	url     *url.URL // Where redirections led.
	body    []byte
	root    *html.Node
}

// wantStatus fails the test unless the page has a status.
func (p *page) wantStatus(t *testing.T, want int) *page {
	t.Helper()
	if p.status != want {
		t.Fatalf("%s: status %d, want %d: %s", p.url, p.status, want, p.text())
	}
	return p
}

// want fails the test unless the page shows each of the texts.
func (p *page) want(t *testing.T, texts ...string) *page {
	t.Helper()
	shown := p.text()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			t.Errorf("%s does not show %q:\n%s", p.url, text, shown)
		}
	}
	return p
}

// wantNot fails the test if the page has one of the texts anywhere, even where it is not shown.
func (p *page) wantNot(t *testing.T, texts ...string) *page {
	t.Helper()
	for _, text := range texts {
		if bytes.Contains(p.body, []byte(text)) {
			t.Errorf("%s holds %q:\n%s", p.url, text, p.text())
		}
	}
	return p
}

// text returns what the page shows, with one space for each run of spaces.
func (p *page) text() string { return textOf(p.root) }

// all returns the elements of the page with a tag, in the order of the page.
func (p *page) all(tag string) []*html.Node { return elements(p.root, tag) }

// row returns the text of the first row of a table that has a text; empty for none.
func (p *page) row(text string) string {
	for _, row := range p.all("tr") {
		if shown := textOf(row); strings.Contains(shown, text) {
			return shown
		}
	}
	return ""
}

// link returns the target of the first link whose text is as given.
func (p *page) link(t *testing.T, text string) string {
	t.Helper()
	for _, a := range p.all("a") {
		if textOf(a) == text {
			return attribute(a, "href")
		}
	}
	t.Fatalf("%s has no link %q:\n%s", p.url, text, p.text())
	return ""
}

// file is a file in a form.
type file struct {
	name    string
	content []byte
}

// submit presses the button with a text, as a browser without script: it sends the form around it with the values that the form has and those given.
// The fields are given as name, value, name, value.
func (p *page) submit(t *testing.T, button string, fields ...string) *page {
	t.Helper()
	return p.submitFiles(t, button, nil, fields...)
}

// submitFiles is submit with files by the names of their fields.
func (p *page) submitFiles(t *testing.T, button string, files map[string]file, fields ...string) *page {
	t.Helper()
	form, pressed := p.form(t, button)
	values := valuesOf(form)
	if name := attribute(pressed, "name"); name != "" {
		values.Set(name, attribute(pressed, "value"))
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if !hasField(form, fields[i]) {
			t.Fatalf("%s: the form of %q has no field %q", p.url, button, fields[i])
		}
		values.Set(fields[i], fields[i+1])
	}
	action := attribute(form, "action")
	if a := attribute(pressed, "formaction"); a != "" {
		action = a
	}
	target, err := p.url.Parse(action)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !strings.EqualFold(attribute(form, "method"), "post"):
		target.RawQuery = values.Encode()
		return p.site.get(t, p.visitor, target.RequestURI())
	case attribute(form, "enctype") == "multipart/form-data":
		contentType, body := multipartBody(t, form, values, files)
		return p.site.open(t, p.visitor, http.MethodPost, target.RequestURI(), contentType, body)
	default:
		return p.site.post(t, p.visitor, target.RequestURI(), values)
	}
}

// form returns the form that a button sends, and the button.
func (p *page) form(t *testing.T, button string) (form, pressed *html.Node) {
	t.Helper()
	for _, b := range p.all("button") {
		if textOf(b) != button && attribute(b, "aria-label") != button {
			continue
		}
		id := attribute(b, "form")
		for _, f := range p.all("form") {
			if id != "" && attribute(f, "id") == id || id == "" && slices.Contains(elements(f, "button"), b) {
				return f, b
			}
		}
	}
	t.Fatalf("%s has no form with a button %q:\n%s", p.url, button, p.text())
	return nil, nil
}

// valuesOf returns what a form sends as it is.
func valuesOf(form *html.Node) url.Values {
	values := url.Values{}
	for _, f := range controls(form) {
		name := attribute(f, "name")
		switch kind := attribute(f, "type"); {
		case name == "" || hasAttribute(f, "disabled"), f.Data == "input" && (kind == "submit" || kind == "file" || kind == "button"):
		case f.Data == "select":
			for i, option := range elements(f, "option") {
				if i == 0 || hasAttribute(option, "selected") {
					values.Set(name, optionValue(option))
				}
			}
		case f.Data == "textarea":
			values.Add(name, strings.TrimPrefix(strings.TrimSuffix(rawText(f), " "), "\n")) // rawText ends an element with a space.
		case kind != "checkbox" && kind != "radio":
			values.Add(name, attribute(f, "value"))
		case hasAttribute(f, "checked"):
			value := attribute(f, "value")
			if !hasAttribute(f, "value") {
				value = "on"
			}
			values.Add(name, value)
		}
	}
	return values
}

// multipartBody encodes a form with files. A browser sends the fields in the order of the form, and so does this.
func multipartBody(t *testing.T, form *html.Node, values url.Values, files map[string]file) (contentType string, body io.Reader) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	sent := map[string]bool{}
	for _, f := range controls(form) {
		name := attribute(f, "name")
		if name == "" || sent[name] {
			continue
		}
		sent[name] = true
		if attribute(f, "type") == "file" {
			part, err := w.CreateFormFile(name, files[name].name)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = part.Write(files[name].content)
			continue
		}
		for _, value := range values[name] {
			_ = w.WriteField(name, value)
		}
	}
	for name := range values {
		if !sent[name] { // That of the button.
			_ = w.WriteField(name, values.Get(name))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), &buf
}

// controls returns the fields of a form, in its order.
func controls(form *html.Node) []*html.Node {
	var found []*html.Node
	for n := range form.Descendants() {
		if n.Type == html.ElementNode && (n.Data == "input" || n.Data == "select" || n.Data == "textarea") {
			found = append(found, n)
		}
	}
	return found
}

func hasField(form *html.Node, name string) bool {
	return slices.ContainsFunc(controls(form), func(n *html.Node) bool { return attribute(n, "name") == name })
}

func optionValue(option *html.Node) string {
	if hasAttribute(option, "value") {
		return attribute(option, "value")
	}
	return textOf(option)
}

// elements returns the elements below a node with a tag.
func elements(root *html.Node, tag string) []*html.Node {
	var found []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == tag {
			found = append(found, n)
		}
	}
	return found
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttribute(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

// textOf returns the text below a node, with one space for each run of spaces.
func textOf(n *html.Node) string { return strings.Join(strings.Fields(rawText(n)), " ") }

// rawText returns the text below a node as it is, without scripts and styles. Elements are separated by spaces, except in running text.
func rawText(n *html.Node) string {
	var b strings.Builder
	var visit func(*html.Node)
	visit = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			b.WriteString(n.Data)
		case n.Type == html.ElementNode && (n.Data == "script" || n.Data == "style" || n.Data == "template"):
		default:
			for c := range n.ChildNodes() {
				visit(c)
			}
			if n.Type == html.ElementNode && !slices.Contains([]string{"a", "b", "em", "strong", "code", "span", "time", "abbr", "small"}, n.Data) {
				b.WriteByte(' ')
			}
		}
	}
	visit(n)
	return b.String()
}
