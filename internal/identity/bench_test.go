package identity

import (
	"crypto"
	"log/slog"
	"net/http"
	"testing"
)

// BenchmarkJWTs_Authenticate measures a call with a JWT of an elliptic curve: one that is verified, and one that was verified before.
func BenchmarkJWTs_Authenticate(b *testing.B) {
	key, good := newKey(b, "known")
	j, err := NewJWTs(JWTConfig{
		Issuers: []string{testIssuer}, Audiences: []string{"refract"}, TenantClaim: "tenant",
		Client: &http.Client{Transport: &idp{keys: map[string]crypto.Signer{"known": key}}}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := j.issuers[testIssuer].reads.once(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, kept := range []bool{false, true} {
		b.Run(map[bool]string{false: "verified", true: "known"}[kept], func(b *testing.B) {
			for b.Loop() {
				if !kept {
					j.verified.tokens = nil
				}
				if _, err := j.Authenticate(b.Context(), good); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
