package operation_test

import (
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// TestToken_SeparatesOperatorsFromTenants creates a token of each kind and lists them.
func TestToken_SeparatesOperatorsFromTenants(t *testing.T) {
	t.Parallel()
	url := "--database-url=" + postgrestest.URL(t)
	token := func(args ...string) (int, string) {
		exit, out, errs := e2etest.Run(t, append(append([]string{"token"}, args...), url)...)
		return exit, out + errs
	}
	if exit, out := token("create", "--tenant=films"); exit != 0 || !strings.Contains(out, "operator no\n") {
		t.Errorf("create: exit %d: %s", exit, out)
	}
	if exit, out := token("create", "--tenant=ops", "--operator", "--json"); exit != 0 || !strings.Contains(out, `"operator":true`) {
		t.Errorf("create --operator: exit %d: %s", exit, out)
	}
	_, table := token("list")
	rows := strings.Split(table, "\n")
	for i, want := range []string{"TENANT OPERATOR CREATED", "films no 20", "ops yes 20"} {
		if got := strings.Join(strings.Fields(rows[i]), " "); !strings.Contains(got, want) {
			t.Errorf("line %d of the list is %q, want %q in it", i+1, got, want)
		}
	}
	if exit, out := token("create", "--tenant=-"); exit != 1 || !strings.Contains(out, "reserved for the default quotas") {
		t.Errorf("create for the default: exit %d: %s", exit, out)
	}
}
