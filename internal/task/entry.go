package task

// Position is the position of an event in the log of all tasks. The positions of a task's events increase. Between them
// are those of other tasks, and numbers that were never used. 0 is before the first.
type Position int64

// Entry is an event in the log of all tasks, with the properties of its task that followers filter by.
type Entry struct {
	Position  Position
	Tenant    string
	Task      ID
	RequestID string
	Labels    map[string]string
	Event     Event
	Outputs   []Output // Set when the state is SUCCEEDED.
}
