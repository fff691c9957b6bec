// Package replica contains everything that replicas share through PostgreSQL except the tables of the service: a common clock,
// notifications of changed tasks, the insertion of jobs, and the rescue of jobs of dead replicas.
//
// A notification is only a hint. It can be lost while the database is out of reach, or while a listener reconnects. Watchers
// and workers also poll, so a lost notification delays them by at most a second. Jobs run at least once: if a job is rescued
// while its replica still works on it, the job runs twice. While the database is out of reach, everything in this package
// retries until its context ends.
package replica
