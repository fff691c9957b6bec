// Package frontier finds the position up to which the log of events is settled: nothing that is not visible yet will appear at or
// before it. Positions are taken before they are committed, so a reader that goes by the newest visible position skips those that
// are still in flight.
//
// A Tracker takes marks: a position that had been taken at some time, and the transaction id that was next afterwards. A
// transaction that took that position, or one before it, has an older id, since it has its id before it takes a position. So once
// no transaction with an older id is left, everything up to the mark is visible or never will be.
//
// A transaction that has nothing to do with the service, even in another database of the server, may stay open for hours and
// would delay this. So when a mark waits for long, only transactions that have written events count: they hold a lock on the
// table until they end. A transaction that does not write delays nothing here, and writers never wait for readers.
//
// When the database is out of reach, a call fails and the frontier stays where it was. It never passes an event that is in flight.
package frontier
