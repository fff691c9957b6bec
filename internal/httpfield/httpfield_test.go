package httpfield_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/httpfield"
)

func TestRetryAfter_EveryForm(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 30, 12, 0, 0, 0, time.UTC)
	for field, want := range map[string]time.Duration{
		"":                                 0,
		"0":                                0,
		"7":                                7 * time.Second,
		"+7":                               7 * time.Second,
		" 7 ":                              7 * time.Second,
		"007":                              7 * time.Second,
		"1.5":                              1500 * time.Millisecond,
		"-5":                               0,
		"-0.5":                             0,
		"90000":                            24 * time.Hour,
		"99999999999999999999999999999":    24 * time.Hour,
		strings.Repeat("9", 400):           24 * time.Hour, // Beyond all floats.
		"-" + strings.Repeat("9", 400):     0,
		"1e3":                              0,
		"Inf":                              0,
		"NaN":                              0,
		"0x10":                             0,
		"1.2.3":                            0,
		"7 s":                              0,
		"soon":                             0,
		"Sat, 30 May 2026 12:01:30 GMT":    90 * time.Second,
		"Saturday, 30-May-26 12:01:30 GMT": 90 * time.Second, // RFC 850.
		"Sat May 30 12:01:30 2026":         90 * time.Second, // asctime.
		" Sat, 30 May 2026 12:01:30 GMT ":  90 * time.Second,
		"Sat, 30 May 2026 11:00:00 GMT":    0,
		"Fri, 31 Dec 9999 23:59:59 GMT":    24 * time.Hour,
		"Sat, 01 Jan 0001 00:00:00 GMT":    0,
	} {
		if got := httpfield.RetryAfter(http.Header{"Retry-After": {field}}, now); got != want {
			t.Errorf("Retry-After %.60q: %v, want %v", field, got, want)
		}
	}
}

func TestRetryAfter_DatesCountFromTheServersClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 30, 15, 0, 0, 0, time.UTC) // Three hours ahead of the server.
	for _, date := range []string{"Sat, 30 May 2026 12:00:00 GMT", "Saturday, 30-May-26 12:00:00 GMT", "Sat May 30 12:00:00 2026"} {
		h := http.Header{"Retry-After": {"Sat, 30 May 2026 12:00:20 GMT"}, "Date": {date}}
		if got := httpfield.RetryAfter(h, now); got != 20*time.Second {
			t.Errorf("Date %q: %v, want 20s", date, got)
		}
	}
}

func TestContentRange_EveryForm(t *testing.T) {
	t.Parallel()
	type result struct {
		httpfield.Range
		ok bool
	}
	for field, want := range map[string]result{
		"bytes 100-999/1000":                {httpfield.Range{First: 100, Last: 999, Size: 1000}, true},
		"bytes 0-0/1":                       {httpfield.Range{First: 0, Last: 0, Size: 1}, true},
		"bytes 100-999/*":                   {httpfield.Range{First: 100, Last: 999, Size: -1}, true},
		"bytes */1000":                      {httpfield.Range{First: -1, Last: -1, Size: 1000}, true},
		"bytes */0":                         {httpfield.Range{First: -1, Last: -1, Size: 0}, true},
		"Bytes 100-999/1000":                {httpfield.Range{First: 100, Last: 999, Size: 1000}, true}, // Units have no case.
		" bytes  100-999 / 1000 ":           {httpfield.Range{First: 100, Last: 999, Size: 1000}, true},
		"":                                  {},
		"bytes":                             {},
		"bytes 1000/100-999":                {},
		"items 1-2/3":                       {},
		"bytes 1-2/3, 5-6/7":                {},
		"bytes -5/10":                       {},
		"bytes 1-99999999999999999999999/*": {},
	} {
		got, ok := httpfield.ContentRange(http.Header{"Content-Range": {field}})
		if ok != want.ok || ok && got != want.Range {
			t.Errorf("Content-Range %q: %+v, %t, want %+v", field, got, ok, want)
		}
	}
	for _, field := range []string{"bytes 5-3/10", "bytes 0-10/10", "bytes 0-0/0"} { // They contradict themselves.
		if got, ok := httpfield.ContentRange(http.Header{"Content-Range": {field}}); ok {
			t.Errorf("Content-Range %q: %+v, want none", field, got)
		}
	}
}
