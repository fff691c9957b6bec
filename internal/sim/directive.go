package sim

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Stage is the part of a task's life that a directive changes.
type Stage int

// The stages, in the order of a task's life.
const (
	StageAnswer Stage = iota
	StageGeneration
	StageCallback
	StageResult
)

// Directive is one word that a prompt may carry in "[sim:…]".
type Directive struct {
	// Usage is the word with its value, where it has one; brackets mark a value that may be left out.
	Usage string `json:"usage"`
	// Effect says in one line what it does.
	Effect string `json:"effect"`
	// Profiles are the names of the profiles that know it; the others refuse it. Only [Directives] sets it.
	Profiles []string `json:"profiles"`

	Stage Stage `json:"-"`
	// Apply changes the script, or refuses the value. The value is empty for a word without one.
	Apply func(s *Script, value string) error `json:"-"`
}

// Directives returns the directives of several profiles, in the order of a task's life. A directive that several
// profiles have in common stands in it once. A word stands in it once for each meaning that it has.
func Directives(profiles ...Profile) ([]Directive, error) {
	var terms []Terms
	for _, p := range profiles {
		t, err := p.Terms()
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
	}
	return mergeDirectives(terms), nil
}

func mergeDirectives(terms []Terms) []Directive {
	var all []Directive
	for _, t := range terms {
		for _, d := range t.Directives {
			same := func(other Directive) bool { return other.Usage == d.Usage && other.Effect == d.Effect }
			at := slices.IndexFunc(all, same)
			if at < 0 {
				at, all = len(all), append(all, d)
			}
			all[at].Profiles = append(all[at].Profiles, t.Name)
		}
	}
	slices.SortStableFunc(all, func(a, b Directive) int { return cmp.Compare(a.Stage, b.Stage) })
	return all
}

// name returns the word without its value.
func (d Directive) name() string {
	end := strings.IndexAny(d.Usage, "=[")
	if end < 0 {
		return d.Usage
	}
	return d.Usage[:end]
}

var directiveBlock = regexp.MustCompile(`\[sim:([^\]]*)\]`)

// ParseDirectives reads every "[sim:word,word=value]" in a prompt. A word that is not known, or a value out of bounds, is an
// error; a prompt without directives gives the zero Script.
func ParseDirectives(prompt string, known []Directive) (Script, error) {
	var s Script
	for _, block := range directiveBlock.FindAllStringSubmatch(prompt, -1) {
		for word := range strings.SplitSeq(block[1], ",") {
			if err := applyDirective(&s, strings.TrimSpace(word), known); err != nil {
				return Script{}, err
			}
		}
	}
	return s, nil
}

// applyDirective takes the first meaning of the word that accepts the value.
func applyDirective(s *Script, word string, known []Directive) error {
	name, value, _ := strings.Cut(word, "=")
	err := errors.New("unknown")
	for _, d := range known {
		if d.name() != name {
			continue
		}
		if err = d.Apply(s, value); err == nil {
			return nil
		}
	}
	return fmt.Errorf("directive %q: %w", word, err)
}
