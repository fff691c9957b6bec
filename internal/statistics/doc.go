// Package statistics computes figures about the tasks of a period: how many were created and ended when, how long they spent in each
// state, why they failed, and which have waited the longest.
//
// The figures are computed from a sample of bounded size: the newest tasks of the period. So their cost does not grow with the number
// of tasks. Where the sample has not all tasks of the period, the figures are about the time since the oldest of the sample.
package statistics
