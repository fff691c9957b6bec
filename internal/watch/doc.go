// Package watch delivers events to those who watch them: every revision of a task once and in order, from any
// revision that the watcher names, or the events of all tasks of a tenant by one cursor.
//
// The table of events is the truth and a wake only a nudge to look at it. A watcher carries no queue: it
// remembers how far it is, and whenever it is woken it reads on from there. From that follow the promises:
//
//   - Nothing is sent twice, out of order or with a gap, whatever wakes are lost, doubled or late.
//   - A lost wake costs at most one sweep, by which the hub reads what is new in the log of all events. It reads only up
//     to the frontier, so that it steps over nothing that is still being committed. What a sweep costs depends on what
//     changed, and not on how much is watched.
//   - Writers never wait for watchers. A wake fills the one slot of each watcher, or finds it full; a
//     watcher whose receiver is slow holds one page of events and delays no other. Only a few watchers read the database
//     at a time, so that many of them leave it to others.
//   - An idle watcher costs its caller's goroutine with its stack, and about a kilobyte. It starts no
//     goroutine and asks the database nothing.
//   - A silent stream carries a bookmark, also while it reads or waits for a place to. A bookmark is a statement about the
//     log, so that it is sent only if a sweep has read the log since the stream's newest message. One goroutine sends those of all
//     streams, and a receiver that does not read holds up no other's, nor anybody's reads.
//
// Those who follow a tenant ([Hub.Follow]) share the newest events of it in memory. A follower that has fallen behind
// them, or resumes from before, reads the table, which alone shows what retention has removed.
//
// When the database fails, streams fall silent and watchers try again. When the log could not be read for 30 seconds,
// every watch ends with [ErrNotReading], new ones are refused, and Config.Readable is called, until a sweep
// succeeds. A watch whose own reads fail for 30 seconds ends with the error. Both resume elsewhere from where they are. When the
// LISTEN connection fails, sweeps do its work until [Hub.WakeAll] reports that it is back. When a receiver
// fails, its watch alone ends. When the process drains, every watch ends with [ErrDraining].
package watch
