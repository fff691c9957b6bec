// Package uploads has the tables of what tenants upload: uploads with their parts, and the sources that they become. It also
// records which provider accounts have a copy of a source, and what a probe found behind the URIs of other sources.
//
// The quotas of a tenant hold over all replicas: what takes room takes a lock of the tenant first. A method that fails has changed
// nothing, unless the answer to its commit was lost. All methods may be repeated, and called concurrently.
package uploads
