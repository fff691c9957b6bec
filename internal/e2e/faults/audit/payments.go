package audit

// paymentChecks check promise 3: nothing is paid for twice.
var paymentChecks = []check{
	{3, "an attempt is sent once", func(f *Facts, fail func(string, ...any)) {
		posts := map[string]int{}
		for _, p := range f.Posts {
			if p.CallbackURL != "" {
				posts[attemptOf(p.CallbackURL)]++
			}
		}
		for attempt, n := range posts {
			if n > 1 {
				fail("attempt %s reached the provider %d times", attempt, n)
			}
		}
	}},
	{3, "what was sent is an attempt of its task", func(f *Facts, fail func(string, ...any)) {
		for _, p := range f.Posts {
			if p.CallbackURL == "" {
				continue
			}
			a := f.attempts[attemptOf(p.CallbackURL)]
			switch {
			case a == nil:
				fail("post %d to %s names an attempt that is not there", p.Seq, p.Profile)
			case !a.Sent:
				fail("post %d to %s is of attempt %s, which does not count as sent", p.Seq, p.Profile, a.ID)
			case f.tasks[a.TaskID].Prompt != p.Prompt:
				fail("post %d to %s is of attempt %s and has another prompt", p.Seq, p.Profile, a.ID)
			}
		}
	}},
	// A provider without callbacks does not learn the attempt, but prompts are unique in a run.
	{3, "no task has more posts than attempts that were sent", func(f *Facts, fail func(string, ...any)) {
		posts := map[string]int{}
		for _, p := range f.Posts {
			posts[p.Profile+" "+p.Prompt]++
		}
		for _, t := range f.Tasks {
			sent := map[string]int{}
			for _, a := range f.attemptsN[t.ID] {
				if a.Sent {
					sent[a.Provider]++
				}
			}
			for _, profile := range profiles {
				if n := posts[profile+" "+t.Prompt]; n > sent[profile] {
					fail("task %s reached %s %d times, with %d attempts sent", t.ID, profile, n, sent[profile])
				}
			}
		}
	}},
	{3, "no task is paid for more often than it may be", func(f *Facts, fail func(string, ...any)) {
		paid := f.paid()
		for _, t := range f.Tasks {
			if allowed := max(t.MaxAttempts, t.Allowance); paid[t.Prompt] > allowed {
				fail("task %s was paid for %d times, and %d are allowed", t.ID, paid[t.Prompt], allowed)
			}
		}
	}},
	{3, "what was paid for does not count as refused", func(f *Facts, fail func(string, ...any)) {
		for _, p := range f.Posts {
			if a := f.attempts[attemptOf(p.CallbackURL)]; p.Paid && a != nil && a.State == "REFUSED" {
				fail("attempt %s is REFUSED (%s), and was paid for as %s", a.ID, a.Message, p.TaskID)
			}
		}
	}},
}

// profiles are the providers of the simulator.
var profiles = []string{"kie", "luma", "luma-agents"}

// paid returns the number of payments by prompt.
func (f *Facts) paid() map[string]int {
	paid := map[string]int{}
	for _, p := range f.Posts {
		if p.Paid {
			paid[p.Prompt]++
		}
	}
	return paid
}
