// Package media stores the files that providers made in our bucket, and serves them.
//
// It promises four things:
//
//   - A fetch reaches public addresses only, and those that the operator lists. Links come from callers and providers, so each
//     address is judged after the name was resolved, for every redirect and every new connection (Guard).
//   - A key of the bucket holds a whole video or nothing. A save that fails, is cancelled or dies with
//     the process leaves the key as it was; saving again overwrites it in one step (Saver, Bucket, Inspect).
//   - A connection that breaks costs what was not yet received, where the server can tell that the file is the same.
//   - No error holds a link. Links are signed and therefore secrets: errors name only scheme and host.
//
// A file goes from its link through a download, which counts it, hashes it and captures its headers, into a writer of the
// bucket. The writer gets the last byte only after the headers were inspected. Nothing is kept on disk outside the bucket. A
// save holds some hundred kilobytes of memory, or some 50 MB where the bucket is behind a network.
//
// When the host of a link fails, the error says what may help: another link (ErrLinkDead), nothing
// (ErrNotVideo, ErrTooLarge, ErrBlocked), or else the same save again. When the bucket fails, the save
// fails with it and may be repeated. What a dead process left unfinished is removed by Sweep.
package media
