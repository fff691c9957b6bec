// Package e2e tests whole services as callers see them: tasks, sources, results, models, webhooks and refusals. Package promises tests
// the promises of docs/guarantees.md, package operation what operators do, and package console the pages. Package e2etest starts the
// services.
//
// A service runs in the process of the test if the test reads its log or shortens its waits. It runs as a separate
// process, built from cmd/refract, if the test kills it, stops it or cuts its database off. PostgreSQL is real. The
// provider is the simulator of package sim. A property that a unit test can prove is not tested again here.
//
// Package faults runs fleets of processes and breaks everything at random.
package e2e
