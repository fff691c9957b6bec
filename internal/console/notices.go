package console

import (
	"maps"
	"net/url"
)

// noticeKey is the query parameter that says which notice a page begins with. It is a key, since a link must not be able to put text
// into a page.
const noticeKey = "notice"

// notices has the notices of all forms, by key. Each area lists its own.
var notices = joined(taskNotices, webhookNotices, providerNotices, tenantNotices, tokenNotices)

func joined(areas ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, area := range areas {
		maps.Copy(all, area)
	}
	return all
}

// done leads to a page after a form, which says what the form did. The key is one of notices.
func (v *visit) done(path, key string) error {
	u, err := url.Parse(path)
	if err != nil {
		return err
	}
	q := u.Query()
	q.Set(noticeKey, key)
	u.RawQuery = q.Encode()
	return v.redirect(u.String())
}
