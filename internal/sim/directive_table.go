package sim

import "time"

// AnswerDirectives returns the directives about the answer to a submission. Every API has them.
func AnswerDirectives() []Directive {
	return inStage(StageAnswer, []Directive{
		{Usage: "code=N", Effect: "code N is answered, nothing is created", Apply: Number(1, 999, func(s *Script) *int { return &s.Code })},
		{Usage: "html403", Effect: "a bare HTML 403 is answered, nothing is created", Apply: answer(AnswerHTML403)},
		{Usage: "drop", Effect: "the connection closes without an answer, nothing is created", Apply: answer(AnswerDrop)},
		{Usage: "drop-after", Effect: "the task is created, then the connection closes without an answer", Apply: answer(AnswerDropAfter)},
		{Usage: "truncate", Effect: "the task is created, the JSON of the answer is cut short", Apply: answer(AnswerTruncated)},
		{Usage: "delay=D", Effect: "the task is created, the answer comes D later", Apply: Duration(0, func(s *Script) *time.Duration { return &s.AnswerDelay })},
		{Usage: "maintenance=D", Effect: "this and all calls to the API for D are answered as under maintenance", Apply: Duration(0, func(s *Script) *time.Duration { return &s.Maintenance })},
	})
}

// GenerationDirectives returns the directives about the generation that every API has.
func GenerationDirectives() []Directive {
	return inStage(StageGeneration, []Directive{
		{Usage: "processing=D", Effect: "the generation takes D", Apply: Duration(0, func(s *Script) *time.Duration { return &s.Processing })},
		{Usage: "invisible=D", Effect: "queries do not know the task for D", Apply: Duration(0, func(s *Script) *time.Duration { return &s.Invisible })},
		{Usage: "lag=D", Effect: "queries say generating for D after the end", Apply: Duration(0, func(s *Script) *time.Duration { return &s.Lag })},
		{Usage: "reason=TEXT", Effect: "the message of a failure", Apply: text(func(s *Script) *string { return &s.FailureMessage })},
		{Usage: "empty-results", Effect: "no result URLs, in callbacks and queries", Apply: Flag(func(s *Script) *bool { return &s.EmptyResults })},
		{Usage: "shape=S", Effect: "result URLs are text, alone, objects, blanks, twice or unreadable", Apply: parseShape},
	})
}

// QueuedDirective returns the directive of an API whose generations wait in a queue that queries show.
func QueuedDirective() Directive {
	return Directive{
		Stage: StageGeneration, Usage: "queued=D", Effect: "the generation is queued for D before it begins",
		Apply: Duration(0, func(s *Script) *time.Duration { return &s.Queued }),
	}
}

// ResultsDirective returns the directive of an API that can answer with several results.
func ResultsDirective() Directive {
	return Directive{
		Stage: StageGeneration, Usage: "results=N", Effect: "N result files",
		Apply: Number(1, 16, func(s *Script) *int { return &s.Results }),
	}
}

// CallbackDirectives returns the directives of every API that sends callbacks.
func CallbackDirectives() []Directive {
	return inStage(StageCallback, []Directive{
		{Usage: "never", Effect: "no callback except forged ones", Apply: Flag(func(s *Script) *bool { return &s.Never })},
		{Usage: "late=D", Effect: "the callback comes D after the end", Apply: Duration(0, func(s *Script) *time.Duration { return &s.Late })},
		{Usage: "early", Effect: "the callback comes before the answer to the submission", Apply: Flag(func(s *Script) *bool { return &s.Early })},
		{Usage: "duplicate[=N]", Effect: "the callback comes N (1) more times", Apply: duplicates},
		{Usage: "conflict", Effect: "a second callback claims the opposite outcome", Apply: Flag(func(s *Script) *bool { return &s.Conflict })},
		{Usage: "forge-urls", Effect: "a first callback names a foreign file", Apply: Flag(func(s *Script) *bool { return &s.ForgeURLs })},
		{Usage: "forge-code[=N]", Effect: "a first callback has code N (500), or without codes the state that N means", Apply: forgeCode},
		{Usage: "null-data", Effect: "the object with the outcome is null in callbacks", Apply: Flag(func(s *Script) *bool { return &s.NullData })},
		{Usage: "empty-callback", Effect: "no result URLs in callbacks; queries have them", Apply: Flag(func(s *Script) *bool { return &s.EmptyCallback })},
		{Usage: "undeliverable", Effect: "no try of the callback leaves the simulator", Apply: Flag(func(s *Script) *bool { return &s.Undeliverable })},
	})
}

// RegressDirective returns the directive of an API with [CallbackTerms].Progress.
func RegressDirective() Directive {
	return Directive{
		Stage: StageCallback, Usage: "regress", Effect: "a second callback says that the generation still runs",
		Apply: Flag(func(s *Script) *bool { return &s.Regress }),
	}
}

// SignatureDirectives returns the directives of every API that signs its callbacks.
func SignatureDirectives() []Directive {
	return inStage(StageCallback, []Directive{
		{Usage: "bad-signature", Effect: "callbacks are signed with another key", Apply: signature(SignatureWrong)},
		{Usage: "no-signature", Effect: "callbacks carry no signature headers", Apply: signature(SignatureMissing)},
		{Usage: "stale[=D]", Effect: "callback timestamps are D (1h) old", Apply: Duration(time.Hour, func(s *Script) *time.Duration { return &s.Stale })},
	})
}

// LinkDirectives returns the directives about the links to results. Every API has them.
func LinkDirectives() []Directive {
	return inStage(StageResult, []Directive{
		{Usage: "expired[=N]", Effect: "result links are dead (HTTP N) until they are renewed", Apply: deadLink(LinkExpired)},
		{Usage: "gone[=N]", Effect: "result links are dead (HTTP N) for good", Apply: deadLink(LinkGone)},
		{Usage: "once", Effect: "each result link dies after its first GET", Apply: Bare(func(s *Script) { s.Link = LinkOnce })},
		{Usage: "slow=D", Effect: "each download takes D", Apply: Duration(0, func(s *Script) *time.Duration { return &s.SlowDownload })},
		{Usage: "cut[=N]", Effect: "each download breaks off after N bytes (half of the file)", Apply: cut},
		{Usage: "html-result", Effect: "result links serve an HTML page", Apply: Flag(func(s *Script) *bool { return &s.HTMLResult })},
		{Usage: "half-result", Effect: "result links serve half of the file as if it were all", Apply: Flag(func(s *Script) *bool { return &s.HalfResult })},
		{Usage: "long-length[=N]", Effect: "each download announces N (1000) bytes more than it brings", Apply: longLength},
		{Usage: "loris=D", Effect: "each download brings one byte every D", Apply: Duration(0, func(s *Script) *time.Duration { return &s.Loris })},
		{Usage: "endless", Effect: "each download goes on without end", Apply: Flag(func(s *Script) *bool { return &s.Endless })},
		{Usage: "redirect=URL", Effect: "result links redirect to URL", Apply: text(func(s *Script) *string { return &s.Redirect })},
	})
}

func inStage(stage Stage, directives []Directive) []Directive {
	for i := range directives {
		directives[i].Stage = stage
	}
	return directives
}
