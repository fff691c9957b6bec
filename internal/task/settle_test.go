package task_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// truth is how provider and bucket answer everything that is still open.
type truth struct {
	name    string
	answer  func(task.AttemptID) task.Input // of the provider to a submission
	verdict func(task.Attempt) task.Input   // of the provider about an attempt
	save    func(task.AttemptID) task.Input // of the bucket
}

func truths() []truth {
	answers := map[string]func(task.AttemptID) task.Input{
		"accepted": func(id task.AttemptID) task.Input {
			return task.Accepted{Attempt: id, ProviderTaskID: "p" + string(id), CheckAfter: time.Minute}
		},
		"parked": func(id task.AttemptID) task.Input { return task.Refused{Attempt: id, Message: "too many requests"} },
		"refused": func(id task.AttemptID) task.Input {
			return task.Refused{Attempt: id, Reason: task.InputRejected, Message: "bad prompt"}
		},
		"unanswered": func(id task.AttemptID) task.Input {
			return task.Ambiguous{Attempt: id, CheckAfter: time.Minute, Message: "timeout"}
		},
	}
	verdicts := map[string]func(task.Attempt) task.Input{
		"ready": func(a task.Attempt) task.Input {
			return task.ResultReady{Attempt: a.ID, ProviderTaskID: a.ProviderTaskID}
		},
		"failed": func(a task.Attempt) task.Input {
			return task.GenerationFailed{Attempt: a.ID, ProviderTaskID: a.ProviderTaskID, Message: "failed"}
		},
		"unknown": func(a task.Attempt) task.Input { return task.GivenUp{Attempt: a.ID, Message: "never heard of it"} },
	}
	saves := map[string]func(task.AttemptID) task.Input{
		"saved": func(id task.AttemptID) task.Input {
			return task.Saved{Attempt: id, Outputs: []task.Output{{Key: string(id) + "/0.mp4"}}}
		},
		"not saved": func(id task.AttemptID) task.Input {
			return task.SaveFailed{Attempt: id, Reason: task.OutputUnavailable, Message: "not found"}
		},
	}
	var all []truth
	for answered, answer := range answers {
		for judged, verdict := range verdicts {
			for kept, save := range saves {
				all = append(all, truth{answered + ", " + judged + ", " + kept, answer, verdict, save})
			}
		}
	}
	slices.SortFunc(all, func(a, b truth) int { return strings.Compare(a.name, b.name) }) // rapid wants repeatable errors.
	return all
}

var everyTruth = truths()

// Wherever a history stops: once every job has run and the provider has given a true verdict about every open attempt,
// the task is terminal or waits for admission.
func noTaskIsStuck(h *history) error {
	for _, world := range everyTruth {
		end := h.clone()
		end.settle(world)
		if s := end.task.State; !s.Terminal() && s != task.Queued {
			return fmt.Errorf("the task is stuck in %s although everything was answered, as in %q:%v\nafter", s, world.name, end)
		}
	}
	return nil
}

// settle runs every job to its end and gives every open attempt a verdict. It admits nothing.
func (h *history) settle(world truth) {
	for range 100 { // Bounded, so that a state machine with a cycle fails instead of hanging.
		if len(h.pending) > 0 {
			switch job := h.pending[0].(type) {
			case task.SubmitAttempt:
				h.submit(job, world.answer(job.AttemptID))
			case task.SaveOutputs:
				_ = h.apply(world.save(job.AttemptID), job)
			}
			continue
		}
		verdict := h.nextVerdict(world)
		if verdict == nil {
			return
		}
		_ = h.apply(verdict, nil)
	}
}

// nextVerdict returns what the provider says about an open attempt that it is asked about, or nil.
func (h *history) nextVerdict(world truth) task.Input {
	for _, a := range h.task.Attempts {
		if _, checked := h.checked[a.ID]; checked && a.Open() {
			return world.verdict(a)
		}
	}
	return nil
}
