//go:build !soak

package main

// openAttempts is how many open attempts the test of polling follows.
const openAttempts = 50
