package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/refract-video/refract/internal/useragent"
)

const (
	// keyReload is how often the keys of an issuer are read. A key that the issuer has withdrawn works for so long.
	keyReload = 5 * time.Minute
	// keyRetry is the time after which a read that failed is repeated.
	keyRetry = 10 * time.Second
	// keyGap is the least time between two reads, however many unknown keys come.
	keyGap = 2 * time.Second
	// keyReloadTime bounds one read, which makes two requests.
	keyReloadTime = 10 * time.Second
	// keyTrust is how long keys work while the issuer is out of reach.
	keyTrust = time.Hour
	// keyWait is how long a call with an unknown key waits for a read.
	keyWait = 15 * time.Second
	// maxKeys is the maximum number of keys of an issuer. A JWT without a key id is verified with each of them.
	maxKeys = 64
	// maxIssuerBody bounds each answer of an issuer, in bytes.
	maxIssuerBody = 1 << 20
)

// algorithms are the signatures that JWTs may have. With a symmetric one, a verifier can sign.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// issuer verifies the JWTs of an issuer. It reads the issuer's keys in the background.
type issuer struct {
	url    string
	client *http.Client
	log    *slog.Logger
	reads  *refresh

	mu      sync.Mutex
	keys    keySet
	read    time.Time // When the read began that found the keys; zero before the first.
	failing bool      // Whether the last read failed.
}

// ReadIssuer reads the keys of an issuer once, and returns how many of them verify JWTs. The client is one of NewIssuerClient.
func ReadIssuer(ctx context.Context, client *http.Client, issuerURL string) (keys int, err error) {
	read, err := (&issuer{url: issuerURL, client: client}).fetch(ctx)
	if err != nil {
		return 0, errors.New(brief(err))
	}
	return len(read), nil
}

func newIssuer(issuerURL string, client *http.Client, log *slog.Logger) *issuer {
	i := &issuer{url: issuerURL, client: client, log: log}
	i.reads = newRefresh(timing{read: i.reload, interval: keyReload, retry: keyRetry, gap: keyGap, timeout: keyReloadTime, patience: keyWait})
	return i
}

// verify returns the verified JWT of the issuer, and when the keys were read that verified it. The errors are ErrInvalid, ErrIssuer, ErrQueue and that of ctx. It checks neither
// the audience nor the times.
func (i *issuer) verify(ctx context.Context, token, keyID string) (*oidc.IDToken, time.Time, error) {
	keys, read, ok := i.find(keyID)
	if !ok {
		switch err := i.reads.await(ctx); {
		case err == nil:
		case errors.Is(err, ErrQueue), ctx.Err() != nil:
			return nil, read, err
		default:
			return nil, read, ErrIssuer
		}
		if keys, read, ok = i.find(keyID); !ok {
			return nil, read, ErrInvalid
		}
	}
	names := make([]string, len(algorithms))
	for n, a := range algorithms {
		names[n] = string(a)
	}
	verified, err := oidc.NewVerifier(i.url, keys, &oidc.Config{SkipClientIDCheck: true, SkipExpiryCheck: true, SupportedSigningAlgs: names}).Verify(ctx, token)
	if err != nil {
		return nil, read, ErrInvalid
	}
	return verified, read, nil
}

// find returns the keys that may have signed a JWT, and when they were read. It returns false where a read has to show whether there is one.
func (i *issuer) find(keyID string) (keySet, time.Time, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.read) > keyTrust {
		return nil, i.read, false
	}
	keys := i.keys.named(keyID)
	return keys, i.read, len(keys) > 0
}

// reload makes one read. It logs when reads begin to fail, and when they succeed again.
func (i *issuer) reload(ctx context.Context) error {
	began := time.Now()
	keys, err := i.fetch(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	was := i.failing
	i.failing = err != nil && !errors.Is(ctx.Err(), context.Canceled)
	switch {
	case i.failing && !was:
		i.log.WarnContext(ctx, "the keys of an OIDC issuer can't be read; its JWTs work with the known keys for a limited time",
			"issuer", i.url, "known_keys", len(i.keys), "known_for", keyTrust, "error", brief(err))
	case err == nil && was:
		i.log.InfoContext(ctx, "the keys of an OIDC issuer can be read again", "issuer", i.url, "keys", len(keys))
	}
	if err == nil {
		i.keys, i.read = keys, began
	}
	return err
}

// fetch asks the issuer where its keys are, and for its keys.
func (i *issuer) fetch(ctx context.Context) (keySet, error) {
	discovered, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.url)
	if err != nil {
		return nil, fmt.Errorf("discover the issuer: %w", err)
	}
	var metadata struct {
		JWKSURI string `json:"jwks_uri"`
	}
	if err := discovered.Claims(&metadata); err != nil || metadata.JWKSURI == "" {
		return nil, errors.New("the issuer names no jwks_uri")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metadata.JWKSURI, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the keys: the issuer answered %d", resp.StatusCode)
	}
	return parseKeys(body)
}

// keySet are keys of an issuer. It implements oidc.KeySet.
type keySet []jose.JSONWebKey

// parseKeys returns the keys of a key set that verify signatures. It passes over keys of other kinds, which RFC 7517 asks for.
func parseKeys(body []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("read the keys: the answer is no key set")
	}
	var keys keySet
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || !key.Valid() || !key.IsPublic() || key.Use != "" && key.Use != "sig" {
			continue
		}
		if keys = append(keys, key); len(keys) == maxKeys {
			break
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("read the keys: the key set has no public key for signatures")
	}
	return keys, nil
}

// named returns the keys of an id, or all for an empty one.
func (s keySet) named(id string) keySet {
	if id == "" {
		return s
	}
	var named keySet
	for _, key := range s {
		if key.KeyID == id {
			named = append(named, key)
		}
	}
	return named
}

// VerifySignature implements oidc.KeySet.
func (s keySet) VerifySignature(_ context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, err
	}
	for _, key := range s {
		if key.Algorithm != "" && key.Algorithm != jws.Signatures[0].Header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the issuer made the signature")
}

// brief returns an error whose text is short: that of package oidc quotes answers.
func brief(err error) string {
	const limit = 256
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), limit)], "\uFFFD")
}

// NewIssuerClient returns a client for requests to issuers, over https alone. Over http it reaches loopback addresses, where that is
// permitted. Answers are bounded.
func NewIssuerClient(base *http.Transport, httpOnLoopback bool) *http.Client {
	return &http.Client{Transport: &issuerTransport{base: base, httpOnLoopback: httpOnLoopback}, Timeout: keyReloadTime / 2}
}

type issuerTransport struct {
	base           *http.Transport
	httpOnLoopback bool
}

// RoundTrip refuses what checkIssuerURL refuses, also after a redirect and in a discovery document.
func (t *issuerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := checkIssuerURL(r.URL, t.httpOnLoopback); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", useragent.Text)
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxIssuerBody)
	return resp, nil
}

// CloseIdleConnections lets http.Client close the connections of base.
func (t *issuerTransport) CloseIdleConnections() { t.base.CloseIdleConnections() }

func checkIssuerURL(u *url.URL, httpOnLoopback bool) error {
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && httpOnLoopback && loopback) {
		return nil
	}
	return errors.New("an issuer is reached over https alone")
}
