package audit

import (
	"path"
	"strings"
)

// secretChecks check promise 11, and that no process has crashed.
var secretChecks = []check{
	{11, "no secret is in a log", func(f *Facts, fail func(string, ...any)) {
		s := f.secrets()
		for name, text := range f.Logs {
			if what := s.in(text); what != "" {
				fail("%s holds %s", name, what)
			}
		}
	}},
	{11, "no secret is in the inbox", func(f *Facts, fail func(string, ...any)) {
		s := f.secrets()
		for _, c := range f.Callbacks {
			if what := s.in(c.Body); what != "" {
				fail("a callback of attempt %s holds %s", c.AttemptID, what)
			}
		}
	}},
	{11, "no secret is in what callers read", func(f *Facts, fail func(string, ...any)) {
		s := f.secrets()
		for _, e := range f.Events {
			if what := s.in(e.Message); what != "" {
				fail("revision %d of task %s holds %s", e.Revision, e.TaskID, what)
			}
		}
		for _, t := range f.Tasks {
			if what := s.in(t.Message); what != "" {
				fail("the failure of task %s holds %s", t.ID, what)
			}
		}
		for _, a := range f.Attempts {
			if what := s.in(a.Message); what != "" {
				fail("the message of attempt %s holds %s", a.ID, what)
			}
		}
	}},
	{0, "no process crashes or races", func(f *Facts, fail func(string, ...any)) {
		for name, text := range f.Logs {
			for _, sign := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", `"msg":"job panicked`} {
				if at := strings.Index(text, sign); at >= 0 {
					fail("%s: %.300s", name, text[at:])
				}
			}
		}
	}},
}

// secrets has the texts that no log, row or message may contain.
type secrets struct {
	fixed []string
	words map[string]string // Descriptions of URL tokens and of names in result links.
}

func (f *Facts) secrets() secrets {
	s := secrets{f.Secrets, map[string]string{}}
	for _, p := range f.Posts {
		if attemptOf(p.CallbackURL) != "" {
			s.words[path.Base(p.CallbackURL)] = "a URL token"
		}
	}
	for _, d := range f.Downloads {
		s.words[strings.TrimSuffix(path.Base(d.Path), path.Ext(d.Path))] = "a result link"
	}
	return s
}

// in returns the description of a secret that a text contains, or the empty string. It looks up the words of the
// text in a map, so that it reads a long log only once.
func (s secrets) in(text string) string {
	for i, secret := range s.fixed {
		if secret != "" && strings.Contains(text, secret) {
			return "secret number " + string(rune('1'+i))
		}
	}
	separator := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	for word := range strings.FieldsFuncSeq(text, separator) {
		if what := s.words[word]; what != "" {
			return what
		}
	}
	return ""
}
