package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// checkout is the root of this repository.
const checkout = "../.."

func TestMutations_FitTheSource(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, m := range mutations {
		text, err := m.apply(checkout)
		if err != nil {
			t.Errorf("%s: %v", m, err)
		}
		if m.old == m.new || !strings.Contains(text, m.new) {
			t.Errorf("%s changes nothing", m)
		}
		if names[m.String()] {
			t.Errorf("two mutations are named %s", m)
		}
		names[m.String()] = true
		if strings.HasSuffix(m.file, "_test.go") {
			t.Errorf("%s mutates a test", m)
		}
	}
}

// Every promise test needs a mutation, and every mutation an existing test.
func TestMutations_CoverEveryPromiseTest(t *testing.T) {
	t.Parallel()
	existing, drawn := map[test]bool{}, map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	files, err := exec.CommandContext(t.Context(), "git", "-C", checkout, "ls-files", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.FieldsSeq(string(files)) {
		source, err := os.ReadFile(filepath.Join(checkout, file))
		if err != nil {
			continue // Its removal is not committed yet.
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			existing[test{pkg, m[1]}] = true
		}
		drawn[pkg] = drawn[pkg] || strings.Contains(string(source), `"pgregory.net/rapid"`)
	}
	covered := map[test]bool{}
	for _, m := range mutations {
		for _, tt := range m.tests {
			covered[tt] = true
			if !existing[tt] {
				t.Errorf("%s names %s, which is not there", m, tt)
			}
			if drawn[tt.pkg] != usesRapid[tt.pkg] {
				t.Errorf("usesRapid[%q] is %v, and tests there say otherwise", tt.pkg, usesRapid[tt.pkg])
			}
		}
	}
	for tt := range existing {
		if strings.HasPrefix(tt.name, "TestPromise") && !covered[tt] {
			t.Errorf("no mutation makes %s fail", tt)
		}
	}
}

func TestApply_RefusesWhatIsNotThereOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "x.go"), []byte("a b b"), 0o600); err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{"a": "c b b", "b": "", "d": ""} {
		got, err := mutation{file: "x.go", old: old, new: "c"}.apply(root)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v, want %q", old, got, err, want)
		}
	}
}

