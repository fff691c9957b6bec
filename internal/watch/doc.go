// Package watch delivers the events of a task to those who watch it: every revision once and in order,
// from any revision that the watcher names.
//
// The table of events is the truth and a wake only a nudge to look at it. A watcher carries no queue: it
// remembers the newest revision that it sent, and whenever it is woken it reads on from there. From that
// follow the promises:
//
//   - Nothing is sent twice, out of order or with a gap, whatever wakes are lost, doubled or late.
//   - A lost wake costs at most one sweep, by which the hub compares the revisions of all watched tasks
//     with what their watchers have reached.
//   - Writers never wait for watchers. A wake fills the one slot of each watcher, or finds it full; a
//     watcher whose receiver is slow holds one page of events and delays nobody.
//   - An idle watcher costs its caller's goroutine and about a kilobyte beside its stack. It starts no
//     goroutine and asks the database nothing.
//   - A silent stream carries a bookmark. It is late only by a read that is under way, 5 seconds at most.
//
// When the database fails, watchers keep their streams alive with bookmarks and try again; a watch whose
// reads fail for 30 seconds ends with the error, and resumes elsewhere from its newest revision. When the
// LISTEN connection fails, sweeps do its work until [Hub.WakeAll] tells that it is back. When a receiver
// fails, its watch alone ends. When the process drains, every watch ends with [ErrDraining].
package watch
