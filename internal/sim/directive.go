package sim

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Directive describes one word that a prompt may carry in "[sim:…]".
type Directive struct {
	// Usage is the word with its value, where it has one; brackets mark a value that may be left out.
	Usage string `json:"usage"`
	// Effect says in one line what it does.
	Effect string `json:"effect"`
	// Profiles are the profiles that know it; the others refuse it.
	Profiles []Profile `json:"profiles"`

	apply func(s *Script, value string) error
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

// ParseDirectives reads every "[sim:word,word=value]" in a prompt. A word that it does not know, or a value out of
// bounds, is an error; a prompt without directives gives the zero Script. It knows the directives of all profiles.
func ParseDirectives(prompt string) (Script, error) { return parseDirectives(prompt, Directives()) }

func parseDirectives(prompt string, known []Directive) (Script, error) {
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
		if err = d.apply(s, value); err == nil {
			return nil
		}
	}
	return fmt.Errorf("directive %q: %w", word, err)
}
