package postgres

// HotStatements are the statements that run for each call, callback, round or tick, by name, as they are sent.
var HotStatements = map[string]string{
	"lock quotas":           lockQuotas,
	"insert tasks":          insertTasks,
	"tasks by request":      selectTasksByRequest,
	"task":                  selectTask,
	"task by attempt":       selectTaskByAttempt,
	"lock tasks":            lockTasks,
	"held attempts":         selectHeldAttempts,
	"attempts":              selectAttempts,
	"outputs":               selectOutputs,
	"list tasks":            listTasks,
	"events":                selectEvents,
	"revisions":             selectRevisions,
	"has task":              selectHasTask,
	"entries":               selectEntries,
	"tenant entries":        selectTenantEntries,
	"last position":         selectLastPosition,
	"account usage":         countUsage,
	"lines":                 selectLines,
	"tenants":               countTenants,
	"places":                selectPlaces,
	"standing":              selectStanding,
	"lock chosen":           lockChosen,
	"lock movable":          lockMovable,
	"claim checks":          claimChecks,
	"typical duration":      selectTypical,
	"overdue":               selectOverdue,
	"update tasks":          updateTasks,
	"insert events":         insertEvents,
	"insert attempts":       insertAttempts,
	"update attempts":       updateAttempts,
	"schedule checks":       scheduleChecks,
	"mark asked":            markAsked,
	"insert outputs":        insertOutputs,
	"insert callbacks":      insertCallbacks,
	"keep refused callback": insertRefusedCallback,
	"output":                selectOutput,
	"aged outputs":          agedOutputs,
	"aged sources":          agedSources,
	"aged uploads":          agedUploads,
	"aged callbacks":        agedCallbacks,
	"aged tasks":            agedTasks,
	"remove outputs":        removeOutputs,
	"remove sources":        removeSources,
	"remove callbacks":      removeCallbacks,
	"remove tasks":          removeTasks,
}

// OpenWithin is Open with another deadline for statements.
var OpenWithin = open

// ListCallbacks is the statement that lists the inbox, for a test of its plan.
const ListCallbacks = listCallbacks
