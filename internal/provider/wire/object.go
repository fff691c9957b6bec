package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"regexp"
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

// byteOrderMark may begin a text in UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

// DecodeCallback decodes the body of a callback, which a byte order mark may begin.
func DecodeCallback(body []byte) (Object, bool) {
	return DecodeObject(bytes.TrimPrefix(body, byteOrderMark))
}

// AsObject returns the object that a value is, or that it holds as JSON in a string.
func AsObject(raw json.RawMessage) (Object, bool) {
	if o, ok := DecodeObject(raw); ok {
		return o, true
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return DecodeObject([]byte(text))
	}
	return nil, false
}

// Object returns the object under key, or an empty one.
func (o Object) Object(key string) Object {
	inner, _ := AsObject(o[key])
	return inner
}

// Text returns the string under key as it is, or "".
func (o Object) Text(key string) string {
	var s string
	if err := json.Unmarshal(o[key], &s); err != nil {
		return ""
	}
	return s
}

// Word returns the string under key in lower case and without blanks around it, as names of states are compared.
func (o Object) Word(key string) string { return strings.ToLower(strings.TrimSpace(o.Text(key))) }

// ID returns the id under key, without blanks around it. Ids are strings in every contract; a number would have lost digits
// on its way, if it is one.
func (o Object) ID(key string) string { return strings.TrimSpace(o.Text(key)) }

// AnyText returns the text under key: a string, the message of an object, or the JSON of any other value, such as
// a list of invalid fields.
func (o Object) AnyText(key string) string {
	raw := o[key]
	if s := o.Text(key); s != "" {
		return s
	}
	if s := o.Object(key).Text("message"); s != "" {
		return s
	}
	if IsNull(raw) || string(raw) == `""` {
		return ""
	}
	return Spelled(raw)
}

// Spelled returns a JSON value in one spelling, whatever its own, so that a message does not depend on escapes and white space.
func Spelled(raw json.RawMessage) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return string(raw) // A number that Go can't hold.
	}
	var s strings.Builder
	enc := json.NewEncoder(&s)
	enc.SetEscapeHTML(false) // Links are found by their own letters.
	if err := enc.Encode(v); err != nil {
		return string(raw)
	}
	return strings.TrimSpace(s.String())
}

// Integer returns the whole number under key, which may stand in a string or be written as a fraction.
func (o Object) Integer(key string) (int, bool) {
	s := strings.TrimSpace(o.Text(key))
	if s == "" {
		s = string(o[key])
	}
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return int(n), true
	}
	if strings.Trim(s, "+-.0123456789eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return 0, false
	}
	return int(f), true
}

// decimal is a number that is not negative, without an exponent and without zeros at its begin.
var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?$`)

// Decimal returns the decimal number under key, which may stand in a string, as it is written.
func (o Object) Decimal(key string) (string, bool) {
	s := strings.TrimSpace(o.Text(key))
	if s == "" {
		s = string(o[key])
	}
	return s, decimal.MatchString(s)
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
