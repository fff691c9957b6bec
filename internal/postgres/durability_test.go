package postgres_test

import (
	"slices"
	"testing"
)

func TestForgetful_NamesWhatIsSwitchedOff(t *testing.T) {
	t.Parallel()
	store, pool := setup(t)
	got, err := store.Forgetful(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"fsync", "full_page_writes"} { // The private server of the tests has them off.
		if off := value[string](t, pool, "SELECT current_setting($1)", setting) == "off"; slices.Contains(got, setting) != off {
			t.Errorf("%s is off: %v, but the database is forgetful for %v", setting, off, got)
		}
	}
}
