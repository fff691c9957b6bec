package wiretest

import (
	"strings"
	"testing"
)

// TestPlainCreated checks which answers to a submission an adapter of an API without an envelope takes for an
// acceptance, and which it takes for no proof of anything. The id is the one in Accepted, an object with a state.
func (a Adapter) TestPlainCreated(t *testing.T, id string) {
	t.Helper()
	a.TestAccepted(t, []Answer{
		{Name: "another 2xx", Status: 200, Body: a.Accepted, Want: id},
		{Name: "id alone", Status: 201, Body: `{"id":"T"}`, Want: "T"},
		{Name: "unknown fields", Status: 201, Body: `{"id":"T","x":[1],"state":"thinking"}`, Want: "T"},
		{Name: "failed at once", Status: 201, Body: `{"id":"T","state":"failed","failure_reason":"no"}`, Want: "T"},
		{Name: "longest id", Status: 201, Body: `{"id":"` + strings.Repeat("a", 128) + `"}`, Want: strings.Repeat("a", 128)},
	})
	a.TestProveNothing(t, []Answer{
		{Name: "no content", Status: 204, Body: ``},
		{Name: "empty", Status: 201, Body: ``},
		{Name: "page", Status: 201, Body: `<html>hello</html>`},
		{Name: "cut JSON", Status: 201, Body: a.Accepted[:40]},
		{Name: "JSON that is no object", Status: 201, Body: `["` + id + `"]`},
		{Name: "null", Status: 201, Body: `null`},
		{Name: "no id", Status: 201, Body: `{"state":"queued"}`},
		{Name: "id null", Status: 201, Body: `{"id":null,"state":"queued"}`},
		{Name: "id a number", Status: 201, Body: `{"id":7}`},
		{Name: "id empty", Status: 201, Body: `{"id":""}`},
		{Name: "id of dots", Status: 201, Body: `{"id":".."}`},
		{Name: "id too long", Status: 201, Body: `{"id":"` + strings.Repeat("a", 129) + `"}`},
		{Name: "id with a line break", Status: 201, Body: `{"id":"a\nb"}`},
		{Name: "id with a broken byte", Status: 201, Body: "{\"id\":\"a\xffb\"}"},
		{Name: "refusal that holds a generation", Status: 422, Body: a.Accepted},
		{Name: "blocked, and holds a generation", Status: 402, Body: a.Accepted},
		{Name: "generation under HTTP 500", Status: 500, Body: a.Accepted},
		{Name: "page under HTTP 502", Status: 502, Body: `<html>bad gateway</html>`},
	})
}
