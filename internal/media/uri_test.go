package media

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

var uriCases = []struct {
	name, uri       string
	public, private bool // Whether it is accepted without and with allowPrivate.
}{
	{"plain", "https://example.com/in.mp4", true, true},
	{"signed", "https://bucket_1.s3.eu-west-1.amazonaws.com/a%20b.mp4?X-Amz-Signature=0af&x=1%2F2", true, true},
	{"port 443", "https://example.com:443/in.mp4", true, true},
	{"public address", "https://8.8.8.8/in.mp4", true, true},
	{"public address, IPv6", "https://[2606:4700::1111]/in.mp4", true, true},
	{"upper case", "HTTPS://EXAMPLE.COM/IN.MP4", true, true},
	{"trailing dot", "https://example.com./in.mp4", true, true},
	{"numbers in a name", "https://1.2.3.example.com/", true, true},
	{"hexadecimal label that is no number", "https://cdn.0xyz/", true, true},
	{"longest", "https://example.com/" + strings.Repeat("a", MaxURIBytes-20), true, true},
	{"punycode", "https://xn--bcher-kva.example/", true, true},

	{"http", "http://example.com/in.mp4", false, true},
	{"other port", "https://example.com:8443/in.mp4", false, true},
	{"loopback", "https://127.0.0.1/", false, true},
	{"loopback with a dot", "https://127.0.0.1./", false, true},
	{"loopback, IPv6", "https://[::1]/", false, true},
	{"loopback mapped into IPv6", "https://[::ffff:127.0.0.1]/", false, true},
	{"loopback mapped into IPv6, hexadecimal", "https://[::ffff:7f00:1]/", false, true},
	{"loopback through NAT64", "https://[64:ff9b::7f00:1]/", false, true},
	{"loopback through 6to4", "https://[2002:7f00:1::]/", false, true},
	{"unspecified", "https://0.0.0.0/", false, true},
	{"unspecified, IPv6", "https://[::]/", false, true},
	{"private 10", "https://10.1.2.3/", false, true},
	{"private 172", "https://172.16.0.1/", false, true},
	{"private 192", "https://192.168.1.1/", false, true},
	{"carrier NAT", "https://100.64.0.1/", false, true},
	{"link-local", "https://169.254.169.254/latest/meta-data/", false, true},
	{"link-local, IPv6", "https://[fe80::1]/", false, true},
	{"link-local with a zone", "https://[fe80::1%25eth0]/", false, true},
	{"public address with a zone", "https://[2606:4700::1111%25eth0]/", false, true},
	{"unique local, IPv6", "https://[fd00::1]/", false, true},
	{"multicast", "https://224.0.0.1/", false, true},
	{"multicast, IPv6", "https://[ff02::1]/", false, true},
	{"broadcast", "https://255.255.255.255/", false, true},
	{"localhost", "https://localhost/", false, true},
	{"localhost, spelt otherwise", "https://LocalHost./", false, true},
	{"below localhost", "https://db.localhost/", false, true},
	{"mDNS name", "https://printer.local/", false, true},
	{"cloud metadata name", "https://metadata.google.internal/", false, true},
	{"home network name", "https://nas.home.arpa/", false, true},
	{"name without a zone", "https://postgres/", false, true},

	{"loopback, short", "https://127.1/", false, false},
	{"loopback, hexadecimal", "https://0x7f000001/", false, false},
	{"loopback, hexadecimal and dots", "https://0x7f.0.0.0x1/", false, false},
	{"loopback, upper-case hexadecimal", "https://0X7F000001/", false, false},
	{"loopback, decimal", "https://2130706433/", false, false},
	{"loopback, octal", "https://0177.0.0.1/", false, false},
	{"loopback, full-width digits", "https://１２７.0.0.1/", false, false},
	{"loopback, escaped full-width digits", "https://%EF%BC%9127.0.0.1/", false, false},
	{"empty", "", false, false},
	{"relative", "/in.mp4", false, false},
	{"without scheme", "example.com/in.mp4", false, false},
	{"without scheme, with slashes", "//example.com/in.mp4", false, false},
	{"without host", "https:///in.mp4", false, false},
	{"port without host", "https://:443/in.mp4", false, false},
	{"opaque", "https:example.com", false, false},
	{"ftp", "ftp://example.com/in.mp4", false, false},
	{"file", "file:///etc/passwd", false, false},
	{"data", "data:video/mp4;base64,AAAA", false, false},
	{"user", "https://user@example.com/", false, false},
	{"password", "https://user:password@example.com/", false, false},
	{"host disguised as user", "https://example.com@127.0.0.1/", false, false},
	{"fragment", "https://example.com/in.mp4#t=10", false, false},
	{"port 0", "https://example.com:0/", false, false},
	{"port too large", "https://example.com:65536/", false, false},
	{"port in words", "https://example.com:https/", false, false},
	{"space", "https://example.com/a b.mp4", false, false},
	{"line feed", "https://example.com/\nHost: evil", false, false},
	{"backslash", `https://example.com\@127.0.0.1/`, false, false},
	{"not ASCII", "https://example.com/vidéo.mp4", false, false},
	{"not UTF-8", "https://example.com/\xff", false, false},
	{"bad escape", "https://example.com/%zz", false, false},
	{"empty label", "https://example..com/", false, false},
	{"odd character in host", "https://exa$mple.com/", false, false},
	{"host too long", "https://" + strings.Repeat("a.", 130) + "com/", false, false},
	{"too long", "https://example.com/" + strings.Repeat("a", MaxURIBytes), false, false},
}

