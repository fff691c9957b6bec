package wire

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxTaskID is the longest provider task id, in bytes. No provider names a limit; ids have 32 to 50.
	MaxTaskID = 128
	// MaxLinks is how many result links are read. Every documented result has one.
	MaxLinks = 64
)

// Object is a JSON object with its values undecoded. Providers' fields change their types between pages and
// products; reading each one by itself keeps a surprise in one from hiding the others. Keys match exactly,
// which struct fields of encoding/json do not.
type Object map[string]json.RawMessage

// DecodeObject returns false for anything but an object, null included.
func DecodeObject(raw []byte) (Object, bool) {
	var o Object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, false
	}
	return o, true
}

// Object returns the object under key, or an empty one.
func (o Object) Object(key string) Object {
	inner, _ := DecodeObject(o[key])
	return inner
}

// Objects returns those elements of the array under key that are objects, at most MaxLinks.
func (o Object) Objects(key string) []Object {
	var objects []Object
	for _, raw := range o.elements(key) {
		element, ok := DecodeObject(raw)
		if !ok {
			continue
		}
		if objects = append(objects, element); len(objects) == MaxLinks {
			break
		}
	}
	return objects
}

// Text returns the string under key, or "".
func (o Object) Text(key string) string {
	var s string
	if err := json.Unmarshal(o[key], &s); err != nil {
		return ""
	}
	return s
}

// Integer returns the number under key, which may stand in a string.
func (o Object) Integer(key string) (int, bool) {
	s := o.Text(key)
	if s == "" {
		s = string(o[key])
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	return int(n), err == nil
}

// Links returns those elements of the array under key that are links, at most MaxLinks.
func (o Object) Links(key string) []string {
	var links []string
	for _, raw := range o.elements(key) {
		var s string
		if json.Unmarshal(raw, &s) != nil || !IsLink(s) {
			continue
		}
		if links = append(links, s); len(links) == MaxLinks {
			break
		}
	}
	return links
}

// elements returns the elements of the array under key, or none where it is no array.
func (o Object) elements(key string) []json.RawMessage {
	var elements []json.RawMessage
	if err := json.Unmarshal(o[key], &elements); err != nil {
		return nil
	}
	return elements
}

// IsNull reports whether a value is absent or null.
func IsNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// IsLink reports whether s is an absolute http or https URL.
func IsLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isWebURL(u)
}

func isWebURL(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// IsTaskID reports whether s can be a provider task id. Ids are opaque, but they go into URLs, logs and
// signatures: they are short and printable, and hold no sign that the JSON decoder replaced a byte.
func IsTaskID(s string) bool {
	return s != "" && len(s) <= MaxTaskID && strings.IndexFunc(s, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsPrint(r)
	}) < 0
}

// IsPathTaskID reports whether s can be a provider task id that stands as an element of a path: one of dots
// alone would name another resource.
func IsPathTaskID(s string) bool { return IsTaskID(s) && strings.Trim(s, ".") != "" }
