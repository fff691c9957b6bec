package webhooks

// HotStatements are the statements that run for each claim, result or call, by name, as they are sent.
var HotStatements = map[string]string{
	"due endpoints":         selectDueEndpoints,
	"lock due":              lockDue,
	"lease due":             leaseDue,
	"targets":               selectTargets,
	"claimed events":        selectClaimedEvents,
	"finish deliveries":     finishDeliveries,
	"wake next":             wakeNext,
	"update endpoints":      updateEndpoints,
	"endpoint deliveries":   listEndpointDeliveries,
	"task deliveries":       listTaskDeliveries,
	"delivery":              selectDelivery,
	"delivery attempts":     selectDeliveryAttempts,
	"redeliver":             redeliver,
	"redeliver failed":      redeliverFailed,
	"redeliver task":        redeliverTask,
	"endpoints of a tenant": selectEndpoints,
}

// The statements of Claim and Finish that must not depend on how many deliveries wait, for a test of their cost.
var (
	LockDue            = lockDue
	LeaseDue           = leaseDue
	WakeNext           = wakeNext
	SelectDueEndpoints = selectDueEndpoints
)
