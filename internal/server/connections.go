package server

// maxPublicConnections bounds what strangers may hold: each connection takes about 30 KiB. Providers use a few dozen.
const maxPublicConnections = 2048

// connections returns how many connections each of the two listeners for callers may have, and how many the public one. Each of
// the three gets a quarter of the files that the process may open. The last quarter is for the database, the bucket and providers.
func connections(files uint64) (internal, public int) {
	quarter := int(min(files, 1<<20) / 4)
	internal = max(quarter, 16)
	return internal, min(internal, maxPublicConnections)
}
