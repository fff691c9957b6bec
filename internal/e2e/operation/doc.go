// Package operation tests what operators do with whole services: how the program starts, stops and measures itself, roles, identity,
// tokens, limits, retention, explanations and traces.
package operation
