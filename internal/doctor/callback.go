package doctor

import (
	"bytes"
	"cmp"
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/useragent"
)

// selfTestBytes is the size of the body of a self-test: that of a large callback.
const selfTestBytes = 32 << 10

// maxSelfTestAnswer bounds what is read of an answer, which may be a page of someone else's.
const maxSelfTestAnswer = 4 << 10

// callbackURL checks where the callback URL leads.
type callbackURL struct {
	Config

	db *database
}

// passage is what happened to a self-test.
type passage struct {
	err    error
	took   time.Duration
	status int
	body   string
	chain  []*x509.Certificate // Of the server; empty without TLS.
}

// examine posts a self-test to the callback URL, as a provider would post a callback.
func (c *callbackURL) examine(ctx context.Context) Report {
	checks := []check{{"callback URL", nil}, {"callback certificate", nil}}
	if c.CallbackURL == "" {
		return skipAll(checks, "not checked, without --callback-url")
	}
	tokens, keyErr := c.tokens(ctx)
	if tokens == nil {
		return skipAll(checks, "not checked: "+keyErr)
	}
	body := bytes.Repeat([]byte("callback "), selfTestBytes/len("callback "))
	token := tokens.NewSelfTest()
	var p passage
	reached := bounded(ctx, func(ctx context.Context) Result {
		p = c.post(ctx, token, body)
		result := tokens.CheckSelfTest(token, body, strings.TrimSpace(p.body))
		return c.judge(ctx, p, result, keyErr)
	})
	reached.Check = "callback URL"
	certificate := skip("not checked, since nothing was reached")
	switch {
	case len(p.chain) > 0:
		certificate = judgeCertificate(p.chain[0], time.Now())
	case p.err == nil && p.status != 0:
		certificate = warn("pass a https address", "callbacks come in the clear, for everyone on the way to read")
	}
	certificate.Check = "callback certificate"
	return Report{reached, certificate}
}

// tokens returns tokens under the keys of the installation. Where those are not known, the text says why, and the tokens are under
// a key of their own, or nil.
func (c *callbackURL) tokens(ctx context.Context) (tokens *callback.Tokens, unknown string) {
	keys := c.CallbackKeys
	if len(keys) == 0 {
		key, err := c.db.key(ctx)
		switch {
		case err != nil:
			unknown = "the key of callback URLs is in the database, which could not be read"
		case key == nil:
			unknown = "the service has never run with this database, so there is no key to recognize it by"
		}
		if key == nil {
			key = []byte(crand.Text() + crand.Text())
		}
		keys = append(keys, key)
	}
	tokens, err := callback.NewTokens(keys...)
	if err != nil {
		return nil, err.Error()
	}
	return tokens, unknown
}

// post posts a self-test and returns what came back. It follows no redirect, as providers do not.
func (c *callbackURL) post(ctx context.Context, token string, body []byte) (p passage) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{}).DialContext, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	target := strings.TrimSuffix(c.CallbackURL, "/") + "/v1/callbacks/self-test/" + token
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return passage{err: errors.New("it is not a URL")}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", useragent.Text)
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return passage{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxSelfTestAnswer))
	p = passage{err: err, took: time.Since(began), status: resp.StatusCode, body: string(text)}
	if resp.TLS != nil {
		p.chain = resp.TLS.PeerCertificates
	}
	return p
}

// judge says where a self-test arrived.
func (c *callbackURL) judge(ctx context.Context, p passage, result callback.SelfTestResult, unknown string) Result {
	shown := redact.URL(c.CallbackURL)
	const toIngress = "let it lead to --ingress-address of this installation"
	if p.err != nil {
		return c.unreached(shown, p.err)
	}
	switch {
	case result == callback.SelfTestPassed:
		if private := c.privateAddress(ctx); private != "" {
			return warn("see that the name has a public address elsewhere", "%s reaches this installation, but by %s, which no provider can reach", shown, private)
		}
		return ok("%s reaches this installation, within %v", shown, rounded(p.took))
	case result == callback.SelfTestAltered:
		return fail("find what changes or cuts bodies on the way: a proxy, or a firewall", "%s reaches this installation, but not with the body that was sent", shown)
	case p.status >= 300 && p.status <= 399:
		return fail("pass the address that it redirects to", "%s answers with a redirect (%d), which providers do not follow", shown, p.status)
	case p.status == http.StatusBadGateway || p.status == http.StatusServiceUnavailable || p.status == http.StatusGatewayTimeout:
		return fail("start the service, and let the proxy lead to its --ingress-address", "%s leads to a proxy that reaches no service (%d)", shown, p.status)
	case unknown != "":
		return skip("%s answers (%d); whether it leads here was not checked: %s", shown, p.status, unknown)
	case strings.Contains(p.body, "CALLBACK_TOKEN_INVALID"):
		return fail(toIngress+", give all replicas the same --callback-key, and the same release", "%s leads to a Refract with another key, or of an earlier release", shown)
	default:
		return fail(toIngress, "%s leads elsewhere: it answers %d, and not as this installation does", shown, p.status)
	}
}

// unreached says why a self-test arrived nowhere.
func (*callbackURL) unreached(shown string, err error) Result {
	var invalid *tls.CertificateVerificationError
	if errors.As(err, &invalid) {
		return fail("install a certificate that is valid for this name, with its intermediate certificates", "%s has a certificate that providers refuse: %v", shown, invalid.Err)
	}
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
		return fail("add the name to the DNS, or correct --callback-url", "%s has a name that does not exist", shown)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok { // It quotes the URL.
		err = wrapped.Err
	}
	return fail("start the service, let its ingress listener be reached from outside, and from here for this test",
		"%s can't be reached from here: %s", shown, cmp.Or(plain.Network(err), err.Error()))
}

// privateAddress returns an address of the callback URL that is not public; empty where all are, or where that is allowed.
func (c *callbackURL) privateAddress(ctx context.Context) string {
	u, err := url.Parse(c.CallbackURL)
	if err != nil || c.AllowPrivate {
		return ""
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return ""
	}
	for _, a := range addresses {
		if a = a.Unmap(); a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
			return a.String()
		}
	}
	return ""
}
