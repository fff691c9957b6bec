package demo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/refract-video/refract/internal/cli"
)

func TestDemo_ShowsTheStartOfPostgreSQLWithoutItsLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		log  bool
		want string
	}{
		{log: false, want: "slow start"},
		{log: true, want: "slow start, call"},
	} {
		var errs bytes.Buffer
		service, start, err := (&Demo{Log: tt.log}).logs(cli.Console{Out: &bytes.Buffer{}, Err: &errs})
		if err != nil {
			t.Fatal(err)
		}
		start.InfoContext(t.Context(), "slow start")
		service.ErrorContext(t.Context(), "call")
		var got []string
		for _, message := range []string{"slow start", "call"} {
			if strings.Contains(errs.String(), message) {
				got = append(got, message)
			}
		}
		if got := strings.Join(got, ", "); got != tt.want {
			t.Errorf("with Log=%v the console shows %q, want %q:\n%s", tt.log, got, tt.want, errs.String())
		}
	}
}
