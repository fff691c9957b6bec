// Package sim simulates the APIs of video providers on one real socket, with scripted faults and a ledger that shows what a
// client did. Tests and the demonstration run it in their own process, "refract sim" as a process of its own.
//
// # Promise
//
// Without scripts a simulated API behaves as its provider documents: it checks the key, the fields, the credits, the
// rate window and the cap on concurrent jobs, generates for a while, calls back, retries callbacks that are not accepted,
// and serves results under links that expire. Where the providers' pages contradict each other or leave something open,
// the profile has a switch. The simulator records everything that reached it, with its profile: each POST, PUT and DELETE
// ([Server.Ledger]), each try of a callback ([Server.Deliveries]), each request for a file ([Server.Downloads]), and the
// worst rate window and concurrency per key ([Server.Limits]).
//
// # Model
//
// This package is the engine: jobs, credits, ledger, limits, callbacks and files. It knows no wire format. Each simulated API
// is a package of its own below this one, with a [Profile], which is its configuration, and a [Protocol], which is its wire
// format. The caller of [Start] chooses the profiles. Package profiles lists all of them, with the table of directives.
//
// The profiles share keys, credits, ledger and files. Limits are per profile and key. An accepted submission becomes a
// [Job] with a [Script], the faults that it meets. One goroutine leads the job from its creation over the generation to its
// last callback.
//
// # Failures
//
// A source that can't be fetched ([SourceFetch]) fails the generation with code 422. A file that ffmpeg can't read fails it
// with code 501; without ffmpeg the result is the input. First frames are not fetched. A receiver that does not accept a
// callback is tried again and then given up. When the ledger file can't be written, the simulator logs that, and the ledger
// in memory stays right. Jobs, links and records stay in memory until Close: it is a test tool, and grows with the number of
// tasks and of links given out.
//
// # Directives
//
// A prompt may carry directives in brackets, alone or combined, anywhere in the text: "make it snow
// [sim:late=2s,duplicate]". They choose the faults of that task from outside; [Config.Script] does so from inside and
// wins. A directive that is unknown to the profile or has a bad value is answered 422. D is a duration like 250ms, N a
// number, and brackets mark a value that may be left out (its default stands in parentheses).
//
// # Inspection over HTTP
//
// GET /sim/health, /sim/ledger ([LedgerSummary]), /sim/deliveries ([]Delivery), /sim/downloads ([]Download),
// /sim/limits ([Limits]) and /sim/directives ([]Directive) answer JSON. Nothing is redacted: keys and callback URLs
// appear in full. Some profiles have faults that begin and end while the simulator runs, with calls of their own below /sim.
package sim
