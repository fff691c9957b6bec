package sim

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

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

var failureWord = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

// failNamed is a failure with the name that Luma Agents gives it. Unknown names are taken too: a client has to live with
// those that are yet to come.
func failNamed(s *Script, value string) error {
	if value != "" && !failureWord.MatchString(value) {
		return errors.New("want a failure code such as content_moderated")
	}
	s.Outcome, s.FailureName = OutcomeGenerateFailed, value
	return nil
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

func longLength(s *Script, value string) error {
	n := 0
	err := optional(value, 1000, 1, 1<<30, &n)
	s.LongLength = int64(n)
	return err
}
