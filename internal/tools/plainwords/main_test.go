package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUsesIn_CountsCommentsTextsAndDocumentsAlone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		source string
		want   []int // Lines.
	}{
		"a.go":    {"package a\n\n// Told, nobody\nvar told = \"who tells\"\n\n/*\nfor ever\n*/\nvar s = `\nbeside`\nvar nobody int\n", []int{3, 3, 4, 7, 10}},
		"a.proto": {"// Whoever asks.\nmessage Told {} // befalls\n", []int{1, 2}},
		"a.md":    {"untold besides\nSomebody\n", []int{2}},
		"a.txt":   {"nobody", nil},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(tc.source), 0o600); err != nil {
			t.Fatal(err)
		}
		uses, err := usesIn(path)
		var got []int
		for _, u := range uses {
			got = append(got, u.line)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s, error %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestRun_FailsAboveItsBudget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, text := range map[string]string{"a.md": "nobody nobody", "gen/b.md": "nobody", "testdata/c.md": "nobody"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for budget, wantErr := range map[int]bool{0: false, 1: true, 2: false} {
		var out bytes.Buffer
		if err := run(&out, []string{dir}, budget, false); (err != nil) != wantErr {
			t.Errorf("budget %d: %v", budget, err)
		}
		if want := "    2  nobody\n    2  in all\n"; out.String() != want {
			t.Errorf("budget %d prints %q, want %q", budget, out.String(), want)
		}
	}
}
