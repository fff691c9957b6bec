package admission

import "github.com/refract-video/refract/internal/lifecycle"

// maxRound bounds how many tasks one round admits, so that a round stays a short transaction.
const maxRound = 100

// Permits returns how many tasks may go to a provider now.
//
// A paused account gets none. One that was paused and has not proved to work since is probed with one
// attempt at a time. Otherwise the rate window and the in-flight cap leave what they leave.
func Permits(u lifecycle.Usage) int {
	if u.Paused {
		return 0
	}
	permits := min(
		u.Limits.Submissions-u.Unanswered-u.Recent,
		u.Limits.InFlight-u.InFlight,
		maxRound,
	)
	if u.Probing {
		permits = min(permits, 1-u.Unanswered)
	}
	return max(permits, 0)
}
