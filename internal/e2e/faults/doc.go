// Package faults runs fleets of real Refract processes on a real PostgreSQL with the provider simulator. It breaks
// everything that can break, and package audit checks the promises of the design afterwards.
//
// The tests kill replicas at random and at every step that they commit, crash the database, cut, slow down and silence
// connections to it, and use every fault of the simulator. A run prints the seed of its random choices, and FAULT_SEED
// repeats them. The timing of the processes still differs from run to run.
//
// The ordinary test run has a short run of each kind. The long one is built with the tag soak:
//
//	go test -tags soak -run 'TestSoak|EveryStep' -timeout 60m -v ./internal/e2e/faults
//
// In the random runs, two tenants have webhook endpoints at a receiver that drops, stalls, cuts off and drips.
//
// The processes are the real program with three changes. The interval of checks can be set, since a test cannot wait for
// half a minute each time. Events that an endpoint did not accept are sent again within a second. In the long run, the clock of a replica, that is all of its time.Now, can be set forward and
// back.
package faults
