package pglocal

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// installStandIn puts programs into dir that know their version and nothing else.
func installStandIn(t *testing.T, dir, version string) {
	t.Helper()
	for _, program := range []string{"postgres", "initdb"} {
		writeProgram(t, filepath.Join(dir, program), "echo '"+version+"'\n")
	}
}

func TestFindBinaries_PathFirstThenNewest(t *testing.T) {
	root := programDir(t)
	for dir, answer := range map[string]string{
		"path": "postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)",
		"14":   "postgres (PostgreSQL) 14.1",
		"9.6":  "postgres (PostgreSQL) 9.6.24",
		"19":   "postgres (PostgreSQL) 19beta1",
		"fake": "something else",
		"16":   "postgres (PostgreSQL) 16.9",
	} {
		installStandIn(t, filepath.Join(root, "pg-"+dir, "bin"), answer)
	}
	pathDir := filepath.Join(root, "pg-path", "bin")
	t.Setenv("PATH", pathDir+":/usr/bin:/bin")

	var got []int
	for _, b := range findBinaries(t.Context(), account{}, []string{filepath.Join(root, "pg-[0-9f]*", "bin")}) {
		got = append(got, b.major)
	}
	if diff := cmp.Diff([]int{15, 19, 16, 14}, got); diff != "" {
		t.Errorf("majors (-want +got):\n%s", diff)
	}
}

func TestPick_FitsTheData(t *testing.T) {
	t.Parallel()
	found := []binaries{{dir: "/a", major: 15}, {dir: "/b", major: 18}, {dir: "/c", major: 16}}
	for major, want := range map[int]string{0: "/a", 15: "/a", 16: "/c", 18: "/b", 17: ""} {
		got, err := pick(found, "/d", major)
		if got.dir != want || (err == nil) != (want != "") {
			t.Errorf("data of version %d: got %v, %v, want %q", major, got, err, want)
		}
	}
}
