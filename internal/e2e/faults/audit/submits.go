package audit

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"path"
)

// submitChecks check promises 1 and 2: everything acknowledged is stored, once.
var submitChecks = []check{
	{1, "acknowledged submits exist", func(f *Facts, fail func(string, ...any)) {
		for _, s := range f.Submits {
			if t := f.tasks[s.TaskID]; t == nil || t.RequestID != s.RequestID {
				fail("request %s was acknowledged with task %s, which is not there", s.RequestID, s.TaskID)
			}
		}
	}},
	{1, "callbacks answered 200 are in the inbox", func(f *Facts, fail func(string, ...any)) {
		kept := map[string]int{}
		for _, c := range f.Callbacks {
			kept[c.AttemptID]++
		}
		answered := map[string]int{}
		for _, d := range f.Deliveries {
			if d.Status == http.StatusOK {
				answered[attemptOf(d.URL)]++
			}
		}
		for attempt, n := range answered {
			if kept[attempt] < n {
				fail("attempt %s: %d callbacks were answered 200, %d are in the inbox", attempt, n, kept[attempt])
			}
		}
	}},
	{2, "one task per request id", func(f *Facts, fail func(string, ...any)) {
		type request struct{ tenant, id string }
		tasks := map[request]string{}
		for _, t := range f.Tasks {
			r := request{t.Tenant, t.RequestID}
			if other, twice := tasks[r]; twice {
				fail("request %s made tasks %s and %s", t.RequestID, other, t.ID)
			}
			tasks[r] = t.ID
		}
		acknowledged := map[string]string{}
		for _, s := range f.Submits {
			if other, again := acknowledged[s.RequestID]; again && other != s.TaskID {
				fail("request %s was acknowledged with tasks %s and %s", s.RequestID, other, s.TaskID)
			}
			acknowledged[s.RequestID] = s.TaskID
		}
	}},
}

// attemptOf returns the attempt that a callback URL names, or the empty string. A URL token is 43 characters of base64,
// which encode the 16 bytes of the attempt's id and a signature.
func attemptOf(callbackURL string) string {
	token := path.Base(callbackURL)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 32 {
		return ""
	}
	id := hex.EncodeToString(raw[:16])
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}
