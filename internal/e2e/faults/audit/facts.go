package audit

import (
	"cmp"
	"slices"
	"time"
)

// Facts are what is known of a run.
type Facts struct {
	// What the run did and was told.
	Done      []Count // Kills, restarts and the like, for the report.
	Submits   []Submit
	Watches   []Watch
	Witnesses []Witness
	Limits    map[string]Limit // By profile of the provider.
	Secrets   []string         // What nobody may read, beside the URL tokens and the result links.
	Logs      map[string]string
	Original  map[File]Content // What the provider has.

	// What the provider saw.
	Posts       []Post
	Deliveries  []Delivery
	Downloads   []Download
	Arrivals    []Arrivals
	Concurrency []Concurrency

	// What the database and the bucket hold.
	Tasks     []Task
	Attempts  []Attempt
	Events    []Event
	Outputs   []Output
	Callbacks []Callback
	Bucket    map[string]Content // By key.

	tasks     map[string]*Task      // By id.
	attempts  map[string]*Attempt   // By id.
	attemptsN map[string][]*Attempt // By task, oldest first.
	history   map[string][]Event    // By task, in order.
}

// Submit is a submission that the service acknowledged.
type Submit struct {
	RequestID string
	TaskID    string
	// Outcomes are the ends that the task may come to, as Task.Outcome spells them. Empty allows all.
	Outcomes []string
}

// Watch is what one watcher was told of one task, over all its connections.
type Watch struct {
	TaskID     string
	Seen       []Seen
	Reconnects int
	Ended      bool // Whether it was told that there is no more to come.
	Left       bool // Whether it stopped watching by itself, while the task went on.
}

// Seen is one event that a watcher was told.
type Seen struct {
	Revision int64
	State    string
}

// Witness is what one watcher of all tasks was sent by one replica, which it stays with whatever becomes of that.
type Witness struct {
	Replica string
	Streams []Stream // Each resumes the one before.
}

// Stream is one stream of a witness.
type Stream struct {
	Opened, Ended time.Time
	Heard         []Heard // The first is the bookmark that opens a stream.
}

// Heard is a message on a stream: an event, or a bookmark, which has no task.
type Heard struct {
	At       time.Time
	TaskID   string
	Revision int64
}

// Limit is what the service was told that a provider allows.
type Limit struct {
	Submissions int           // At most this many
	Window      time.Duration // in any window of this length,
	InFlight    int           // and at most this many at work at a time.
}

// File is a result file at the provider.
type File struct {
	ProviderTaskID string
	Index          int
}

// Content is what a file holds.
type Content struct {
	Size   int64
	SHA256 string // In hex.
}

// Post is an entry of the simulator's ledger.
type Post struct {
	Seq         int    `json:"seq"`
	Profile     string `json:"profile"`
	Path        string `json:"path"`
	Result      string `json:"result"`
	TaskID      string `json:"task_id"`
	Paid        bool   `json:"paid"`
	Prompt      string `json:"prompt"`
	CallbackURL string `json:"callback_url"`
}

// Delivery is a try of a callback.
type Delivery struct {
	Profile string `json:"profile"`
	TaskID  string `json:"task_id"`
	Kind    string `json:"kind"`
	URL     string `json:"url"`
	Status  int    `json:"status"`
}

// Download is a request for a file.
type Download struct {
	Path   string `json:"path"`
	TaskID string `json:"task_id"`
	Forged bool   `json:"forged"`
}

// Arrivals is the worst rate window of submissions that a profile saw.
type Arrivals struct {
	Profile string        `json:"profile"`
	Window  time.Duration `json:"window_ns"`
	Peak    int           `json:"peak_arrived"`
}

// Concurrency is how many generations a profile worked on at a time.
type Concurrency struct {
	Profile string `json:"profile"`
	Peak    int    `json:"peak"`
}

// Task is a row of the task table.
type Task struct {
	ID, Tenant, RequestID, Prompt, State string
	Revision                             int64
	MaxAttempts, Allowance               int
	ResultAttempt, Reason, Message       string // Empty for NULL.
}

// Outcome is the state of a task, and the reason where it failed, as in FAILED/PROVIDER_FAILED.
func (t *Task) Outcome() string {
	if t.Reason != "" {
		return t.State + "/" + t.Reason
	}
	return t.State
}

// terminal tells whether a state is an end.
func terminal(state string) bool {
	return state == "SUCCEEDED" || state == "FAILED" || state == "CANCELED"
}

// Attempt is a row of the attempt table.
type Attempt struct {
	ID, TaskID     string
	Number         int
	Provider       string
	ProviderTaskID string
	State, Message string
	Sent           bool
}

// Event is a row of the task_event table.
type Event struct {
	TaskID   string
	Revision int64
	State    string
	Message  string
	Created  time.Time
}

// Output is a row of the output table.
type Output struct {
	AttemptID string
	Index     int
	Key       string
	Size      int64
	SHA256    string // In hex.
}

// Callback is a row of the callback inbox.
type Callback struct {
	AttemptID, Verdict, Body string
}

// index makes what checks look things up in.
func (f *Facts) index() {
	f.tasks = make(map[string]*Task, len(f.Tasks))
	for i := range f.Tasks {
		f.tasks[f.Tasks[i].ID] = &f.Tasks[i]
	}
	f.attempts = make(map[string]*Attempt, len(f.Attempts))
	f.attemptsN = make(map[string][]*Attempt, len(f.Tasks))
	for i := range f.Attempts {
		a := &f.Attempts[i]
		f.attempts[a.ID] = a
		f.attemptsN[a.TaskID] = append(f.attemptsN[a.TaskID], a)
	}
	for _, attempts := range f.attemptsN {
		slices.SortFunc(attempts, func(a, b *Attempt) int { return cmp.Compare(a.Number, b.Number) })
	}
	f.history = make(map[string][]Event, len(f.Tasks))
	for _, e := range f.Events {
		f.history[e.TaskID] = append(f.history[e.TaskID], e)
	}
	for _, events := range f.history {
		slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Revision, b.Revision) })
	}
}
