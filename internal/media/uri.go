package media

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// MaxURIBytes is the length of the longest URI that CheckURI accepts.
const MaxURIBytes = 2048

// localZones are the names that never lead to the public internet: RFC 6761, RFC 6762, RFC 8375, and
// the zone that ICANN set aside for private use.
var localZones = []string{"localhost", "local", "internal", "home.arpa"}

// hostName matches a name of at least one label; underscores occur in the names of buckets.
var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// CheckURI checks that raw can be the URI of a source: an absolute https URI with a public host, on
// port 80 or 443, without user information or fragment, at most MaxURIBytes long. With allowPrivate http,
// any port and any host will do. It looks at the text alone, without network: a name may still
// resolve to a private address, which the Guard finds. The error is a sentence for the
// caller that does not quote the URI.
func CheckURI(raw string, allowPrivate bool) error {
	if len(raw) > MaxURIBytes {
		return fmt.Errorf("the URI must be at most %d bytes long", MaxURIBytes)
	}
	if strings.ContainsFunc(raw, needsEscape) {
		return errors.New("the URI must be written in ASCII, with spaces and special characters percent-encoded")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return errors.New("the URI must be absolute, with a scheme and a host")
	}
	if err := checkScheme(u.Scheme, allowPrivate); err != nil {
		return err
	}
	if u.User != nil {
		return errors.New("the URI must not contain a user name or password")
	}
	if u.Fragment != "" {
		return errors.New("the URI must not have a fragment, since servers never see it")
	}
	if err := checkPort(u.Port(), allowPrivate); err != nil {
		return err
	}
	return checkHost(u.Hostname(), allowPrivate)
}

// CheckWebhookURI checks that raw can be the URI of a webhook, as CheckURI does. With allowPrivate, http will do for
// loopback addresses and localhost alone: an event has links that need no token.
func CheckWebhookURI(raw string, allowPrivate bool) error {
	if err := CheckURI(raw, allowPrivate); err != nil {
		return err
	}
	if u, err := url.Parse(raw); err != nil || u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return errors.New("the URI must use https, unless its host is a loopback address")
	}
	return nil
}

func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// CheckPublicHost checks that the text of a host, a name or an address, can be that of a host on the public internet, as
// CheckURI does.
func CheckPublicHost(host string) error { return checkHost(host, false) }

// needsEscape reports whether RFC 3986 forbids a character. Parsers disagree about these, and one that reads another host than
// this one bypasses the check.
func needsEscape(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r)
}

func checkScheme(scheme string, allowPrivate bool) error {
	switch {
	case scheme == "https", scheme == "http" && allowPrivate:
		return nil
	case allowPrivate:
		return errors.New("the URI must use http or https")
	default:
		return errors.New("the URI must use https")
	}
}

func checkPort(port string, allowPrivate bool) error {
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return errors.New("the port of the URI must be between 1 and 65535")
	}
	if !allowPrivate && n != 80 && n != 443 {
		return errors.New("the port of the URI must be 80 or 443")
	}
	return nil
}

func checkHost(host string, allowPrivate bool) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return checkAddr(ip, allowPrivate)
	}
	if len(host) > 253 || !hostName.MatchString(host) {
		return errors.New("the host of the URI must be a domain name or an IP address")
	}
	if endsInNumber(host) {
		return errors.New("the host of the URI must be a domain name, or an IPv4 address written as four decimal numbers")
	}
	if allowPrivate {
		return nil
	}
	if !strings.Contains(host, ".") {
		return errors.New("the host of the URI must be a public domain name")
	}
	for _, zone := range localZones {
		if host == zone || strings.HasSuffix(host, "."+zone) {
			return errors.New("the host of the URI must be a public domain name")
		}
	}
	return nil
}

func checkAddr(ip netip.Addr, allowPrivate bool) error {
	if allowPrivate {
		return nil
	}
	if publicOnly.SafeAddr(ip) != nil {
		return errors.New("the host of the URI must be a public address")
	}
	return nil
}

// endsInNumber finds the hosts that browsers and many resolvers read as IPv4 addresses in odd clothes:
// 127.1, 2130706433, 0x7f000001, 0177.0.0.1. No public domain ends in a number.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if digits, hex := strings.CutPrefix(last, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
