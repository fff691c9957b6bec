//go:build browser

package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// look is how a visitor looks at the pages.
type look struct {
	width  int64 // In pixels; 1440 by default.
	dark   bool
	script bool
}

// ordinary is a wide light window.
var ordinary = look{width: 1440, script: true}

// tab is a tab of a browser with cookies of its own. The test fails at its end if a page in the tab violated its policy, requested something from another
// origin, wrote an error to the console, or had an exception that nothing caught.
type tab struct {
	ctx       context.Context //nolint:containedctx // It stands for the tab.
	site      *site
	downloads string // The folder to which files are downloaded.

	mu        sync.Mutex
	documents map[string]bool // URLs of pages, whose status is the test's to judge.
	problems  []string
	received  float64  // Bytes of all answers, encoded as they were sent.
	files     []string // Names of downloaded files in downloads.
}

// browse opens a tab in which a visitor is signed in.
func (s *site) browse(t *testing.T, v visitor, l look) *tab {
	t.Helper()
	b := &tab{site: s, downloads: t.TempDir(), documents: map[string]bool{}}
	ctx, cancel := chromedp.NewContext(startedChromium(t), chromedp.WithNewBrowserContext(), chromedp.WithListener(b.heard))
	t.Cleanup(cancel)
	b.ctx = ctx
	call(t, b, network.Enable, network.EnableParams{}) // The tab lives as long as the context of its first call, and is described after a timeout.
	var stop context.CancelFunc
	b.ctx, stop = context.WithTimeout(ctx, e2etest.Hung)
	t.Cleanup(stop)
	t.Cleanup(func() { b.check(t) })
	call(t, b, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	call(t, b, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
		DownloadPath: b.downloads, EventsEnabled: new(true),
	})
	b.setLook(t, l)
	if v != stranger {
		b.open(t, "/login").fill(t, "textbox", "API token", s.tokens[v]).click(t, "button", "Sign in with a token")
		b.until(t, "the first page", func() bool {
			return peek[bool](b, `location.pathname !== "/login" && document.readyState === "complete"`)
		})
		b.mu.Lock()
		b.received = 0
		b.mu.Unlock()
	}
	return b
}

// setLook changes the window and the preferences of the visitor.
func (b *tab) setLook(t *testing.T, l look) {
	t.Helper()
	theme := "light"
	if l.dark {
		theme = "dark"
	}
	call(t, b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: 900, DeviceScaleFactor: 1})
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	call(t, b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !l.script})
}

// call runs a command of the browser in the tab.
func call[P, R any](t *testing.T, b *tab, command cdp.Command[P, R], params P) R {
	t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// heard records what happens in the tab.
func (b *tab) heard(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type == network.ResourceTypeDocument {
			b.documents[e.Request.URL] = true
		}
		// Pictures of the browser's own controls have data: URLs. Those of a page would violate its policy.
		if u := e.Request.URL; !strings.HasPrefix(u, b.site.url+"/") && u != "about:blank" && !strings.HasPrefix(u, "data:") {
			b.problems = append(b.problems, "a request leaves the origin: "+u)
		}
	case *network.EventLoadingFinished:
		b.received += e.EncodedDataLength
	case *log.EventEntryAdded:
		entry := e.Entry
		if entry.Level == log.EntryLevelError && !(entry.Source == log.EntrySourceNetwork && b.documents[entry.URL]) {
			b.problems = append(b.problems, fmt.Sprintf("%s: %s (%s)", entry.Source, entry.Text, entry.URL))
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			b.problems = append(b.problems, "console: "+describe(e.Args...))
		}
	case *runtime.EventExceptionThrown:
		d := e.ExceptionDetails
		b.problems = append(b.problems, fmt.Sprintf("exception: %s %s (%s:%d)", d.Text, describe(d.Exception), d.URL, d.LineNumber+1))
	case *browser.EventDownloadProgress:
		if e.State == browser.DownloadProgressStateCompleted {
			b.files = append(b.files, e.GUID)
		}
	}
}

func describe(objects ...*runtime.RemoteObject) string {
	var texts []string
	for _, o := range objects {
		if o != nil {
			texts = append(texts, strings.TrimSpace(string(o.Value)+" "+o.Description))
		}
	}
	return strings.Join(texts, " ")
}

// check fails the test for everything that went wrong in the tab so far.
func (b *tab) check(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		t.Error(p)
	}
	if t.Failed() {
		b.problems = nil
	}
}

// open loads a page.
func (b *tab) open(t *testing.T, path string) *tab {
	t.Helper()
	loaded := call(t, b, cdppage.Navigate, cdppage.NavigateParams{URL: b.site.url + path})
	if loaded.ErrorText != "" {
		t.Fatalf("open %s: %s", path, loaded.ErrorText)
	}
	b.until(t, path+" to load", func() bool { return peek[bool](b, `document.readyState === "complete"`) })
	return b
}

