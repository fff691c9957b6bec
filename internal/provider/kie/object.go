package kie

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxTaskID = 128 // Bytes. The provider names no limit; its ids have 32 to 50.
	maxLinks  = 64  // Every documented result has one link.
)

// object is a JSON object with its values undecoded. The provider's fields change their types between
// pages and products; reading each one by itself keeps a surprise in one from hiding the others. Keys
// match exactly, which struct fields of encoding/json do not.
type object map[string]json.RawMessage

// decodeObject returns false for anything but an object, null included.
func decodeObject(raw []byte) (object, bool) {
	var o object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, false
	}
	return o, true
}

// object returns the object under key, or an empty one.
func (o object) object(key string) object {
	inner, _ := decodeObject(o[key])
	return inner
}

// text returns the string under key, or "".
func (o object) text(key string) string {
	var s string
	if err := json.Unmarshal(o[key], &s); err != nil {
		return ""
	}
	return s
}

// integer returns the number under key, which may stand in a string.
func (o object) integer(key string) (int, bool) {
	s := o.text(key)
	if s == "" {
		s = string(o[key])
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	return int(n), err == nil
}

// links returns those elements of the array under key that are absolute http or https URLs.
func (o object) links(key string) []string {
	var elements []json.RawMessage
	if err := json.Unmarshal(o[key], &elements); err != nil {
		return nil
	}
	var links []string
	for _, raw := range elements {
		var s string
		if json.Unmarshal(raw, &s) != nil || !isLink(s) {
			continue
		}
		if links = append(links, s); len(links) == maxLinks {
			break
		}
	}
	return links
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func isLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isWebURL(u)
}

func isWebURL(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// isTaskID reports whether s can be a provider task id. Ids are opaque, but they go into URLs, logs and
// signatures: they are short and printable, and hold no sign that the JSON decoder replaced a byte.
func isTaskID(s string) bool {
	return s != "" && len(s) <= maxTaskID && strings.IndexFunc(s, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsPrint(r)
	}) < 0
}
