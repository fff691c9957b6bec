// Command plainwords counts words that make technical English hard to read, in comments and texts of Go, comments of the contract,
// and documents, and fails above a budget.
//
//	go run ./internal/tools/plainwords -budget 200          # the count of each word
//	go run ./internal/tools/plainwords -list internal/task  # where they are, below a folder
//
// Instead of these words, write that a function "reports" or "returns" something, name the subject, such as "the caller" or "no
// replica", and use "next to". Identifiers and generated code do not count.
package main

import (
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// avoided matches the words. The program skips its own folder, because it contains them.
var avoided = regexp.MustCompile(`(?i)\b(tells|told|whoever|nobody|somebody|beside|befell|befalls?|for ever)\b`)

// use is a word at a place.
type use struct {
	file string
	line int
	word string
	text string // The line.
}

func main() {
	budget := flag.Int("budget", 0, "maximum number of uses; 0 means no maximum")
	list := flag.Bool("list", false, "print each use")
	flag.Parse()
	roots := flag.Args()
	if len(roots) == 0 {
		roots = []string{"."}
	}
	if err := run(os.Stdout, roots, *budget, *list); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "plainwords:", err) // There is no other place for it.
		os.Exit(1)
	}
}

func run(w io.Writer, roots []string, budget int, list bool) error {
	var all []use
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			slashed := filepath.ToSlash(path)
			if d.IsDir() {
				if skipped(slashed) {
					return fs.SkipDir
				}
				return nil
			}
			found, err := usesIn(slashed)
			all = append(all, found...)
			return err
		})
		if err != nil {
			return err
		}
	}
	counts := map[string]int{}
	for _, u := range all {
		counts[strings.ToLower(u.word)]++
		if list {
			if _, err := fmt.Fprintf(w, "%s:%d: %s: %s\n", u.file, u.line, u.word, u.text); err != nil {
				return err
			}
		}
	}
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		if _, err := fmt.Fprintf(w, "%5d  %s\n", counts[word], word); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(w, "%5d  in all\n", len(all)); err != nil {
		return err
	}
	if budget > 0 && len(all) > budget {
		return fmt.Errorf("%d uses of words that make sentences hard to read, and the budget is %d: say what happens, subject first (-list shows them)", len(all), budget)
	}
	return nil
}

// skipped reports whether a folder is not counted: generated code, test data, a hidden folder, or this one.
func skipped(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	hidden := strings.HasPrefix(name, ".") && name != "." && name != ".."
	return hidden || name == "gen" || name == "testdata" || strings.HasSuffix(path, "internal/tools/plainwords")
}

// usesIn returns the uses in one file. It returns none for a file type without text.
func usesIn(path string) ([]use, error) {
	read := map[string]func([]byte) []string{".go": goText, ".proto": protoText, ".md": lines}[filepath.Ext(path)]
	if read == nil {
		return nil, nil
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []use
	for i, text := range read(source) {
		for _, word := range avoided.FindAllString(text, -1) {
			all = append(all, use{path, i + 1, word, strings.TrimSpace(text)})
		}
	}
	return all, nil
}

func lines(source []byte) []string { return strings.Split(string(source), "\n") }

// goText returns the lines of a file, reduced to comments and string literals.
func goText(source []byte) []string {
	all := make([]string, len(lines(source)))
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			return all
		}
		if kind == token.COMMENT || kind == token.STRING {
			for i, line := range strings.Split(text, "\n") {
				all[file.Line(at)-1+i] += line + " "
			}
		}
	}
}

// protoText returns the lines of a proto file, reduced to comments.
func protoText(source []byte) []string {
	all := lines(source)
	for i, line := range all {
		_, all[i], _ = strings.Cut(line, "//")
	}
	return all
}
