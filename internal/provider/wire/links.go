package wire

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/refract-video/refract/internal/provider"
)

// Success returns the status of a task that succeeded, with the links under key of o. What stands there and is no link is in
// Unread, cleaned of the secrets.
func (c *Client) Success(o Object, key string, secrets ...string) provider.Status {
	s := provider.Status{Phase: provider.Succeeded}
	links, ok := Links(o[key])
	s.ResultURLs = links
	if !ok {
		s.Unread = c.Redact(key+" can't be read: "+Spelled(o[key]), secrets...)
	}
	return s
}

// Unread returns the status of a task that succeeded and whose links are under key of o, where something else stands. Nothing
// there, or null, says that there are none.
func (c *Client) Unread(o Object, key string, secrets ...string) provider.Status {
	s := provider.Status{Phase: provider.Succeeded}
	if raw := o[key]; !IsNull(raw) && string(raw) != `""` {
		s.Unread = c.Redact(key+" can't be read: "+Spelled(raw), secrets...)
	}
	return s
}

// Links returns the links in a value, each once and at most MaxLinks, and whether it was understood whole. Providers' lists
// come in shapes that can mean one thing only: a list, a link alone, either as JSON in a string, and objects that hold the
// link as url, whose type, where they have one, is video. Blanks around a link are not part of it. Null, empty strings and
// empty lists say that there is none.
func Links(raw json.RawMessage) (links []string, ok bool) {
	r := linkReader{whole: true}
	r.read(raw, 0)
	return r.links, r.whole
}

// maxNesting is how deep a list of links is searched: a string that holds a list of objects whose url is a string.
const maxNesting = 4

type linkReader struct {
	links []string
	whole bool
}

func (r *linkReader) read(raw json.RawMessage, depth int) {
	var text string
	var list []json.RawMessage
	switch {
	case IsNull(raw):
	case depth > maxNesting:
		r.whole = false
	case json.Unmarshal(raw, &text) == nil:
		r.text(strings.TrimSpace(text), depth)
	case json.Unmarshal(raw, &list) == nil:
		for _, element := range list {
			if len(r.links) == MaxLinks {
				return
			}
			r.read(element, depth+1)
		}
	default:
		r.object(raw, depth)
	}
}

// severalLinks finds a second link in a string. No contract says which characters separate links.
var severalLinks = regexp.MustCompile(`[\s,;|]https?://`)

func (r *linkReader) text(s string, depth int) {
	switch {
	case s == "":
	case strings.HasPrefix(s, "[") || strings.HasPrefix(s, "{") || strings.HasPrefix(s, `"`):
		if !json.Valid([]byte(s)) {
			r.whole = false
			return
		}
		r.read(json.RawMessage(s), depth+1)
	case !IsLink(s) || severalLinks.MatchString(s):
		r.whole = false
	case !slices.Contains(r.links, s) && len(r.links) < MaxLinks:
		r.links = append(r.links, s)
	}
}

func (r *linkReader) object(raw json.RawMessage, depth int) {
	o, ok := DecodeObject(raw)
	link, named := o["url"]
	kind := o.Word("type")
	switch {
	case ok && kind != "" && kind != "video" && !strings.HasPrefix(kind, "video/"): // A by-product, such as a picture.
	case named:
		r.read(link, depth+1)
	default:
		r.whole = false
	}
}
