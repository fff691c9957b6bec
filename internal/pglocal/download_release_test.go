//go:build release

package pglocal

import "testing"

func TestFetch_AReleasedBuildSaysWhatToDoWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	_, err := fetch(t.Context(), source{cache: t.TempDir()}, 0)
	if err == nil {
		t.Fatal("a released build fetched PostgreSQL")
	}
	want := "find PostgreSQL 14 or newer: none is installed; this build downloads none; " +
		"install it (such as apt-get install postgresql), or pass --database-url to refract serve"
	if got := noBinaries(err).Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
