// Package fence keeps a database that was set back to an earlier state from paying again: one that was restored from a backup, one that
// lost commits in a failover, and a clone that runs at the same time as the original. The bucket is the second witness. It has
//
//   - a record of each send, made after the commit of sent and before the request leaves (Records). A send whose record exists is one
//     that the database has forgotten. It does not leave again; the attempt takes the place of the forgotten one. This fence is exact,
//     and works while admission is open as well.
//   - an epoch (Fence), a number that grows in the database every half minute and that the bucket records after each commit. A bucket
//     with a higher epoch than the database shows at the start that the database was set back; a bucket without one shows that the
//     records are missing. Then admission closes, in the database and so for all replicas, until an operator has looked (Unknown, Open).
//
// If the bucket fails, nothing is sent, because nothing can be recorded. If it fails at the start, this replica sends nothing until it
// has compared the epochs. If the database fails, nothing can be sent anyway.
package fence
