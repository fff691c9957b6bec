// Package dbpool is what a connection to PostgreSQL is: how a pool is opened, what each session sets for itself, how long
// statements may take, which errors mean that the database is unavailable, and what the pool knows of the server's state.
//
// It knows no table. Every session of a pool of Open has our own settings, whatever defaults the server, the database and the role
// give it, and every statement ends after 10 seconds at the latest, or after a minute while a program starts (Patient). When the
// database is out of reach, statements end with an error for which Unavailable reports true, and State reports the fault to the one
// function that asked for it.
package dbpool
