// Package postgres has the tables: one store for each subject, over one pool.
//
// A change of a task is one transaction: it locks the task's row, package task decides through the
// caller's function, and task, attempts, event, outputs, callback and jobs are written together or not at
// all. Changes that come at the same time share a transaction: it locks all their tasks in the order of their ids,
// writes one statement for each kind of row, and commits once. A change that can't be written fails alone, see package
// groupcommit. A change that pauses or resumes a provider account locks the account's row last, but before those of
// preparations. Admission locks that row first, but then only tasks for which it does not have to wait, so it can't
// deadlock.
//
// When the database is out of reach every method fails and nothing has happened, with two exceptions: a commit whose
// answer was lost, which no client can rule out, and a caller that did not wait for the set of its change. All inputs
// of package task may therefore be repeated.
//
// Package dbpool is what a connection is, package migrations has the schema, and package replica has what is no table.
package postgres
