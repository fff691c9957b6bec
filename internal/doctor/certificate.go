package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"
)

// renewBefore is how long before its end a certificate should have been replaced. Short-lived ones should be within the last third of
// their life.
const renewBefore = 14 * 24 * time.Hour

// certificates reports on the certificate files of listeners.
func certificates(files []Certificate, now time.Time) Report {
	var report Report
	for _, f := range files {
		r := judgeFile(f.File, now)
		r.Check = "certificate " + f.Listener
		report = append(report, r)
	}
	return report
}

func judgeFile(file string, now time.Time) Result {
	text, err := os.ReadFile(file)
	if err != nil {
		return fail("let the service read the file", "%v", err)
	}
	block, _ := pem.Decode(text)
	for rest := text; block != nil && block.Type != "CERTIFICATE"; {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return fail("let the file hold the certificate in PEM", "%s holds no certificate", file)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fail("let the file hold the certificate in PEM", "%s: %v", file, err)
	}
	return judgeCertificate(leaf, now)
}

// judgeCertificate says how long a certificate is valid.
func judgeCertificate(c *x509.Certificate, now time.Time) Result {
	const action = "renew it, and see that the renewal is automatic"
	left, life := c.NotAfter.Sub(now), c.NotAfter.Sub(c.NotBefore)
	until := c.NotAfter.UTC().Format(time.DateOnly)
	days := int(left / (24 * time.Hour))
	switch {
	case now.Before(c.NotBefore):
		return fail("correct the clock of this machine, or use another certificate", "not valid before %s", c.NotBefore.UTC().Format(time.DateTime))
	case left <= 0:
		return fail(action, "expired on %s", until)
	case left < min(renewBefore, life/3):
		return warn(action, "expires in %d days, on %s", days, until)
	default:
		return ok("valid for %d more days, until %s", days, until)
	}
}
