package sim

import (
	"slices"
	"time"
)

// Directives returns the table of all directives, in the order of a task's life. A word stands in it once for each
// meaning that it has.
func Directives() []Directive {
	return slices.Concat(answerDirectives(), generationDirectives(), callbackDirectives(), resultDirectives())
}

// directivesOf returns the directives of one profile.
func directivesOf(p Profile) []Directive {
	return slices.DeleteFunc(Directives(), func(d Directive) bool { return !slices.Contains(d.Profiles, p) })
}

// The profiles that a directive can have.
var (
	everywhere   = Profiles()
	onlyKie      = []Profile{ProfileKie}
	onlyLuma     = []Profile{ProfileLuma}
	onlyAgents   = []Profile{ProfileLumaAgents}
	bothLumas    = []Profile{ProfileLuma, ProfileLumaAgents}
	kieAndAgents = []Profile{ProfileKie, ProfileLumaAgents}
	callers      = []Profile{ProfileKie, ProfileLuma} // Those that have callbacks.
)

func answerDirectives() []Directive {
	return []Directive{
		{"code=N", "code N is answered, nothing is created", everywhere, number(1, 999, func(s *Script) *int { return &s.Code })},
		{"html403", "a bare HTML 403 is answered, nothing is created", everywhere, answer(AnswerHTML403)},
		{"drop", "the connection closes without an answer, nothing is created", everywhere, answer(AnswerDrop)},
		{"drop-after", "the task is created, then the connection closes without an answer", everywhere, answer(AnswerDropAfter)},
		{"truncate", "the task is created, the JSON of the answer is cut short", everywhere, answer(AnswerTruncated)},
		{"delay=D", "the task is created, the answer comes D later", everywhere, duration(0, func(s *Script) *time.Duration { return &s.AnswerDelay })},
		{"maintenance=D", "this and all calls to the API for D are answered 455 or 503", everywhere, duration(0, func(s *Script) *time.Duration { return &s.Maintenance })},
	}
}

func generationDirectives() []Directive {
	return []Directive{
		{"queued=D", "the generation is queued for D before it begins", bothLumas, duration(0, func(s *Script) *time.Duration { return &s.Queued })},
		{"processing=D", "the generation takes D", everywhere, duration(0, func(s *Script) *time.Duration { return &s.Processing })},
		{"invisible=D", "queries do not know the task for D", everywhere, duration(0, func(s *Script) *time.Duration { return &s.Invisible })},
		{"lag=D", "queries say generating for D after the end", everywhere, duration(0, func(s *Script) *time.Duration { return &s.Lag })},
		{"fail[=N]", "the generation fails: flag 3, errorCode N (501), callback 500", onlyKie, outcome(OutcomeGenerateFailed)},
		{"fail", "the generation fails", onlyLuma, bare(func(s *Script) { s.Outcome = OutcomeGenerateFailed })},
		{"fail[=CODE]", "the generation fails with failure_code CODE (generation_failed)", onlyAgents, failNamed},
		{"create-fail[=N]", "the creation fails: flag 2, errorCode N (501), callback 500", onlyKie, outcome(OutcomeCreateFailed)},
		{"reason=TEXT", "the errorMessage or failure_reason of a failure", everywhere, text(func(s *Script) *string { return &s.FailureMessage })},
		{"results=N", "N result files", kieAndAgents, number(1, 16, func(s *Script) *int { return &s.Results })},
		{"empty-results", "no result URLs, in callbacks and queries", everywhere, flag(func(s *Script) *bool { return &s.EmptyResults })},
		{"shape=S", "result URLs are text, alone, objects, blanks, twice or unreadable", everywhere, parseShape},
	}
}

func callbackDirectives() []Directive {
	return []Directive{
		{"never", "no callback except forged ones", callers, flag(func(s *Script) *bool { return &s.Never })},
		{"late=D", "the callback comes D after the end", callers, duration(0, func(s *Script) *time.Duration { return &s.Late })},
		{"early", "the callback comes before the answer to the submission", callers, flag(func(s *Script) *bool { return &s.Early })},
		{"duplicate[=N]", "the callback comes N (1) more times", callers, duplicates},
		{"regress", "a second callback says that the generation still runs", onlyLuma, flag(func(s *Script) *bool { return &s.Regress })},
		{"conflict", "a second callback claims the opposite outcome", callers, flag(func(s *Script) *bool { return &s.Conflict })},
		{"forge-urls", "a first callback names a foreign file", callers, flag(func(s *Script) *bool { return &s.ForgeURLs })},
		{"forge-code[=N]", "a first callback has code N (500); at Luma completed for 200, else failed", callers, forgeCode},
		{"bad-signature", "callbacks are signed with another key", onlyKie, signature(SignatureWrong)},
		{"no-signature", "callbacks carry no signature headers", onlyKie, signature(SignatureMissing)},
		{"stale[=D]", "callback timestamps are D (1h) old", onlyKie, duration(time.Hour, func(s *Script) *time.Duration { return &s.Stale })},
		{"null-data", "data, or assets, is null in callbacks", callers, flag(func(s *Script) *bool { return &s.NullData })},
		{"prompt-object", "promptJson is an object in callbacks", onlyKie, flag(func(s *Script) *bool { return &s.PromptObject })},
		{"empty-callback", "no result URLs in callbacks; queries have them", callers, flag(func(s *Script) *bool { return &s.EmptyCallback })},
		{"undeliverable", "no try of the callback leaves the simulator", callers, flag(func(s *Script) *bool { return &s.Undeliverable })},
	}
}

func resultDirectives() []Directive {
	return []Directive{
		{"expired[=N]", "result links are dead (HTTP N) until they are renewed", everywhere, deadLink(LinkExpired)},
		{"gone[=N]", "result links are dead (HTTP N) for good", everywhere, deadLink(LinkGone)},
		{"once", "each result link dies after its first GET", everywhere, bare(func(s *Script) { s.Link = LinkOnce })},
		{"slow=D", "each download takes D", everywhere, duration(0, func(s *Script) *time.Duration { return &s.SlowDownload })},
		{"cut[=N]", "each download breaks off after N bytes (half of the file)", everywhere, cut},
		{"html-result", "result links serve an HTML page", everywhere, flag(func(s *Script) *bool { return &s.HTMLResult })},
		{"half-result", "result links serve half of the file as if it were all", everywhere, flag(func(s *Script) *bool { return &s.HalfResult })},
		{"long-length[=N]", "each download announces N (1000) bytes more than it brings", everywhere, longLength},
		{"loris=D", "each download brings one byte every D", everywhere, duration(0, func(s *Script) *time.Duration { return &s.Loris })},
		{"endless", "each download goes on without end", everywhere, flag(func(s *Script) *bool { return &s.Endless })},
		{"redirect=URL", "result links redirect to URL", everywhere, text(func(s *Script) *string { return &s.Redirect })},
	}
}
