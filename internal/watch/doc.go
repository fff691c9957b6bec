// Package watch sends events to watchers: every revision of one task, once and in order, from any revision that the
// watcher names ([Hub.Watch]); or the events of all tasks of a tenant, by one cursor ([Hub.Follow]).
//
// Terms:
//
//   - The log is the table of events of all tasks, ordered by position. Transactions take positions before they commit,
//     so a smaller position can become visible after a greater one.
//   - The frontier is the position up to which no transaction can still write.
//   - A sweep reads what is new in the log, up to the frontier, and wakes the watchers that are behind. Sweeps run
//     periodically, and at once after a notification where this replica has followers.
//   - A census compares the watched tasks with the table, since a removed task leaves no event.
//   - A bookmark is a message on a quiet stream: the log has nothing newer.
//
// The table is the only source of events. A wake is only a hint to read it. A watcher has no queue: it stores the
// position that it has reached, and reads on from there whenever it is woken. This gives the following guarantees:
//
//   - Nothing is sent twice, out of order or with a gap, whether wakes are lost, repeated or late.
//   - A lost wake delays an event by at most one sweep. A sweep stops at the frontier, so it never skips an event that
//     is still being committed. Its cost depends on the number of changes, not on the number of watched tasks.
//   - Writers never wait for watchers. A wake fills the one slot of a watcher, or finds it full. A watcher whose
//     receiver is slow holds one page of events and delays no other watcher. The number of concurrent reads is bounded,
//     so watchers leave the database to other callers.
//   - An idle watcher costs the stack of its caller's goroutine and about a kilobyte. It starts no goroutine and sends
//     no query.
//   - A quiet stream carries bookmarks, also while it reads or waits for its read to start. A bookmark is sent only if
//     a sweep has read the log since the newest message of the stream. One goroutine sends the bookmarks of all
//     streams. A receiver that does not read delays neither the bookmarks nor the reads of others.
//
// Followers of a tenant share its newest events in memory. A follower that is behind them, or that resumes from an
// earlier position, reads the table. Only the table shows which events retention has removed.
//
// Failures:
//
//   - The database: streams go quiet and watchers retry. When the log could not be read for 30 seconds, every watch
//     ends with [ErrNotReading], new watches are refused, and Config.Readable is called, until a sweep succeeds. A
//     watch whose own reads fail for 30 seconds ends with the error. Both can resume at another replica.
//   - The LISTEN connection: sweeps find the changes, until [Hub.WakeAll] reports that the connection is back.
//   - A receiver: its watch alone ends.
//   - The process drains: every watch ends with [ErrDraining].
package watch
