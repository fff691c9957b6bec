package bench

import (
	"strings"
	"testing"
)

func TestBest_IsTheShapeAndClientsWithTheHighestRate(t *testing.T) {
	t.Parallel()
	all := CallbackScripts()
	trials := []Trial{
		{all[0], 4, Rate{PerSecond: 900}}, {all[0], 64, Rate{PerSecond: 1000}}, {all[1], 16, Rate{PerSecond: 1500}}, {all[2], 64, Rate{PerSecond: 1400}},
	}
	if got, want := Best(trials).String(), "pgbench, one statement, 16 clients"; got != want {
		t.Errorf("the best is %q, want %q", got, want)
	}
	if got := Best(nil); got != (Trial{}) {
		t.Errorf("the best of no trials is %+v, want none", got)
	}
}

func TestScripts_HaveTheSameStatementsInThreeShapes(t *testing.T) {
	t.Parallel()
	for name, all := range map[string][]Script{"callback": CallbackScripts(), "submission": SubmitScripts()} {
		if len(all) != 3 {
			t.Fatalf("a %s has %d shapes, want 3", name, len(all))
		}
		for _, s := range all {
			for _, word := range []string{"INSERT", "UPDATE"} {
				if got, want := strings.Count(s.text, word), strings.Count(all[0].text, word); got != want {
					t.Errorf("the %s as %s has %d × %s, want %d", name, s.Shape, got, word, want)
				}
			}
		}
		if n := strings.Count(all[1].text, ";\n"); n != 1 {
			t.Errorf("the %s as %s has %d statements", name, all[1].Shape, n)
		}
	}
}

func TestParseRate(t *testing.T) {
	t.Parallel()
	got, err := parseRate("number of transactions actually processed: 4025\nlatency average = 3.9 ms\ntps = 804.500000 (without initial connection time)\n")
	if want := (Rate{Done: 4025, PerSecond: 804.5}); err != nil || got != want {
		t.Errorf("the rate is %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseRate("pgbench: error: connection failed"); err == nil {
		t.Error("no error for output without a rate")
	}
}
