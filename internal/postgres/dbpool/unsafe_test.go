package dbpool_test

import (
	"slices"
	"testing"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestUnsafeSettings_NamesWhatIsSwitchedOff(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	got, err := dbpool.UnsafeSettings(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"fsync", "full_page_writes"} { // The private server of the tests has them off.
		if off := postgrestest.Value[string](t, pool, "SELECT current_setting($1)", setting) == "off"; slices.Contains(got, setting) != off {
			t.Errorf("%s is off: %v, but UnsafeSettings returns %v", setting, off, got)
		}
	}
}
