package media

import (
	"errors"
	"testing"
)

func TestParseAllowed_RefusesWhatIsNeitherHostNorNetwork(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"", "*", "https://minio.internal", "minio:9000", "10.0.0.0/33", "10.0.0", "0x7f000001", "a b", "fe80::1%eth0", "::1/x"} {
		if a, err := ParseAllowed([]string{entry}); err == nil {
			t.Errorf("%q was accepted as %+v", entry, a)
		}
	}
}

func TestGuard_AllowsWhatIsListedAndNothingBeside(t *testing.T) {
	t.Parallel()
	allowed, err := ParseAllowed([]string{"Minio.Internal.", "10.1.0.0/16", "192.168.7.7", "fd00:1::/32"})
	if err != nil {
		t.Fatal(err)
	}
	g := Guard{Allow: allowed}
	for address, want := range map[string]bool{
		"10.1.2.3:9000": true, "[::ffff:10.1.2.3]:80": true, "192.168.7.7:443": true, "[fd00:1::5]:8443": true,
		"10.2.0.1:443": false, "192.168.7.8:443": false, "[fd00:2::5]:443": false, "127.0.0.1:9000": false,
		"[fd00:1::5%eth0]:443": false, "8.8.8.8:443": true, "8.8.8.8:9000": false, "nonsense": false,
	} {
		network := "tcp4"
		if address[0] == '[' {
			network = "tcp6"
		}
		err := g.control(network, address, nil)
		if (err == nil) != want || err != nil && !errors.Is(err, ErrBlocked) {
			t.Errorf("connecting to %s gives %v, want it allowed: %t", address, err, want)
		}
	}
	for host, want := range map[string]bool{
		"minio.internal": true, "MINIO.internal.": true, "10.1.2.3": true, "sub.minio.internal": false, "internal": false, "10.2.0.1": false, "evil-minio.internal": false,
	} {
		if got := g.Allow.host(host); got != want {
			t.Errorf("host %s is allowed: %t, want %t", host, got, want)
		}
	}
}
