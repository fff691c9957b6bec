package expiry

// HotStatements are the statements that run for each round of retention, by name, as they are sent.
var HotStatements = map[string]string{
	"expiring outputs":   expiringOutputs,
	"expiring sources":   expiringSources,
	"expiring uploads":   expiringUploads,
	"expiring callbacks": expiringCallbacks,
	"expiring tasks":     expiringTasks,
	"remove outputs":     removeOutputs,
	"remove sources":     removeSources,
	"remove callbacks":   removeCallbacks,
	"remove tasks":       removeTasks,
	"remove deliveries":  removeDeliveries,
}
