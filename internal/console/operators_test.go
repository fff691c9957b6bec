package console

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/publicerr"
)

func TestReadLabels(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text    string
		want    map[string]string
		problem string
	}{
		"none":           {"", map[string]string{}, ""},
		"lines":          {"team=video\r\n\n app = console = x ", map[string]string{"team": "video", "app": "console = x"}, ""},
		"an empty value": {"team=", map[string]string{"team": ""}, ""},
		"no value":       {"team", nil, "Write each label as key=value on a line of its own."},
		"no key":         {"=video", nil, "Write each label as key=value on a line of its own."},
		"a key twice":    {"a=1\na=2", nil, "The key a stands there twice."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, problem := readLabels(tt.text)
			if diff := cmp.Diff(tt.want, got); diff != "" || problem != tt.problem {
				t.Errorf("readLabels(%q): problem %q, want %q (-want +got)\n%s", tt.text, problem, tt.problem, diff)
			}
		})
	}
}

func TestWebhookForm_ViolationsBelongToFields(t *testing.T) {
	t.Parallel()
	var form webhookForm
	form.refused(publicerr.Invalid("",
		publicerr.Violation(`labels["A"]`, "is no key"), publicerr.Violation(`labels.labels["B"]`, "is no key"), publicerr.Violation("event_types[0]", "is unknown"), publicerr.Violation("url", "is private")).Err())
	want := map[string]string{"labels": "B: Is no key. A: Is no key.", "event_types": "Is unknown.", "url": "Is private."}
	if diff := cmp.Diff(want, form.Violations); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUTCTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "",
		"2026-01-31T14:00":          "2026-01-31T14:00:00Z",
		"2026-01-31T14:00:01":       "2026-01-31T14:00:01Z",
		"2026-01-31T14:00:01+02:00": "2026-01-31T12:00:01Z",
		" 2026-01-31 ":              "2026-01-31T00:00:00Z",
		"yesterday":                 errTime.Error(),
	} {
		got := ""
		if at, err := utcTime(text); err != nil {
			got = err.Error()
		} else if at != nil {
			got = at.AsTime().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("utcTime(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestGauge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		settled, unsure, limit int32
		want                   gauge
	}{
		{0, 0, 4, gauge{Limit: 4}},
		{1, 2, 4, gauge{Used: 3, Limit: 4, Settled: 25, Unsure: 50, Unanswered: 2}},
		{4, 0, 4, gauge{Used: 4, Limit: 4, Settled: 100, Full: true}},
		{3, 9, 4, gauge{Used: 12, Limit: 4, Settled: 75, Unsure: 25, Unanswered: 9, Full: true}},
		{1, 0, 0, gauge{Used: 1, Full: true}},
	} {
		if got := newGauge(tt.settled, tt.unsure, tt.limit); got != tt.want {
			t.Errorf("newGauge(%d, %d, %d) = %+v, want %+v", tt.settled, tt.unsure, tt.limit, got, tt.want)
		}
	}
}

func TestCountAndShortDuration(t *testing.T) {
	t.Parallel()
	for n, want := range map[int32]string{0: "0", 999: "999", 1000: "1,000", 100000: "100,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{10 * time.Second: "10 s", 1500 * time.Millisecond: "1.5 s", time.Minute: "1 min", 24 * time.Hour: "24 h", 90 * time.Second: "90 s"} {
		if got := shortDuration(d); got != want {
			t.Errorf("shortDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestReadLimits_NamesTheFieldWithoutANumber(t *testing.T) {
	t.Parallel()
	for field, form := range map[string]url.Values{
		"rate.submissions: enter a number": {"window": {"1"}, "in_flight": {"1"}},
		"rate.window: enter a number":      {"submissions": {"1"}, "window": {"NaN"}, "in_flight": {"1"}},
		"in_flight: enter a number":        {"submissions": {"1"}, "window": {"0.5"}, "in_flight": {"1.5"}},
	} {
		if err := readLimits(&refractv1.UpdateProviderLimitsRequest{}, form); err == nil || err.Error() != field {
			t.Errorf("readLimits(%v) = %v, want %s", form, err, field)
		}
	}
}

func TestCallback_BodyIsIndentedIfJSON(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"a":[1]}`: "{\n  \"a\": [\n    1\n  ]\n}",
		"<b>no":     "<b>no",
		"\xff no":   "\uFFFD no",
		"":          "",
	} {
		if got := (callbackView{&refractv1.Callback{Body: []byte(body)}}).Text(); got != want {
			t.Errorf("the text of %q is %q, want %q", body, got, want)
		}
	}
}

func TestVerdicts_EachHasASentence(t *testing.T) {
	t.Parallel()
	for n, name := range refractv1.CallbackVerdict_name {
		if n != 0 && verdicts[refractv1.CallbackVerdict(n)].meaning == "" {
			t.Errorf("%s has no sentence", name)
		}
	}
	if got, want := len(verdictChoices()), len(refractv1.CallbackVerdict_name)-1; got != want {
		t.Errorf("%d verdicts can be chosen, want %d", got, want)
	}
}
