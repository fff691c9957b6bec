// Package profiles lists all APIs of the simulator.
//
//	profile      callbacks                   errors                      result links
//	kie          at the end, signed          in the body, or the status  24 h, renewed by download-url
//	luma         at begin and end, unsigned  HTTP status, "detail"       24 h, never renewed
//	luma-agents  none                        HTTP status, "detail"       1 h, fresh ones in each answer
//	fal          at the end, signed          HTTP status, "detail"       7 d, never renewed
//
// Rate limits and caps apply per profile and key. The two profiles of Luma refuse jobs above a number of concurrent ones, and
// send Retry-After with 429. The profile fal queues them.
//
// # Directives
//
// A prompt may contain these directives, as [sim] describes. The letters name the profiles: k for kie, l for luma, a for
// luma-agents, f for fal.
//
//	answer to a submission
//	  code=N                       klaf  code N is answered, nothing is created
//	  html403                      klaf  a bare HTML 403 is answered, nothing is created
//	  drop                         klaf  the connection closes without an answer, nothing is created
//	  drop-after                   klaf  the task is created, then the connection closes without an answer
//	  truncate                     klaf  the task is created, the JSON of the answer is cut short
//	  delay=D                      klaf  the task is created, the answer comes D later
//	  maintenance=D                klaf  this and all calls to the API for D are answered as under maintenance
//	  withdrawn                    k--f  the model is answered as withdrawn, nothing is created
//	generation
//	  queued=D                     -laf  the generation is queued for D before it begins
//	  processing=D                 klaf  the generation takes D
//	  invisible=D                  klaf  queries do not know the task for D
//	  lag=D                        klaf  queries say generating for D after the end
//	  fail[=N]                     k---  the generation fails: flag 3, errorCode N (501), callback 500
//	  fail                         -l--  the generation fails
//	  fail[=CODE]                  --a-  the generation fails with failure_code CODE (generation_failed)
//	  create-fail[=N]              k---  the creation fails: flag 2, errorCode N (501), callback 500
//	  reason=TEXT                  klaf  the message of a failure
//	  results=N                    k-a-  N result files
//	  empty-results                klaf  no result URLs, in callbacks and queries
//	  shape=S                      klaf  result URLs are text, alone, objects, blanks, twice or unreadable
//	  position=N                   ---f  queue_position begins at N, and each query lowers it
//	  fail[=N]                     ---f  the request completes with the status N (500) of an error
//	  fail=TYPE                    ---f  the request completes with 422 and an error of a type, such as content_policy_violation
//	  completed-with-error[=TYPE]  ---f  the request completes with the error_type TYPE (runner_disconnected) of the platform
//	callback
//	  never                        kl-f  no callback except forged ones
//	  late=D                       kl-f  the callback comes D after the end
//	  early                        kl-f  the callback comes before the answer to the submission
//	  duplicate[=N]                kl-f  the callback comes N (1) more times
//	  regress                      -l--  a second callback says that the generation still runs
//	  conflict                     kl-f  a second callback claims the opposite outcome
//	  forge-urls                   kl-f  a first callback names a foreign file
//	  forge-code[=N]               kl-f  a first callback has code N (500), or without codes the state that N means
//	  bad-signature                k--f  callbacks are signed with another key
//	  no-signature                 k--f  callbacks carry no signature headers
//	  stale[=D]                    k--f  callback timestamps are D (1h) old
//	  null-data                    kl-f  the object with the outcome is null in callbacks
//	  prompt-object                k---  promptJson is an object in callbacks
//	  empty-callback               kl-f  no result URLs in callbacks; queries have them
//	  undeliverable                kl-f  no try of the callback leaves the simulator
//	  wrong-key                    ---f  callbacks are signed with a key that left the key set
//	  foreign-user                 ---f  callbacks are signed well, for another user id
//	  tampered                     ---f  the body of callbacks is not the signed one
//	  oversized                    ---f  the body of callbacks has more than 256 KiB
//	  payload-error                ---f  the payload of callbacks is null, with a payload_error
//	  retried                      ---f  gateway_request_id differs from request_id in callbacks
//	result
//	  expired[=N]                  klaf  result links are dead (HTTP N) until they are renewed
//	  gone[=N]                     klaf  result links are dead (HTTP N) for good
//	  once                         klaf  each result link dies after its first GET
//	  slow=D                       klaf  each download takes D
//	  cut[=N]                      klaf  each download breaks off after N bytes (half of the file)
//	  html-result                  klaf  result links serve an HTML page
//	  half-result                  klaf  result links serve half of the file as if it were all
//	  long-length[=N]              klaf  each download announces N (1000) bytes more than it brings
//	  loris=D                      klaf  each download brings one byte every D
//	  endless                      klaf  each download goes on without end
//	  redirect=URL                 klaf  result links redirect to URL
//
// A code is in the body for kie, and is the HTTP status for the others. Maintenance is 455 for kie, 503 for the others. The
// message of a failure is errorMessage, failMsg, failure_reason, or a detail and the error of a status. The object with the outcome is
// data, assets or payload. Forged callbacks have a valid signature where callbacks have one. An expired link, or a used one
// with the directive once, is renewed by download-url at kie and by the next query at luma-agents. It is never renewed at
// luma and fal. A request with a range continues a download that was cut. Packages kie and fal have more faults, which a test
// switches on and off while the simulator runs.
package profiles

import (
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/fal"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
)

// Set has the configuration of every simulated API. The zero value behaves as the providers document.
type Set struct {
	Kie        kie.Profile
	Luma       luma.Profile
	LumaAgents lumaagents.Profile
	Fal        fal.Profile
}

// List returns the profiles for [sim.Start].
func (s Set) List() []sim.Profile { return []sim.Profile{s.Kie, s.Luma, s.LumaAgents, s.Fal} }
