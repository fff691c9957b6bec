// Package inbox has the table of callbacks as they arrived from providers. It lists them for operators, and keeps refused ones.
//
// Package postgres writes an accepted callback with the change that it makes, in one transaction. Of each attempt a bounded number
// of callbacks is kept, since anyone that has seen a callback can repeat it. When a method fails, nothing was read or kept, unless
// the answer to a commit was lost: a refused callback may then be kept. All methods may be called concurrently.
package inbox
