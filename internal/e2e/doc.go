// Package e2e tests whole services: each promise of docs/guarantees.md, the surfaces as callers see them, and the commands.
//
// A service runs in the process of the test where the test needs to look at its log or shorten its waits, and as a process of its
// own, built from cmd/refract, where it is killed, stopped or starved of the database. PostgreSQL is a real one, and the provider is
// the simulator of package sim. What a unit test can prove is not repeated here.
//
// Package faults runs fleets of processes and breaks everything at random.
package e2e
