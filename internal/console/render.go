package console

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/refract-video/refract/internal/cookie"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pages has the templates of the pages, with the layout around each. They are parsed when the first page is shown, since most replicas that
// start show none for a while.
var pages = sync.OnceValue(parsePages)

// parsePages returns the pages by the names of their files without extension. Files whose names begin with _ are parts that all pages
// can use.
func parsePages() map[string]*template.Template {
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic(err) //nolint:forbidigo // The pattern is a constant, so every test would find this.
	}
	shared := template.Must(template.New("").Funcs(functions).ParseFS(templateFiles, "templates/_*.html"))
	pages := map[string]*template.Template{}
	for _, name := range names {
		if base := path.Base(name); !strings.HasPrefix(base, "_") {
			own := template.Must(template.Must(shared.Clone()).ParseFS(templateFiles, name))
			pages[strings.TrimSuffix(base, ".html")] = own
		}
	}
	return pages
}

// view is what the layout shows. Every page's template gets one, with its own data as Page.
type view struct {
	Title     string
	Section   string  // The entry of the menu that is marked.
	Caller    *Caller // Nil for a stranger.
	FormToken string
	Problem   string // Why a form was refused; empty for none.
	Notice    string // What the form that led to the page did; empty for none.
	Page      any
}

// show answers with a page.
func (v *visit) show(name, title string, data any) error {
	return v.showStatus(http.StatusOK, name, title, "", data)
}

// showStatus answers with a page, and with what is wrong with the form that led to it.
func (v *visit) showStatus(status int, name, title, problem string, data any) error {
	section, _, _ := strings.Cut(strings.TrimPrefix(v.r.URL.Path, "/"), "/")
	return v.console.write(v.w, status, name, view{
		Title: title, Section: section, Caller: v.known(), FormToken: cookie.FormToken(v.caller.FormKey), Problem: problem,
		Notice: notices[v.r.URL.Query().Get(noticeKey)], Page: data,
	})
}

// write executes a template as a whole before it sends the first byte, so that an answer is never half a page.
func (c *Console) write(w http.ResponseWriter, status int, name string, data view) error {
	var buf bytes.Buffer
	if err := pages()[name].ExecuteTemplate(&buf, "layout", data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
	return nil
}
