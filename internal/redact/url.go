package redact

import (
	"net/url"
	"regexp"
	"strings"
)

// URLs as they appear in JSON: each level of JSON in a string of JSON adds backslashes before an escaped character. A
// URL ends at a character that cannot be in one; an apostrophe can.
const (
	urlScheme = `(?i)(https?:(?:\\*/|\\+u002f){2,})`
	urlRest   = `(?:[^"\\\s<>]|\\+[^"\\\s<>])*`
	// notSlash matches the rest of an escape after its u, unless that is u002f. It does not match the end of the URL.
	notSlash = `(?:[^0"\\\s<>]|0[^0"\\\s<>]|00[^2"\\\s<>]|002[^f"\\\s<>]|0{0,2}2?\\+[^"\\\s<>])`
)

var (
	// links matches URLs with their hosts.
	links = regexp.MustCompile(urlScheme + `(?:[^/\\"\s<>?#]*@)?([^/\\"\s<>?#@]*)` + urlRest)
	// disguised matches URLs that have an escape other than a slash before the first slash. In these, a user and a
	// password could look like the host.
	disguised = regexp.MustCompile(urlScheme + `[^/\\"\s<>?#]*\\+(?:[^/u"\\\s<>]|u` + notSlash + `)` + urlRest)
	// words matches URLs in text that need not stay JSON. Backslashes are part of a URL. Its groups are those of links.
	words = regexp.MustCompile(urlScheme + `(?:[^\s/\\?#"<>]*@)?([^\s/\\?#"<>@]*)[^\s"<>]*`)
	// users matches the user and password of URLs of any scheme.
	users = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*:\\*/\\*/)[^\s"'<>/?#]*@`)
)

// Links removes everything but the host from web URLs in text, since a signed URL gives access to its file. Valid JSON
// stays valid.
func Links(text []byte) []byte {
	text = hiddenLinks(text)
	text = replaceURLs(disguisedHere, text, "${1}"+Mark)
	return replaceURLs(linksHere, text, "${1}${2}/"+Mark)
}

// Words is Links for text that need not stay JSON.
func Words(text string) string {
	return words.ReplaceAllString(string(hiddenLinks([]byte(text))), "${1}${2}/"+Mark)
}

// Users removes the users and passwords of URLs from text.
func Users(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	return users.ReplaceAllString(text, "${1}"+Mark+"@")
}

// URL returns the URL of a setting as it may be shown: without user, password, and parameters that may be secret. It
// redacts a parameter that is a URL in the same way. It never fails.
func URL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return Mark
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		u.RawQuery, query = Mark, nil
	}
	for name, values := range query {
		for i, value := range values {
			switch {
			case strings.Contains(value, "@") || strings.Contains(value, "://"):
				values[i] = URL(value)
			case !harmless[strings.ToLower(name)]:
				values[i] = Mark
			}
		}
	}
	if len(query) > 0 {
		u.RawQuery = strings.ReplaceAll(query.Encode(), url.QueryEscape(Mark), Mark)
	}
	if u.User == nil && u.RawQuery == "" && u.Opaque == "" {
		return s // Unchanged.
	}
	if u.User != nil || strings.Contains(u.Opaque, "@") {
		u.User, u.Opaque = nil, ""
		return strings.Replace(u.String(), "://", "://"+Mark+"@", 1)
	}
	return u.String()
}

// harmless are the parameters of bucket and database URLs that hold no secret.
var harmless = map[string]bool{
	"region": true, "endpoint": true, "use_path_style": true, "s3forcepathstyle": true, "disablessl": true, "disable_https": true,
	"hostname_immutable": true, "create_dir": true, "no_tmp_dir": true, "metadata": true, "dir_file_mode": true, "prefix": true,
	"dualstack": true, "fips": true, "accelerate": true, "rate_limiter_capacity": true, "request_checksum_calculation": true,
	"response_checksum_validation": true, "ssetype": true, "profile": true, "protocol": true, "domain": true, "localemu": true,
	"cdn": true, "storage_account": true, "anonymous": true, "awssdk": true, "sslmode": true, "connect_timeout": true, "pool_max_conns": true,
}
