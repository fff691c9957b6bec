// Package sim is a provider in a box: it speaks the wire contract of kie.ai's "Luma Modify" API on a real socket, with
// scripted faults and a ledger that shows what a client did. Tests and the demonstration run it in their own process,
// "refract sim" as a process of its own.
//
// # Promise
//
// Without scripts the simulator behaves as the provider documents: it checks the bearer key, the fields, the credits
// and the rate window, generates for a while, calls back with a signature, retries callbacks that are not answered 200,
// and serves results under links that expire. Where the provider's pages contradict each other, [Config] has a switch.
// Everything that reached the simulator is on record: each POST ([Server.Ledger]), each try of a callback
// ([Server.Deliveries]), each request for a file ([Server.Downloads]), and the worst rate window ([Server.Limits]).
//
// # Model
//
// An accepted submission becomes a job with a [Script], its fate. One goroutine leads the job from creation over the
// generation to its last callback. The engine (jobs, courier, host, ledger, meter, studio) knows no wire format; the
// kie files know nothing else. A job moves from flag 0 to 1, 2 or 3, and from 1 to 4 when its callback was given up.
//
// # When a neighbour fails
//
// A source that can't be fetched (SourceFetch) fails the generation: flag 3, errorCode 422. A file that ffmpeg can't
// read fails it with errorCode 501; without ffmpeg the result is the input. A receiver that does not answer 200 is tried
// again and then given up. A ledger file that can't be written is logged, and the ledger in memory stays right. Jobs,
// links and records live in memory until Close: it is a test tool, and grows with the number of tasks.
//
// # Directives
//
// A prompt may carry directives in brackets, alone or combined, anywhere in the text: "make it snow
// [sim:late=2s,duplicate]". They choose the faults of that task from outside; [Config.Script] does so from inside and
// wins. A directive that is unknown or has a bad value is answered 422. D is a duration like 250ms, N a number, and
// brackets mark a value that may be left out (its default stands in parentheses).
//
//	answer of generate
//	  code=N           code N is answered, nothing is created
//	  html403          a bare HTML 403 is answered, nothing is created
//	  drop             the connection closes without an answer, nothing is created
//	  drop-after       the task is created, then the connection closes without an answer
//	  truncate         the task is created, the JSON of the answer is cut short
//	  delay=D          the task is created, the answer comes D later
//	generation
//	  processing=D     the generation takes D
//	  invisible=D      record-info does not know the task for D
//	  lag=D            record-info says generating for D after the end, whatever the callback said
//	  fail[=N]         the generation fails: flag 3, errorCode N (501), callback 500
//	  create-fail[=N]  the creation fails: flag 2, errorCode N (501), callback 500
//	  reason=TEXT      the errorMessage of fail and create-fail (no comma, no bracket)
//	  results=N        N result files (1)
//	  empty-results    no result URLs, in callback and record-info
//	callback
//	  never            no callback except forged ones
//	  late=D           the callback comes D after the end
//	  early            the callback comes before the answer of generate
//	  duplicate[=N]    the callback comes N (1) more times
//	  conflict         a second callback claims the opposite outcome (500 after 200)
//	  forge-urls       a first callback names a foreign file, validly signed
//	  forge-code[=N]   a first callback has code N (500), validly signed
//	  bad-signature    callbacks are signed with another key
//	  no-signature     callbacks carry no signature headers
//	  stale[=D]        callback timestamps are D (1h) old
//	  null-data        data is null in callbacks
//	  prompt-object    promptJson is an object in callbacks
//	  empty-callback   no result URLs in callbacks; record-info has them
//	  undeliverable    no try of the callback leaves the simulator: flag 4
//	result
//	  expired[=N]      result links are dead (HTTP N), download-url revives them
//	  gone[=N]         result links are dead (HTTP N) for good
//	  once             result links die after the first GET, download-url revives them
//	  slow=D           each download takes D
//	  cut[=N]          each download breaks off after N bytes (half of the file); ranges get the rest
//	  html-result      result links serve an HTML page with status 200
//
// # Inspection over HTTP
//
// GET /sim/health, /sim/ledger ([LedgerSummary]), /sim/deliveries ([]Delivery), /sim/downloads ([]Download),
// /sim/limits ([Limits]) and /sim/directives answer JSON. Nothing is redacted: keys and callback URLs appear in full.
package sim
