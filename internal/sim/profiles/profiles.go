// Package profiles lists all APIs of the simulator.
//
//	profile      callbacks                   errors                      result links
//	kie          at the end, signed          in the body, or the status  24 h, renewed by download-url
//	luma         at begin and end, unsigned  HTTP status, "detail"       24 h, never renewed
//	luma-agents  none                        HTTP status, "detail"       1 h, fresh ones in each answer
//
// Rate limits and caps apply per profile and key. Only the two profiles of Luma limit the concurrent jobs, and send
// Retry-After with 429.
//
// # Directives
//
// A prompt may contain these directives, as [sim] describes. The letters name the profiles: k for kie, l for luma, a for
// luma-agents.
//
//	answer to a submission
//	  code=N           kla  code N is answered, nothing is created
//	  html403          kla  a bare HTML 403 is answered, nothing is created
//	  drop             kla  the connection closes without an answer, nothing is created
//	  drop-after       kla  the task is created, then the connection closes without an answer
//	  truncate         kla  the task is created, the JSON of the answer is cut short
//	  delay=D          kla  the task is created, the answer comes D later
//	  maintenance=D    kla  this and all calls to the API for D are answered as under maintenance
//	generation
//	  queued=D         -la  the generation is queued for D before it begins
//	  processing=D     kla  the generation takes D
//	  invisible=D      kla  queries do not know the task for D
//	  lag=D            kla  queries say generating for D after the end
//	  fail[=N]         k--  the generation fails: flag 3, errorCode N (501), callback 500
//	  fail             -l-  the generation fails
//	  fail[=CODE]      --a  the generation fails with failure_code CODE (generation_failed)
//	  create-fail[=N]  k--  the creation fails: flag 2, errorCode N (501), callback 500
//	  reason=TEXT      kla  the message of a failure
//	  results=N        k-a  N result files
//	  empty-results    kla  no result URLs, in callbacks and queries
//	  shape=S          kla  result URLs are text, alone, objects, blanks, twice or unreadable
//	callback
//	  never            kl-  no callback except forged ones
//	  late=D           kl-  the callback comes D after the end
//	  early            kl-  the callback comes before the answer to the submission
//	  duplicate[=N]    kl-  the callback comes N (1) more times
//	  regress          -l-  a second callback says that the generation still runs
//	  conflict         kl-  a second callback claims the opposite outcome
//	  forge-urls       kl-  a first callback names a foreign file
//	  forge-code[=N]   kl-  a first callback has code N (500), or without codes the state that N means
//	  bad-signature    k--  callbacks are signed with another key
//	  no-signature     k--  callbacks carry no signature headers
//	  stale[=D]        k--  callback timestamps are D (1h) old
//	  null-data        kl-  the object with the outcome is null in callbacks
//	  prompt-object    k--  promptJson is an object in callbacks
//	  empty-callback   kl-  no result URLs in callbacks; queries have them
//	  undeliverable    kl-  no try of the callback leaves the simulator
//	result
//	  expired[=N]      kla  result links are dead (HTTP N) until they are renewed
//	  gone[=N]         kla  result links are dead (HTTP N) for good
//	  once             kla  each result link dies after its first GET
//	  slow=D           kla  each download takes D
//	  cut[=N]          kla  each download breaks off after N bytes (half of the file)
//	  html-result      kla  result links serve an HTML page
//	  half-result      kla  result links serve half of the file as if it were all
//	  long-length[=N]  kla  each download announces N (1000) bytes more than it brings
//	  loris=D          kla  each download brings one byte every D
//	  endless          kla  each download goes on without end
//	  redirect=URL     kla  result links redirect to URL
//
// A code is in the body for kie, and is the HTTP status for the others. Maintenance is 455 for kie, 503 for the others. The
// message of a failure is errorMessage or failure_reason. The object with the outcome is data or assets. At kie, forged
// callbacks have a valid signature. An expired link, or a used one with the directive once, is renewed by download-url at
// kie and by the next query at luma-agents. It is never renewed at luma. A request with a range continues a download that
// was cut.
package profiles

import (
	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/kie"
	"github.com/refract-video/refract/internal/sim/luma"
	"github.com/refract-video/refract/internal/sim/lumaagents"
)

// Set has the configuration of every simulated API. The zero value behaves as the providers document.
type Set struct {
	Kie        kie.Profile
	Luma       luma.Profile
	LumaAgents lumaagents.Profile
}

// List returns the profiles for [sim.Start].
func (s Set) List() []sim.Profile { return []sim.Profile{s.Kie, s.Luma, s.LumaAgents} }
