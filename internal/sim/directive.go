package sim

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Directive describes one word that a prompt may carry in "[sim:…]".
type Directive struct {
	// Usage is the word with its value, where it has one; brackets mark a value that may be left out.
	Usage string
	// Effect says in one line what it does.
	Effect string

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

// Directives returns the table of all directives, in the order of a task's life.
func Directives() []Directive {
	return []Directive{
		{"code=N", "generate answers code N, nothing is created", number(1, 999, func(s *Script) *int { return &s.Code })},
		{"html403", "generate answers a bare HTML 403, nothing is created", answer(AnswerHTML403)},
		{"drop", "the connection closes without an answer, nothing is created", answer(AnswerDrop)},
		{"drop-after", "the task is created, then the connection closes without an answer", answer(AnswerDropAfter)},
		{"truncate", "the task is created, the JSON of the answer is cut short", answer(AnswerTruncated)},
		{"delay=D", "the task is created, the answer comes D later", duration(0, func(s *Script) *time.Duration { return &s.AnswerDelay })},
		{"processing=D", "the generation takes D", duration(0, func(s *Script) *time.Duration { return &s.Processing })},
		{"invisible=D", "record-info does not know the task for D", duration(0, func(s *Script) *time.Duration { return &s.Invisible })},
		{"lag=D", "record-info says generating for D after the end", duration(0, func(s *Script) *time.Duration { return &s.Lag })},
		{"fail[=N]", "the generation fails: flag 3, errorCode N (501), callback 500", outcome(OutcomeGenerateFailed)},
		{"create-fail[=N]", "the creation fails: flag 2, errorCode N (501), callback 500", outcome(OutcomeCreateFailed)},
		{"reason=TEXT", "the errorMessage of fail and create-fail", text(func(s *Script) *string { return &s.FailureMessage })},
		{"results=N", "N result files", number(1, 16, func(s *Script) *int { return &s.Results })},
		{"empty-results", "no result URLs, in callback and record-info", flag(func(s *Script) *bool { return &s.EmptyResults })},
		{"never", "no callback except forged ones", flag(func(s *Script) *bool { return &s.Never })},
		{"late=D", "the callback comes D after the end", duration(0, func(s *Script) *time.Duration { return &s.Late })},
		{"early", "the callback comes before the answer of generate", flag(func(s *Script) *bool { return &s.Early })},
		{"duplicate[=N]", "the callback comes N (1) more times", duplicates},
		{"conflict", "a second callback claims the opposite outcome (500 after 200)", flag(func(s *Script) *bool { return &s.Conflict })},
		{"forge-urls", "a first callback names a foreign file, validly signed", flag(func(s *Script) *bool { return &s.ForgeURLs })},
		{"forge-code[=N]", "a first callback has code N (500), validly signed", forgeCode},
		{"bad-signature", "callbacks are signed with another key", signature(SignatureWrong)},
		{"no-signature", "callbacks carry no signature headers", signature(SignatureMissing)},
		{"stale[=D]", "callback timestamps are D (1h) old", duration(time.Hour, func(s *Script) *time.Duration { return &s.Stale })},
		{"null-data", "data is null in callbacks", flag(func(s *Script) *bool { return &s.NullData })},
		{"prompt-object", "promptJson is an object in callbacks", flag(func(s *Script) *bool { return &s.PromptObject })},
		{"empty-callback", "no result URLs in callbacks; record-info has them", flag(func(s *Script) *bool { return &s.EmptyCallback })},
		{"undeliverable", "no try of the callback leaves the simulator: flag 4", flag(func(s *Script) *bool { return &s.Undeliverable })},
		{"expired[=N]", "result links are dead (HTTP N), download-url revives them", deadLink(LinkExpired)},
		{"gone[=N]", "result links are dead (HTTP N) for good", deadLink(LinkGone)},
		{"once", "result links die after the first GET, download-url revives them", deadLink(LinkOnce)},
		{"slow=D", "each download takes D", duration(0, func(s *Script) *time.Duration { return &s.SlowDownload })},
		{"cut[=N]", "each download breaks off after N bytes (half of the file)", cut},
		{"html-result", "result links serve an HTML page", flag(func(s *Script) *bool { return &s.HTMLResult })},
	}
}

var directiveBlock = regexp.MustCompile(`\[sim:([^\]]*)\]`)

// ParseDirectives reads every "[sim:word,word=value]" in a prompt. A word that it does not know, or a value out of
// bounds, is an error; a prompt without directives gives the zero Script.
func ParseDirectives(prompt string) (Script, error) {
	var s Script
	for _, block := range directiveBlock.FindAllStringSubmatch(prompt, -1) {
		for word := range strings.SplitSeq(block[1], ",") {
			if err := applyDirective(&s, strings.TrimSpace(word)); err != nil {
				return Script{}, err
			}
		}
	}
	return s, nil
}

func applyDirective(s *Script, word string) error {
	name, value, _ := strings.Cut(word, "=")
	for _, d := range Directives() {
		if d.name() != name {
			continue
		}
		if err := d.apply(s, value); err != nil {
			return fmt.Errorf("directive %q: %w", word, err)
		}
		return nil
	}
	return fmt.Errorf("directive %q: unknown", word)
}

type applier = func(*Script, string) error

// flag makes a directive without a value.
func flag(field func(*Script) *bool) applier {
	return bare(func(s *Script) { *field(s) = true })
}

func answer(a Answer) applier       { return bare(func(s *Script) { s.Answer = a }) }
func signature(g Signature) applier { return bare(func(s *Script) { s.Signature = g }) }

func bare(set func(*Script)) applier {
	return func(s *Script, value string) error {
		if value != "" {
			return errors.New("takes no value")
		}
		set(s)
		return nil
	}
}

// duration makes a directive with a duration; without a default the value is required. A duration of 0 is stored as
// 1 ns, because 0 means "as configured" in a Script.
func duration(def time.Duration, field func(*Script) *time.Duration) applier {
	return func(s *Script, value string) error {
		if value == "" && def > 0 {
			*field(s) = def
			return nil
		}
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 || d > 24*time.Hour {
			return errors.New("want a duration between 0s and 24h")
		}
		*field(s) = max(d, 1)
		return nil
	}
}

// number makes a directive with a required whole number between low and high.
func number(low, high int, field func(*Script) *int) applier {
	return func(s *Script, value string) error { return parseNumber(value, low, high, field(s)) }
}

func parseNumber(value string, low, high int, into *int) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return fmt.Errorf("want a number between %d and %d", low, high)
	}
	*into = n
	return nil
}

// optional reads a number that may be left out.
func optional(value string, def, low, high int, into *int) error {
	if value == "" {
		*into = def
		return nil
	}
	return parseNumber(value, low, high, into)
}

func text(field func(*Script) *string) applier {
	return func(s *Script, value string) error {
		if value == "" {
			return errors.New("wants a text")
		}
		*field(s) = value
		return nil
	}
}

func outcome(o Outcome) applier {
	return func(s *Script, value string) error {
		s.Outcome = o
		return optional(value, 0, 1, 999, &s.FailureCode)
	}
}

func deadLink(f LinkFault) applier {
	return func(s *Script, value string) error {
		s.Link = f
		return optional(value, 0, 200, 999, &s.LinkStatus)
	}
}

func duplicates(s *Script, value string) error { return optional(value, 1, 1, 100, &s.Duplicates) }
func forgeCode(s *Script, value string) error  { return optional(value, 500, 1, 999, &s.ForgeCode) }

func cut(s *Script, value string) error {
	if value == "" {
		s.CutDownload = CutHalf
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 {
		return errors.New("want a number of bytes")
	}
	s.CutDownload = n
	return nil
}
