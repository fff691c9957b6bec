// Package expiry has the statements of retention: those that find rows that have expired, those that remove them and list their
// files for deletion, and one that finds files that no row names. How long a thing is kept depends on its tenant, then on the
// default tenant, then on the configuration.
//
// A statement that removes looks at each row again, under its lock, so it removes nothing that came into use since it was found.
// It is safe to repeat, and for two replicas at a time. A method that fails has removed nothing, unless the answer to its commit
// was lost. All methods may be called concurrently.
package expiry
