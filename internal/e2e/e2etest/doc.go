// Package e2etest starts whole services for tests: in the process of the test, or as processes of the program. It has what tests do
// with a service, and what stands between it and its surroundings. Production code must not import this package.
package e2etest
