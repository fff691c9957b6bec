package task

// RefusalHistory is how a provider account answered one task, or one upload for tasks, and others since. It decides whether the
// account or the task is held responsible for a further refusal: see Blame.
type RefusalHistory struct {
	Refusals       int  // How often the account refused the task before.
	Faults         int  // How many of those were held against the task.
	OthersAccepted bool // Whether the newest answer to others, of those admitted since the first of these refusals, was an acceptance.
}
