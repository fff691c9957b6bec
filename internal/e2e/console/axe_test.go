//go:build browser

package console_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// axeVariable names the file axe.min.js of the npm package axe-core.
const axeVariable = "REFRACT_AXE"

// TestBrowser_NoPageViolatesWCAG runs the rules of axe-core for levels A and AA on every page, in both themes and on narrow and wide windows.
func TestBrowser_NoPageViolatesWCAG(t *testing.T) {
	t.Parallel()
	axe := axeScript(t)
	p := populate(t)
	for _, v := range []visitor{operator, acme, other, stranger} {
		b := p.browse(t, v, ordinary)
		for _, at := range p.places {
			if at.visitor != v {
				continue
			}
			b.open(t, at.path)
			eval[any](t, b, axe+"; null")
			for _, l := range looks {
				b.setLook(t, l)
				for _, violation := range b.violations(t) {
					t.Errorf("%s, %v: %v", at.name, l, violation)
				}
			}
		}
	}
}

// looks are both themes on narrow and wide windows.
var looks = []look{
	{width: 1440, script: true}, {width: 1440, script: true, dark: true}, {width: 390, script: true}, {width: 390, script: true, dark: true},
}

func (l look) String() string {
	theme := "light"
	if l.dark {
		theme = "dark"
	}
	return fmt.Sprintf("%s-%d", theme, l.width)
}

// violation is a rule of axe-core that elements of a page violate.
type violation struct {
	ID    string   `json:"id"`
	Help  string   `json:"help"`
	Nodes []string `json:"nodes"`
}

func (v violation) String() string {
	return fmt.Sprintf("%s (%s):\n\t%s", v.ID, v.Help, strings.Join(v.Nodes, "\n\t"))
}

// violations runs axe-core in the page.
func (b *tab) violations(t *testing.T) []violation {
	t.Helper()
	return eval[[]violation](t, b, `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] })
		.then((result) => result.violations.map((v) => ({
			id: v.id, help: v.help, nodes: v.nodes.map((n) => n.target.join(" ") + ": " + n.failureSummary.replace(/\s+/g, " ") + " " + n.html.slice(0, 200)),
		})))`)
}

// axeScript returns the program of axe-core.
func axeScript(t *testing.T) string {
	t.Helper()
	path := os.Getenv(axeVariable)
	if path == "" {
		if _, err := exec.LookPath("npm"); err != nil {
			t.Skipf("the check of accessibility needs npm, or axe.min.js of axe-core in %s", axeVariable)
		}
		t.Fatalf("the check of accessibility needs axe-core: run npm install in a copy of testdata/node, and set %s to the path of its axe.min.js", axeVariable)
	}
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}
