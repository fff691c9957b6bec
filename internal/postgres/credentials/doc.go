// Package credentials has the tables of what callers and the service prove themselves with: the API tokens of tenants, the sessions
// of the console and its login links, of which only hashes are stored, and the keys that the service generated for itself.
//
// A tenant has at most two live tokens, over all replicas, and a person 20 live sessions. All replicas share one key of each name. When a method fails, nothing
// has changed, unless the answer to a commit was lost: the token or key is then stored, or the token revoked. All methods may be
// called concurrently.
package credentials
