package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestPlans_NoHotStatementReadsAWholeTable(t *testing.T) {
	t.Parallel()
	postgrestest.CheckPlans(t, postgres.HotStatements)
}

// explainStatement returns the plan of a statement for any parameters.
func explainStatement(t *testing.T, pool *pgxpool.Pool, sql string) string {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan"); err != nil {
		t.Fatal(err)
	}
	statement, err := conn.Conn().Prepare(t.Context(), "explained", sql)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Conn().Deallocate(t.Context(), "explained") }()
	arguments := "NULL" + strings.Repeat(", NULL", len(statement.ParamOIDs)-1)
	rows, err := conn.Query(t.Context(), "EXPLAIN EXECUTE explained ("+arguments+")", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// TestPlans_WhatPagesShowIsReadInTheOrderOfAnIndex pins the plans whose cost must depend neither on the number of tasks nor on whose
// tasks they are. A sort would read all that it sorts, and a filter by tenant would read the tasks of other tenants. All tasks belong
// to few tenants, so that the indexes without the tenant look cheap.
func TestPlans_WhatPagesShowIsReadInTheOrderOfAnIndex(t *testing.T) {
	t.Parallel()
	for _, tenants := range []string{"1", "2", "40"} {
		t.Run(tenants+" tenants", func(t *testing.T) {
			t.Parallel()
			_, pool := setup(t)
			exec(t, pool, strings.Replace(postgrestest.PopulateTasks, "n % 40", "n % "+tenants, 1), 5_000)
			exec(t, pool, "ANALYZE")
			for name, want := range map[string]struct {
				index  string
				sorted bool // The plan sorts what a limit has bounded.
			}{
				"list tasks":            {"using task_list on task", false},
				"tenant newest tasks":   {"using task_list on task", false},
				"newest tasks":          {"Backward using task_pkey on task", false},
				"longest queued":        {"using task_in_state on task", false},
				"tenant longest queued": {"using task_place on task", true},
			} {
				plan := explainStatement(t, pool, postgres.HotStatements[name])
				if !strings.Contains(plan, want.index) || strings.Contains(plan, "Seq Scan") ||
					!want.sorted && strings.Contains(plan, "Sort") || strings.Contains(plan, "Filter: (tenant") {
					t.Errorf("%s is not read %s, in its order:\n%s", name, want.index, plan)
				}
			}
		})
	}
}
