// Package sim is three providers in a box: it speaks the wire contracts of kie.ai's "Luma Modify" API, of Luma's Dream
// Machine API and of the Luma Agents API on one real socket, with scripted faults and a ledger that shows what a client
// did. Tests and the demonstration run it in their own process, "refract sim" as a process of its own.
//
// # Promise
//
// Without scripts the simulator behaves as the providers document: it checks the bearer key, the fields, the credits,
// the rate window and the cap on jobs at a time, generates for a while, calls back, retries callbacks that are not
// answered 200, and serves results under links that expire. Where the providers' pages contradict each other or leave
// something open, [Config] has a switch. Everything that reached the simulator is on record, with its profile: each POST
// and DELETE ([Server.Ledger]), each try of a callback ([Server.Deliveries]), each request for a file
// ([Server.Downloads]), and the worst rate window and concurrency per key ([Server.Limits]).
//
// # Profiles
//
//	profile      base URL              errors          callbacks                   result links
//	kie          Server.URL            Config.Errors   at the end, signed          24 h, renewed by download-url
//	luma         Server.LumaURL        HTTP, "detail"  at begin and end, unsigned  24 h, never renewed
//	luma-agents  Server.LumaAgentsURL  HTTP, "detail"  none                        1 h, fresh ones in each answer
//
// They share keys, credits, ledger and files. Windows and caps are per profile and key. Only the two Luma profiles cap
// the jobs at a time, and send Retry-After with 429.
//
// # Model
//
// An accepted submission becomes a job with a [Script], its fate. One goroutine leads the job from creation over the
// generation to its last callback. The engine (submit, jobs, tell, courier, host, ledger, meter, slots, studio) knows no
// wire format; the kie, luma and lumaagents files know nothing else, and meet it in one interface, protocol. A job of
// kie.ai moves from flag 0 to 1, 2 or 3, and from 1 to 4 when its callback was given up. A job of Luma moves from queued
// over dreaming (Agents: processing) to completed or failed; a callback that was given up leaves no trace there.
//
// # When a neighbour fails
//
// A source that can't be fetched (SourceFetch) fails the generation: flag 3, errorCode 422; at Luma failed, with
// failure_code invalid_request. A file that ffmpeg can't read fails it with errorCode 501, or generation_failed; without
// ffmpeg the result is the input. First frames are not fetched. A receiver that does not answer 200 is tried again and
// then given up. A ledger file that can't be written is logged, and the ledger in memory stays right. Jobs, links and
// records live in memory until Close: it is a test tool, and grows with the number of tasks and of links given out.
//
// # Directives
//
// A prompt may carry directives in brackets, alone or combined, anywhere in the text: "make it snow
// [sim:late=2s,duplicate]". They choose the faults of that task from outside; [Config.Script] does so from inside and
// wins. A directive that is unknown, unknown to the profile or has a bad value is answered 422. D is a duration like
// 250ms, N a number, and brackets mark a value that may be left out (its default stands in parentheses). The letters
// tell the profiles: k for kie, l for luma, a for luma-agents.
//
//	answer to a submission
//	  code=N           kla  code N is answered, nothing is created
//	  html403          kla  a bare HTML 403 is answered, nothing is created
//	  drop             kla  the connection closes without an answer, nothing is created
//	  drop-after       kla  the task is created, then the connection closes without an answer
//	  truncate         kla  the task is created, the JSON of the answer is cut short
//	  delay=D          kla  the task is created, the answer comes D later
//	  maintenance=D    kla  this and all calls to the API for D are answered 455 or 503
//	generation
//	  queued=D         -la  the generation is queued for D before it begins
//	  processing=D     kla  the generation takes D
//	  invisible=D      kla  queries do not know the task for D
//	  lag=D            kla  queries say generating for D after the end
//	  fail[=N]         k--  the generation fails: flag 3, errorCode N (501), callback 500
//	  fail             -l-  the generation fails
//	  fail[=CODE]      --a  the generation fails with failure_code CODE (generation_failed)
//	  create-fail[=N]  k--  the creation fails: flag 2, errorCode N (501), callback 500
//	  reason=TEXT      kla  the errorMessage or failure_reason of a failure
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
//	  forge-code[=N]   kl-  a first callback has code N (500); at Luma completed for 200, else failed
//	  bad-signature    k--  callbacks are signed with another key
//	  no-signature     k--  callbacks carry no signature headers
//	  stale[=D]        k--  callback timestamps are D (1h) old
//	  null-data        kl-  data, or assets, is null in callbacks
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
// A code is the one in the body for kie, the HTTP status for the others. Maintenance is 455 for kie, 503 for the others.
// Forged callbacks are validly signed at kie. An expired link is renewed by download-url at kie and by the next query at
// luma-agents, and never at luma; the same holds after once. A download that was cut goes on where a range asks it to.
//
// # Inspection over HTTP
//
// GET /sim/health, /sim/ledger ([LedgerSummary]), /sim/deliveries ([]Delivery), /sim/downloads ([]Download),
// /sim/limits ([Limits]) and /sim/directives ([]Directive) answer JSON. Nothing is redacted: keys and callback URLs
// appear in full.
package sim
