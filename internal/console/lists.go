package console

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// tone is a word with the colour of a badge that repeats its meaning: OK, BAD, BUSY, WAIT, or empty.
type tone struct{ Tone, Text string }

// choice is a value of a select field.
type choice struct{ Value, Name string }

// pageSize is the number of rows of a page.
const pageSize = 50

// pageParameter is the parameter of a URL that has the token of a page.
const pageParameter = "page"

// nextPage returns the URL of the next page of a list with the same filters, or an empty string at the end.
func nextPage(u *url.URL, token string) string {
	if token == "" {
		return ""
	}
	q := u.Query()
	q.Del(noticeKey)
	q.Set(pageParameter, token)
	return u.Path + "?" + q.Encode()
}

// firstPage returns the URL of the first page of a list with the same filters, or nothing at the first page.
func firstPage(u *url.URL) string {
	q := u.Query()
	if !q.Has(pageParameter) {
		return ""
	}
	q.Del(pageParameter)
	q.Del(noticeKey)
	if len(q) == 0 {
		return u.Path
	}
	return u.Path + "?" + q.Encode()
}

// timeLayouts are what a browser sends for an input of the type datetime-local, and what people write into a URL.
var timeLayouts = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly, time.RFC3339}

var errTime = errors.New("enter a date and time, such as 2026-01-31T14:00")

// utcTime returns a time that a form has, in UTC unless it names a zone. It is nil for an empty field.
func utcTime(text string) (*timestamppb.Timestamp, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil //nolint:nilnil // No time is no bound.
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, errTime
}

// timeFilter returns the time that a filter has; nil for none. It adds a violation of the API's field for a text that is no time.
func timeFilter(text, field string, violations map[string]string) *timestamppb.Timestamp {
	t, err := utcTime(text)
	if err != nil {
		violations[field] = asSentence(err.Error())
	}
	return t
}
