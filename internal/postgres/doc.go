// Package postgres has the stores of the service: one for each subject, over one pool. It owns the tables of tasks, their attempts,
// events and outputs, of provider accounts, tenants and preparations, and of the state of the storage. Other subjects have packages
// of their own below it: credentials, uploads, inbox, expiry and frontier. NewStores builds their stores too; none imports this
// package.
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
// Package dbpool opens connections, package migrations has the schema, and package replica has what replicas share apart from
// tables. All stores may be used concurrently.
package postgres