// until polls a condition until it holds.
func (b *tab) until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for began := time.Now(); !met(); {
		select {
		case <-time.After(postgrestest.Pause(began)):
		case <-b.ctx.Done():
			t.Fatalf("waited in vain for %s; the page:\n%s", what, b.describe())
		}
	}
}

// describe returns what the tab shows, for messages of failed tests.
func (b *tab) describe() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 10*time.Second)
	defer cancel()
	last := &tab{ctx: ctx, site: b.site}
	var names []string
	for _, e := range last.elements() {
		names = append(names, e.String())
	}
	return peek[string](last, `location.href + "\n" + (document.body ? document.body.innerText : "")`) + "\nelements: " + strings.Join(names, ", ")
}

// peek evaluates an expression in the page. While a page is loading it returns the zero value.
func peek[T any](b *tab, expression string) T {
	var value T
	result, err := chromedp.Call(b.ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: expression, ReturnByValue: new(true), AwaitPromise: new(true)})
	if err == nil && result.ExceptionDetails == nil {
		_ = json.Unmarshal(result.Result.Value, &value)
	}
	return value
}

// eval evaluates an expression in the page, and waits for it if it is a promise.
func eval[T any](t *testing.T, b *tab, expression string) T {
	t.Helper()
	var value T
	result := call(t, b, runtime.Evaluate, runtime.EvaluateParams{Expression: expression, ReturnByValue: new(true), AwaitPromise: new(true)})
	if d := result.ExceptionDetails; d != nil {
		t.Fatalf("evaluate %.80s: %s %s", expression, d.Text, describe(d.Exception))
	}
	if len(result.Result.Value) > 0 {
		if err := json.Unmarshal(result.Result.Value, &value); err != nil {
			t.Fatalf("evaluate %.80s: %v", expression, err)
		}
	}
	return value
}

// want waits until the page shows each of the texts.
func (b *tab) want(t *testing.T, texts ...string) *tab {
	t.Helper()
	for _, text := range texts {
		b.until(t, fmt.Sprintf("the text %q", text), func() bool {
			return strings.Contains(strings.ToLower(peek[string](b, "document.body.innerText")), strings.ToLower(text))
		})
	}
	return b
}

// wantPath waits until the tab shows a page.
func (b *tab) wantPath(t *testing.T, prefix string) string {
	t.Helper()
	var path string
	b.until(t, "a page at "+prefix, func() bool {
		path = peek[string](b, `document.readyState === "complete" ? location.pathname + location.search : ""`)
		return strings.HasPrefix(path, prefix)
	})
	return path
}

// mark marks the document, so that sameDocument can find out whether it was loaded again.
func (b *tab) mark(t *testing.T) {
	t.Helper()
	eval[bool](t, b, "window.markOfTheTest = true")
}

// sameDocument fails the test if the document was loaded again since mark.
func (b *tab) sameDocument(t *testing.T) {
	t.Helper()
	if !eval[bool](t, b, "window.markOfTheTest === true") {
		t.Error("the page was loaded again")
	}
}

// element is an element of a page as assistive technology sees it.
type element struct {
	tab        *tab
	id         cdp.BackendNodeID
	role, name string
	value      string
	focused    bool
	disabled   bool
}

func (e element) String() string { return fmt.Sprintf("%s %q", e.role, e.name) }

// elements returns the elements of the page in their order.
func (b *tab) elements() []element {
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		return nil // The page is loading.
	}
	var found []element
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		e := element{tab: b, id: n.BackendDOMNodeID, role: textValue(n.Role), name: textValue(n.Name), value: textValue(n.Value)}
		if e.role == "StaticText" || e.role == "InlineTextBox" || e.role == "generic" || e.role == "none" {
			continue
		}
		for _, p := range n.Properties {
			e.focused = e.focused || p.Name == accessibility.PropertyNameFocused && string(p.Value.Value) == "true" && e.role != "RootWebArea"
			e.disabled = e.disabled || p.Name == accessibility.PropertyNameDisabled && string(p.Value.Value) == "true"
		}
		found = append(found, e)
	}
	return found
}

func textValue(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var text string
	if json.Unmarshal(v.Value, &text) != nil {
		return string(v.Value)
	}
	return strings.Join(strings.Fields(text), " ")
}

