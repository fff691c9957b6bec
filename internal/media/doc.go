// Package media brings the files that providers made into our bucket and hands them out.
//
// It promises three things:
//
//   - A fetch reaches public addresses only. Links come from callers and providers, so each address
//     is judged after the name was resolved, for every redirect and every new connection (Guard).
//   - A key of the bucket holds a whole file or nothing. A save that fails, is cancelled or dies with
//     the process leaves the key as it was; saving again overwrites it in one step (Saver, Bucket).
//   - No link is told. Links are signed and therefore secrets: errors name scheme and host alone.
//
// When the host of a link fails, the error says what may help: another link (ErrLinkDead), nothing
// (ErrNotVideo, ErrTooLarge, ErrBlocked), or else the same save again. When the bucket fails, the save
// fails with it and may be repeated. A save holds about a megabyte of memory, whatever it saves.
package media
