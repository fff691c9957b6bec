package redact

import (
	"net/url"
	"regexp"
	"strings"
)

// How URLs stand in JSON: each level of JSON in a string of JSON adds backslashes before what is escaped. A URL goes
// on to what can't be in one; an apostrophe can.
const (
	urlScheme = `(?i)(https?:(?:\\*/|\\+u002f){2,})`
	urlRest   = `(?:[^"\\\s<>]|\\+[^"\\\s<>])*`
	// notSlash goes on after an escape's u when that is not u002f, nor the end of the URL, which stays where it is.
	notSlash = `(?:[^0"\\\s<>]|0[^0"\\\s<>]|00[^2"\\\s<>]|002[^f"\\\s<>]|0{0,2}2?\\+[^"\\\s<>])`
)

var (
	// links finds URLs with their hosts.
	links = regexp.MustCompile(urlScheme + `(?:[^/\\"\s<>?#]*@)?([^/\\"\s<>?#@]*)` + urlRest)
	// disguised finds URLs with another escape than a slash before the first slash, so that a user and a password
	// may pass for the host.
	disguised = regexp.MustCompile(urlScheme + `[^/\\"\s<>?#]*\\+(?:[^/u"\\\s<>]|u` + notSlash + `)` + urlRest)
	// words finds URLs in text that need not stay JSON. Backslashes are part of a URL. The groups are those of links.
	words = regexp.MustCompile(urlScheme + `(?:[^\s/\\?#"<>]*@)?([^\s/\\?#"<>@]*)[^\s"<>]*`)
	// users finds the user and the password of URLs of any scheme.
	users = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*:\\*/\\*/)[^\s"'<>/?#]*@`)
)

// Links returns text in which nothing is left of a web URL but its host: whoever has a signed one has the file. What was
// valid JSON still is.
func Links(text []byte) []byte {
	text = hiddenLinks(text)
	text = replaceURLs(disguisedHere, text, "${1}"+Mark)
	return replaceURLs(linksHere, text, "${1}${2}/"+Mark)
}

// Words is Links for words that are shown and need not stay JSON.
func Words(text string) string {
	return words.ReplaceAllString(string(hiddenLinks([]byte(text))), "${1}${2}/"+Mark)
}

// Users returns text in which no URL has a user or a password.
func Users(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	return users.ReplaceAllString(text, "${1}"+Mark+"@")
}

// URL returns the URL of a setting as it may be shown: without user, password, and parameters that may be secret. A
// parameter that is a URL is shown in the same way. It never fails.
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
		return s // As it is spelt.
	}
	if u.User != nil || strings.Contains(u.Opaque, "@") {
		u.User, u.Opaque = nil, ""
		return strings.Replace(u.String(), "://", "://"+Mark+"@", 1)
	}
	return u.String()
}

// harmless are the parameters of URLs of buckets that hold no secret.
var harmless = map[string]bool{
	"region": true, "endpoint": true, "use_path_style": true, "s3forcepathstyle": true, "disablessl": true, "disable_https": true,
	"hostname_immutable": true, "create_dir": true, "no_tmp_dir": true, "metadata": true, "dir_file_mode": true, "prefix": true,
	"dualstack": true, "fips": true, "accelerate": true, "rate_limiter_capacity": true, "request_checksum_calculation": true,
	"response_checksum_validation": true, "ssetype": true, "profile": true, "protocol": true, "domain": true, "localemu": true,
	"cdn": true, "storage_account": true, "anonymous": true, "awssdk": true, "sslmode": true, "connect_timeout": true, "pool_max_conns": true,
}
