package media

import (
	"fmt"
	"net/netip"
	"strings"
)

// Allowed are the hosts and networks that may be fetched from though they are not public, on any port, and over plain
// http where a link names them. The zero value allows none.
type Allowed struct {
	hosts    map[string]bool
	prefixes []netip.Prefix
}

// ParseAllowed reads a list of host names, addresses and networks such as 10.1.0.0/16. A host name matches only
// itself, and no name below it. A network counts for names that resolve into it.
func ParseAllowed(entries []string) (Allowed, error) {
	a := Allowed{hosts: map[string]bool{}}
	for _, entry := range entries {
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			a.prefixes = append(a.prefixes, prefix.Masked())
			continue
		}
		if ip, err := netip.ParseAddr(entry); err == nil && ip.Zone() == "" {
			a.prefixes = append(a.prefixes, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
			continue
		}
		host := strings.ToLower(strings.TrimSuffix(entry, "."))
		if !hostName.MatchString(host) || endsInNumber(host) {
			return Allowed{}, fmt.Errorf("%q is no host name, address or network", entry)
		}
		a.hosts[host] = true
	}
	return a, nil
}

// host reports whether the host of a link, a name or an address, is on the list.
func (a Allowed) host(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return a.addr(ip)
	}
	return a.hosts[strings.ToLower(strings.TrimSuffix(host, "."))]
}

// addr reports whether an address is on the list.
func (a Allowed) addr(ip netip.Addr) bool {
	for _, p := range a.prefixes {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
