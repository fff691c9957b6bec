// Package faults runs fleets of real Refract processes against a real PostgreSQL and the provider simulator,
// breaks what can break, and lets package audit judge what became of the design's promises.
//
// Everything is a test: replicas are killed at every step that they commit and at random, the database crashes,
// connections to it are cut, slowed down and swallowed, and the provider has every fault that the simulator knows. A
// run prints the seed of its choices, and FAULT_SEED repeats them; what the processes make of them is up to the
// machine.
//
// The ordinary test run has a short run of each kind. The long one is built with the tag soak:
//
//	go test -tags soak -run 'TestSoak|EveryStep' -timeout 60m -v ./internal/e2e/faults
//
// The processes are the real program, built with two changes that no release has: how often providers are asked can
// be set, since a test can't wait for half a minute each time, and in the long run the clock of a replica, all of its
// time.Now, can be put forward and back while it runs.
package faults
