package task

// Position is the place of an event in the one log of all tasks' events. The events of a task have rising positions;
// between them lie those of other tasks, and numbers that were never used. 0 is before the first.
type Position int64

// Entry is an event in the log of all tasks' events, with what there is to know of its task to choose by.
type Entry struct {
	Position  Position
	Tenant    string
	Task      ID
	RequestID string
	Labels    map[string]string
	Event     Event
	Outputs   []Output // Set when the state is SUCCEEDED.
}
