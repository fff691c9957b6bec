// Package explain turns what is stored about a task into its story: what happened, in order, what comes next and when, and whether a
// retry can help. It also finds the tasks that have been in their state for longer than is usual.
//
// A story has a bounded size: of each subject, such as events or callbacks, it has the first and the last entries, and the number of
// those between them. The rules are those of the service: package lifecycle says what a task waits for, and the state machine decides
// on a copy of the task what a retry would do. Nothing here changes a task.
//
// A story contains no secret. Web addresses are reduced to their host, also those of the caller's own request, because stories are
// passed on.
//
// When the database fails, a call fails, and the caller may repeat it.
package explain

import (
	"time"

	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/task"
)

// Edge is how many of the first entries of a subject a story has at most, and how many of the last.
const Edge = 50

// Record is what is stored about a task, as it was at one moment.
type Record struct {
	Now        time.Time // Of the database.
	Task       task.Task
	Times      map[task.AttemptID]Times
	Events     []task.Event // Oldest first, as all lists.
	Callbacks  []Callback
	Saves      []FailedSave
	Outputs    []Output
	Requests   []Request  // To webhook endpoints.
	Deliveries []Delivery // That are pending, the next first.
	Source     *Preparation
	// Unread is how many events, callbacks and requests are not in the lists.
	Unread int
}

// Times are the times of an attempt. A zero time is unknown, or has not come.
type Times struct {
	Answer    time.Time // When its submission stopped being under way. It may be in the future: see task.Ambiguous.
	Settle    time.Time // When the provider gave its verdict.
	LastCheck time.Time
	NextCheck time.Time // Zero also means that it is no longer checked.
	Checks    int       // How many checks were made; 0 also for an attempt of a release that did not count them.
}

// Callback is a callback in the inbox.
type Callback struct {
	ID             int64
	Attempt        int
	ProviderTaskID string
	Verdict        lifecycle.Verdict
	Time           time.Time
}

// FailedSave is the last try that failed to save the outputs of an attempt.
type FailedSave struct {
	Attempt int
	Time    time.Time
	task.SaveTrouble
}

// Output is a saved output.
type Output struct {
	Attempt int
	Time    time.Time
	task.Output
}

// Delivery is an event that is sent to a webhook endpoint.
type Delivery struct {
	Endpoint  string // The id of the endpoint.
	Revision  int64
	TaskState task.State // After the event.
	State     string     // PENDING, SUCCEEDED or FAILED.
	Next      time.Time  // When it is sent the next time; zero unless it is PENDING.
}

// Request is one request to a webhook endpoint.
type Request struct {
	Delivery

	Time     time.Time
	Duration time.Duration
	Status   int    // Of HTTP; 0 without an answer.
	Error    string // Why it failed; empty if it succeeded.
	Last     bool   // Whether it is the last request of its delivery.
}

// Preparation is the preparation of the source that the task waits for.
type Preparation struct {
	Account string
	Begin   time.Time
	Tries   int    // How often it failed.
	Message string // Why it failed the last time; empty if it did not.
}

// Kind is the kind of an entry. It is the name in the contract.
type Kind string

// The kinds of entries.
const (
	KindEvent    Kind = "EVENT"
	KindAttempt  Kind = "ATTEMPT"
	KindAnswer   Kind = "ANSWER"
	KindCallback Kind = "CALLBACK"
	KindCheck    Kind = "CHECK"
	KindSave     Kind = "SAVE"
	KindOutput   Kind = "OUTPUT"
	KindDelivery Kind = "DELIVERY"
	KindSource   Kind = "SOURCE"
)

// Kinds has all kinds.
var Kinds = []Kind{KindEvent, KindAttempt, KindAnswer, KindCallback, KindCheck, KindSave, KindOutput, KindDelivery, KindSource}

// Entry is something that happened to a task.
type Entry struct {
	Time    time.Time
	Kind    Kind
	Attempt int // The number of the attempt; 0 means that it is about none.
	Message string
	Facts   map[string]string

	at time.Time // By which an event is sorted; zero means by Time.
}

// Explanation is the story of a task.
type Explanation struct {
	Task    task.Task // Its addresses are redacted.
	Entries []Entry   // Oldest first.
	LeftOut int       // How many entries are left out.
	Next    Next
	Retry   *Retry // Nil unless the task is FAILED or CANCELED.
	TraceID string // In lower-case hexadecimal; empty if the task has none.
}

// Next is what comes next for a task.
type Next struct {
	Message string
	Time    time.Time // When it happens at the latest; zero if that is unknown.
	Waiting *task.Waiting
}

// Retry is whether a retry can help.
type Retry struct {
	CanHelp bool // Without a change of the request.
	Payment task.Payment
	Price   string // Of another attempt; empty if it is unknown, or if nothing is paid.
	Message string
}
