// Package replica is what a replica shares with the others through PostgreSQL apart from the tables of the service: the
// clock that all agree on, notifications of changed tasks, the insertion of jobs, and the rescue of jobs of dead replicas.
//
// A notification is only a hint. One that is lost, because the database was out of reach or a listener reconnected, makes watchers
// and workers up to a second late, since both also poll. Jobs run at least once: a job that is rescued while its replica still
// works on it runs twice. When the database is out of reach, everything here retries until its context ends.
package replica