// find waits for an element with a role and a name, which can end with "…" for any end, and returns the first.
func (b *tab) find(t *testing.T, role, name string) element {
	t.Helper()
	var found element
	b.until(t, fmt.Sprintf("%s %q", role, name), func() bool {
		all := b.elements()
		i := slices.IndexFunc(all, func(e element) bool { return e.role == role && named(e.name, name) })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

// has reports whether the page has an element with a role and a name now.
func (b *tab) has(role, name string) bool {
	return slices.ContainsFunc(b.elements(), func(e element) bool { return e.role == role && named(e.name, name) })
}

func named(name, pattern string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "…"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return name == pattern
}

// click clicks into the middle of an element.
func (b *tab) click(t *testing.T, role, name string) *tab {
	t.Helper()
	e := b.find(t, role, name)
	x, y := e.middle(t)
	for _, kind := range []input.DispatchMouseEventType{chromedp.MouseMoved, chromedp.MousePressed, chromedp.MouseReleased} {
		params := input.DispatchMouseEventParams{Type: kind, X: x, Y: y}
		if kind != chromedp.MouseMoved {
			params.Button, params.ClickCount = input.MouseButtonLeft, 1
		}
		call(t, b, input.DispatchMouseEvent, params)
	}
	return b
}

// middle scrolls the element into view and returns its middle.
func (e element) middle(t *testing.T) (x, y float64) {
	t.Helper()
	call(t, e.tab, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: e.id})
	quads := call(t, e.tab, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: e.id}).Quads
	if len(quads) == 0 {
		t.Fatalf("%v has no area", e)
	}
	for i := 0; i < 8; i += 2 {
		x, y = x+quads[0][i]/4, y+quads[0][i+1]/4
	}
	return x, y
}

// fill replaces the text of a field by typing.
func (b *tab) fill(t *testing.T, role, name, text string) *tab {
	t.Helper()
	e := b.find(t, role, name)
	call(t, b, dom.Focus, dom.FocusParams{BackendNodeID: e.id})
	call(t, b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Commands: []string{"selectAll"}})
	call(t, b, input.InsertText, input.InsertTextParams{Text: text})
	return b
}

// choose selects an option of a combo box.
func (b *tab) choose(t *testing.T, name, option string) *tab {
	t.Helper()
	e := b.find(t, "combobox", name)
	node := call(t, b, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: e.id})
	argument, err := json.Marshal(option)
	if err != nil {
		t.Fatal(err)
	}
	result := call(t, b, runtime.CallFunctionOn, runtime.CallFunctionOnParams{
		ObjectID: node.Object.ObjectID, ReturnByValue: new(true), Arguments: []*runtime.CallArgument{{Value: argument}},
		FunctionDeclaration: `function (text) {
			const option = [...this.options].find((o) => o.text.trim() === text || o.value === text);
			if (!option) return [...this.options].map((o) => o.text).join(", ");
			this.value = option.value;
			this.dispatchEvent(new Event("input", { bubbles: true }));
			this.dispatchEvent(new Event("change", { bubbles: true }));
			return "";
		}`,
	})
	if options := strings.Trim(string(result.Result.Value), `"`); options != "" {
		t.Fatalf("the combo box %q has no option %q but %s", name, option, options)
	}
	return b
}

// attach puts a file into a field for files, which is found by a CSS selector since assistive technology sees it as a button.
func (b *tab) attach(t *testing.T, selector, path string) *tab {
	t.Helper()
	node := call(t, b, runtime.Evaluate, runtime.EvaluateParams{Expression: fmt.Sprintf("document.querySelector(%q)", selector)})
	if node.Result.ObjectID == "" {
		t.Fatalf("no element %s in:\n%s", selector, b.describe())
	}
	call(t, b, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: []string{path}, ObjectID: node.Result.ObjectID})
	return b
}

// press types keys: "\t" is Tab, "\r" is Enter, and package kb has names of the others.
func (b *tab) press(t *testing.T, keys string) *tab {
	t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.KeyEvent(keys)); err != nil {
		t.Fatalf("press %q: %v", keys, err)
	}
	return b
}

// focus returns the element that has the focus.
func (b *tab) focus() element {
	for _, e := range b.elements() {
		if e.focused {
			return e
		}
	}
	return element{}
}

// tabTo presses Tab until an element has the focus.
func (b *tab) tabTo(t *testing.T, role, name string) *tab {
	t.Helper()
	var passed []string
	for range 120 {
		b.press(t, "\t")
		e := b.focus()
		if e.role == role && named(e.name, name) {
			return b
		}
		passed = append(passed, e.String())
	}
	t.Fatalf("Tab does not lead to %s %q, but to %s", role, name, strings.Join(passed, ", "))
	return b
}

// download waits for the n-th download of the tab and returns the content of the file.
func (b *tab) download(t *testing.T, n int) []byte {
	t.Helper()
	var name string
	b.until(t, "a download", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.files) >= n {
			name = b.files[n-1]
		}
		return name != ""
	})
	content, err := os.ReadFile(filepath.Join(b.downloads, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// picture returns a PNG of the window at a scale, or of the whole page if the scale is 0.
func (b *tab) picture(t *testing.T, scale float64) []byte {
	t.Helper()
	params := cdppage.CaptureScreenshotParams{Format: cdppage.CaptureScreenshotFormatPng, Clip: &cdppage.Viewport{Width: 1440, Height: 900, Scale: scale}}
	if scale == 0 {
		size := call(t, b, cdppage.GetLayoutMetrics, cdp.Empty{}).CSSContentSize
		params.CaptureBeyondViewport, params.Clip = new(true), &cdppage.Viewport{Width: size.Width, Height: size.Height, Scale: 1}
	}
	return call(t, b, cdppage.CaptureScreenshot, params).Data
}
