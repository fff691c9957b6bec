package inbox

// HotStatements are the statements that run for each callback, by name, as they are sent.
var HotStatements = map[string]string{
	"keep refused callback":  insertRefusedCallback,
	"move refused callback":  moveRefusedCallback,
	"append to the intake":   appendToIntake,
	"claim from the intake":  claimFromIntake,
	"remove from the intake": RemoveFromIntake,
}

// ListCallbacks is the statement that lists the inbox, for a test of its plan.
const ListCallbacks = listCallbacks
