// Package doctor checks an installation before or while it serves: the database, the bucket, the provider accounts, the callback
// URL, the certificates and the disks. Each check says what it found, whether that is good enough, and what to do if not.
//
// Examine changes nothing that stays: a row is written and taken back, files of the bucket are deleted again, and of the providers'
// calls only those are made that are free. Every check ends within a bound of time. Checks that do not need one another run at
// the same time, and the report has them in a fixed order.
package doctor
