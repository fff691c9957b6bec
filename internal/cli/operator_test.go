package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/clienttest"
)

func TestProviderList_PrintsHowAccountsStand(t *testing.T) {
	t.Parallel()
	limits := func(submissions, inFlight int32) *refractv1.ProviderLimits {
		return &refractv1.ProviderLimits{
			Rate: &refractv1.SubmissionRate{Submissions: submissions, Window: durationpb.New(10 * time.Second)}, InFlight: inFlight,
		}
	}
	until := timestamppb.New(time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC))
	var out strings.Builder
	err := (&clientFlags{}).showAccounts(&out,
		&refractv1.ProviderAccount{
			Account: "kie", Limits: limits(5, 100), ConfiguredLimits: limits(18, 100), RecentSubmissions: 3, UnansweredSubmissions: 1,
			InFlight: 42, UnknownOutcomes: 2, QueuedTasks: 17, TypicalDuration: durationpb.New(4*time.Minute + 5*time.Second),
		},
		&refractv1.ProviderAccount{
			Account: "kie-2", Limits: limits(18, 10), ConfiguredLimits: limits(18, 100),
			Pause: &refractv1.ProviderPause{Reason: "out of\x1b[2J credits", UntilTime: until}, Probing: true,
		},
		&refractv1.ProviderAccount{
			Account: "luma", Limits: limits(20, 10), ConfiguredLimits: limits(20, 10), Pause: &refractv1.ProviderPause{Reason: "prices", ByOperator: true},
		},
		&refractv1.ProviderAccount{Account: "luma-agents", Limits: limits(20, 10), ConfiguredLimits: limits(20, 10), Probing: true},
	)
	want := `ACCOUNT      RATE         IN FLIGHT  UNKNOWN  QUEUED  TYPICAL  STATE
kie          4/5 in 10s*  42/100     2        17      4m5s     open
kie-2        0/18 in 10s  0/10*      0        0       -        paused until 2026-11-05T12:00:00Z: out of [2J credits
luma         0/20 in 10s  0/10       0        0       -        paused by an operator: prices
luma-agents  0/20 in 10s  0/10       0        0       -        probing
`
	if diff := cmp.Diff(want, out.String()); diff != "" || err != nil {
		t.Errorf("%v, table (-want +got):\n%s", err, diff)
	}
}

func TestOperatorCommands_RefuseWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"pass --rate, --in-flight or both, or else --reset": {"provider", "limit", "kie"},
		"pass --rate, --in-flight or both":                  {"provider", "limit", "kie", "--reset", "--in-flight=3"},
		"--rate=5 is not of the form 18/10s":                {"provider", "limit", "kie", "--rate=5"},
		"--rate=5/x is not of the form":                     {"provider", "limit", "kie", "--rate=5/x"},
		"missing flags: --reason":                           {"provider", "pause", "kie"},
		"--verdict=GOOD is not a verdict: use APPLIED,":     {"callback", "list", "--verdict=GOOD"},
		"--limit=-1 is negative":                            {"callback", "list", "--limit=-1"},
		"nothing answers at 127.0.0.1:1":                    {"check", clienttest.TaskID},
	} {
		exit, out, errs := command(t, &clienttest.Service{Address: "127.0.0.1:1"}, args...)
		if exit != 1 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d: %s%s, want %q", args, exit, out, errs, want)
		}
	}
}
