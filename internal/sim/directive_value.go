package sim

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// applier is the type of Directive.Apply.
type applier = func(*Script, string) error

// Flag applies a directive without a value, which sets a field.
func Flag(field func(*Script) *bool) applier {
	return Bare(func(s *Script) { *field(s) = true })
}

func answer(a Answer) applier       { return Bare(func(s *Script) { s.Answer = a }) }
func signature(g Signature) applier { return Bare(func(s *Script) { s.Signature = g }) }

// Bare applies a directive without a value.
func Bare(set func(*Script)) applier {
	return func(s *Script, value string) error {
		if value != "" {
			return errors.New("takes no value")
		}
		set(s)
		return nil
	}
}

// Duration applies a directive with a duration; without a default the value is required. A duration of 0 is stored as
// 1 ns, because 0 means "as configured" in a Script.
func Duration(def time.Duration, field func(*Script) *time.Duration) applier {
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

// Number applies a directive with a required whole number between low and high.
func Number(low, high int, field func(*Script) *int) applier {
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

// OptionalNumber reads a number that may be left out.
func OptionalNumber(value string, def, low, high int, into *int) error {
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

// FailWith applies a directive that ends a generation in an outcome, with an optional number as its FailureCode.
func FailWith(o Outcome) applier {
	return func(s *Script, value string) error {
		s.Outcome = o
		return OptionalNumber(value, 0, 1, 999, &s.FailureCode)
	}
}

func deadLink(f LinkFault) applier {
	return func(s *Script, value string) error {
		s.Link = f
		return OptionalNumber(value, 0, 200, 999, &s.LinkStatus)
	}
}

func duplicates(s *Script, value string) error {
	return OptionalNumber(value, 1, 1, 100, &s.Duplicates)
}

func forgeCode(s *Script, value string) error {
	return OptionalNumber(value, 500, 1, 999, &s.ForgeCode)
}

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
	err := OptionalNumber(value, 1000, 1, 1<<30, &n)
	s.LongLength = int64(n)
	return err
}
