package wire

import "testing"

func TestInteger_ReadsWholeNumbersHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int{
		`200`: 200, `"200"`: 200, `" 200 "`: 200, `200.0`: 200, `"200.0"`: 200, `2e2`: 200, `-1`: -1, `"007"`: 7, `0`: 0, `-0.0`: 0, `2147483647`: 2147483647,
	} {
		if got, ok := (Object{"n": []byte(raw)}).Integer("n"); !ok || got != want {
			t.Errorf("%s is %d, %t, want %d", raw, got, ok, want)
		}
	}
	for _, raw := range []string{``, `null`, `""`, `200.5`, `true`, `"two"`, `"0x10"`, `"Inf"`, `"NaN"`, `1e99`, `99999999999`, `"99999999999999999999999"`, `[200]`, `{"n":200}`, `"1_000"`} {
		if got, ok := (Object{"n": []byte(raw)}).Integer("n"); ok {
			t.Errorf("%s is %d, want none", raw, got)
		}
	}
}
