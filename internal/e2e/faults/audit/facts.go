package audit

import (
	"cmp"
	"slices"
	"time"
)

// Facts are what is known about a run.
type Facts struct {
	// What the run did, and the answers that it got.
	Done      []Count // Kills, restarts and other faults, for the report.
	Submits   []Submit
	Watches   []Watch
	Witnesses []Witness
	Limits    map[string]Limit // By profile of the provider.
	Secrets   []string         // Secrets in addition to the URL tokens and the result links.
	Logs      map[string]string
	Original  map[File]Content // The provider's result files.

	// What the webhook endpoints of tenants saw.
	Endpoints  []Endpoint
	Receptions []Reception // In the order of their arrival.
	Trapped    int         // How many connections reached the address to which endpoints redirect.

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
	// Outcomes are the allowed ends of the task, as values of Task.Outcome. Empty allows all.
	Outcomes []string
}

// Watch is what one watcher received about one task, over all its connections.
type Watch struct {
	TaskID     string
	Seen       []Seen
	Reconnects int
	Ended      bool // Whether the service ended the stream because the task has ended.
	Left       bool // Whether it stopped watching while the task continued.
}

// Seen is one event that a watcher received.
type Seen struct {
	Revision int64
	State    string
}

// Witness is what one watcher of all tasks received from one replica. It always reconnects to the same replica.
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

// Limit is the configured limit of a provider.
type Limit struct {
	Submissions int           // The maximum number of submissions
	Window      time.Duration // in any window of this length,
	InFlight    int           // and the maximum number of attempts in flight.
}

// File is a result file at the provider.
type File struct {
	ProviderTaskID string
	Index          int
}

// Content describes the content of a file.
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

// Arrivals is the highest number of submissions that a profile saw in a window.
type Arrivals struct {
	Profile string        `json:"profile"`
	Window  time.Duration `json:"window_ns"`
	Peak    int           `json:"peak_arrived"`
}

// Concurrency is the highest number of generations that a profile worked on at a time.
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
	WebhookURI                           string
}

// Outcome returns the state of a task, with the reason if it failed, such as FAILED/PROVIDER_FAILED.
func (t *Task) Outcome() string {
	if t.Reason != "" {
		return t.State + "/" + t.Reason
	}
	return t.State
}

// terminal reports whether a state is terminal.
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

// index builds the indexes that checks use.
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