func TestCheckURI_AcceptsPublicHTTPSAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range uriCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := CheckURI(tt.uri, false); (err == nil) != tt.public {
				t.Errorf("CheckURI(%q, false) = %v, want accepted: %t", tt.uri, err, tt.public)
			}
			if err := CheckURI(tt.uri, true); (err == nil) != tt.private {
				t.Errorf("CheckURI(%q, true) = %v, want accepted: %t", tt.uri, err, tt.private)
			}
		})
	}
}

// Without allowPrivate the rule is that of sources. With it, http is for loopback addresses alone.
func TestCheckWebhookURI_TakesHTTPToLoopbackAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range uriCases {
		if err := CheckWebhookURI(tt.uri, false); (err == nil) != tt.public {
			t.Errorf("CheckWebhookURI(%q, false) = %v, want accepted: %t", tt.uri, err, tt.public)
		}
	}
	for uri, want := range map[string]bool{
		"https://10.1.2.3:8443/hook":     true,
		"http://127.0.0.1:3000/hook":     true,
		"http://127.1.2.3/hook":          true,
		"http://[::1]:3000/hook":         true,
		"http://[::ffff:127.0.0.1]/hook": true,
		"HTTP://LocalHost.:3000/hook":    true,
		"http://example.com/hook":        false,
		"http://10.1.2.3/hook":           false,
		"http://0.0.0.0/hook":            false,
		"http://[::]/hook":               false,
		"http://169.254.169.254/hook":    false,
		"http://[::ffff:10.1.2.3]/hook":  false,
		"http://127.0.0.1.example.com/":  false,
		"http://localhost.example.com/":  false,
		"http://u:p@127.0.0.1/hook":      false,
		"http://127.0.0.1/hook#part":     false,
		"ftp://127.0.0.1/hook":           false,
		"http://2130706433/hook":         false,
	} {
		if err := CheckWebhookURI(uri, true); (err == nil) != want {
			t.Errorf("CheckWebhookURI(%q, true) = %v, want accepted: %t", uri, err, want)
		}
	}
}

func TestCheckURI_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"http://example.com/":     "the URI must use https",
		"https://u:p@example.com": "the URI must not contain a user name or password",
		"https://localhost/x?s=1": "the host of the URI must be a public domain name",
		"https://10.0.0.1/x?s=1":  "the host of the URI must be a public address",
	} {
		if err := CheckURI(uri, false); err == nil || err.Error() != want {
			t.Errorf("CheckURI(%q) = %v, want %q", uri, err, want)
		}
	}
}

func FuzzCheckURI(f *testing.F) {
	for _, tt := range uriCases {
		f.Add(tt.uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if CheckURI(uri, false) != nil {
			return
		}
		if err := CheckURI(uri, true); err != nil {
			t.Errorf("%q is accepted, but with allowPrivate it is not: %v", uri, err)
		}
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" || u.User != nil {
			t.Fatalf("%q is accepted, but reads as %+v: %v", uri, u, err)
		}
		ip, err := netip.ParseAddr(strings.TrimSuffix(u.Hostname(), "."))
		if err == nil && (!ip.IsGlobalUnicast() || ip.IsPrivate()) {
			t.Errorf("%q is accepted, but leads to %s", uri, ip)
		}
	})
}
