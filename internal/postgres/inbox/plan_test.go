package inbox_test

import (
	"testing"

	"github.com/refract-video/refract/internal/postgres/inbox"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestPlans_NoHotStatementReadsAWholeTable(t *testing.T) {
	t.Parallel()
	postgrestest.CheckPlans(t, inbox.HotStatements)
}