func TestJudge_ReadsTheOutputOfGoTest(t *testing.T) {
	t.Parallel()
	x := test{"p", "TestX"}
	for name, tc := range map[string]struct {
		output string
		want   verdict
	}{
		"passed": {`{"Action":"pass","Test":"TestX"}` + "\n" + `{"Action":"pass"}`, verdict{green, ""}},
		"failed": {
			`{"Action":"output","Test":"TestX/a","Output":"    x_test.go:3: testdbconf: postgres://…\n"}
			{"Action":"output","Test":"TestX/a","Output":"    x_test.go:7: paid 2 times\n"}
			{"Action":"fail","Test":"TestX/a"}
			{"Action":"fail","Test":"TestX"}
			{"Action":"fail"}`, verdict{red, "x_test.go:7: paid 2 times"},
		},
		"another test failed": {`{"Action":"pass","Test":"TestX"}` + "\n" + `{"Action":"fail","Test":"TestXY"}`, verdict{green, ""}},
		"does not build": {
			`{"ImportPath":"p","Action":"build-output","Output":"# p\n"}
			{"ImportPath":"p","Action":"build-output","Output":"./p.go:1:2: undefined: y\n"}
			{"ImportPath":"p","Action":"build-fail"}
			{"Action":"fail","Package":"p","FailedBuild":"p"}`, verdict{broken, "./p.go:1:2: undefined: y"},
		},
		"the timeout names it": {
			`{"Action":"output","Output":"panic: test timed out after 3m0s\n"}
			{"Action":"output","Output":"\trunning tests:\n"}
			{"Action":"output","Output":"\t\tTestX/a (3m0s)\n"}
			{"Action":"fail"}`, verdict{red, "the panic of the timeout names it"},
		},
		"the timeout names another": {
			`{"Action":"output","Output":"panic: test timed out after 3m0s\n"}
			{"Action":"output","Output":"\t\tTestY (3m0s)\n"}
			{"Action":"fail"}`, verdict{lost, "panic: test timed out after 3m0s"},
		},
		"the binary died":  {`{"Action":"output","Output":"panic: nil map\n"}` + "\n" + `{"Action":"fail"}`, verdict{lost, "panic: nil map"}},
		"there is no test": {`{"Action":"pass"}`, verdict{lost, ""}},
		"skipped":          {`{"Action":"skip","Test":"TestX"}` + "\n" + `{"Action":"pass"}`, verdict{lost, ""}},
	} {
		got := judge(tc.output, []test{x})[x]
		if got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestProve_FailsUnlessEveryMutationIsRed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "x.go"), []byte("a b b"), 0o600); err != nil {
		t.Fatal(err)
	}
	x, y := test{"p", "TestX"}, test{"p", "TestY"}
	fits := mutation{promise: 3, name: "fits", file: "x.go", old: "a", tests: []test{x, y}}
	stale := mutation{promise: 4, name: "stale", file: "x.go", old: "b", tests: []test{x}}
	for name, tc := range map[string]struct {
		mutations []mutation
		unchanged word
		mutated   word
		runs      int    // How often tests are run.
		want      string // In the output; empty when all is well.
	}{
		"red":                    {[]mutation{fits}, green, red, 3, ""},
		"still green":            {[]mutation{fits}, green, green, 3, "03 fits p TestY STILL GREEN"},
		"does not build":         {[]mutation{fits}, green, broken, 3, "03 fits p TestY DOES NOT BUILD"},
		"without a verdict":      {[]mutation{fits}, green, lost, 3, "03 fits p TestY NO VERDICT"},
		"stale":                  {[]mutation{fits, stale}, green, red, 0, "04 stale x.go STALE"},
		"red without a mutation": {[]mutation{fits}, red, red, 1, "unchanged p TestY red"},
	} {
		var out bytes.Buffer
		runs := 0
		p := prover{root: root, scratch: t.TempDir(), timeout: time.Minute, out: &out}
		p.test = func(_ context.Context, tests []test, overlay string, _ time.Duration) map[test]verdict {
			runs++
			verdicts := map[test]verdict{}
			for _, tt := range tests {
				verdicts[tt] = verdict{word: tc.unchanged}
				if overlay != "" {
					verdicts[tt] = verdict{word: tc.mutated}
				}
			}
			return verdicts
		}
		err := p.prove(t.Context(), tc.mutations)
		said := strings.Join(strings.Fields(out.String()), " ")
		if (err == nil) != (tc.want == "") || !strings.Contains(said, tc.want) || runs != tc.runs {
			t.Errorf("%s: ended with %v after %d runs and said\n%s\nwant %d runs and %q", name, err, runs, &out, tc.runs, tc.want)
		}
	}
}

func TestChoose_MatchesMutationsAndTests(t *testing.T) {
	t.Parallel()
	x, y := test{"p", "TestX"}, test{"p", "TestY"}
	all := []mutation{{promise: 3, name: "a", tests: []test{x, y}}, {promise: 4, name: "b", tests: []test{x}}}
	for pattern, want := range map[string][]mutation{
		"":      all,
		"^03 ":  all[:1],
		"TestX": {{promise: 3, name: "a", tests: []test{x}}, all[1]},
		"TestY": {{promise: 3, name: "a", tests: []test{y}}},
		"none":  nil,
	} {
		got := choose(all, regexp.MustCompile(pattern))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(mutation{}, test{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", pattern, diff)
		}
	}
}

// The go command compiles the mutated file in place of the original, and the checkout stays unchanged.
func TestGoTest_RunsMutatedCode(t *testing.T) {
	t.Parallel()
	root, x := t.TempDir(), test{"p", "TestX"}
	if err := os.Mkdir(filepath.Join(root, "p"), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"go.mod":      "module m\n",
		"p/p.go":      "package p\n\nfunc kept() bool { return true }\n",
		"p/p_test.go": "package p\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) {\n\tif !kept() {\n\t\tt.Error(\"broken\")\n\t}\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	p := prover{root: root, scratch: t.TempDir(), timeout: time.Minute, out: &out, test: goTest(root)}
	all := []mutation{
		{promise: 1, name: "broken", file: "p/p.go", old: "true", new: "false", tests: []test{x}},
		{promise: 1, name: "no-build", file: "p/p.go", old: "true", new: "0", tests: []test{x}},
	}
	err := p.prove(t.Context(), all)
	var words []string
	for _, want := range []word{red, broken} {
		if strings.Contains(out.String(), " "+string(want)) {
			words = append(words, string(want))
		}
	}
	if err == nil || !slices.Equal(words, []string{string(red), string(broken)}) {
		t.Errorf("ended with %v and said\n%s", err, &out)
	}
}
