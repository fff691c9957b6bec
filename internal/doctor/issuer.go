package doctor

import (
	"context"
	"net/http"

	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/redact"
)

// issuerChecks returns a check for each OIDC issuer, which reads its keys.
func issuerChecks(issuers []string, client *http.Client) []check {
	var checks []check
	for _, issuer := range issuers {
		shown := redact.URL(issuer)
		checks = append(checks, check{"OIDC issuer", func(ctx context.Context) Result {
			defer client.CloseIdleConnections()
			keys, err := identity.ReadIssuer(ctx, client, issuer)
			if err != nil {
				return fail("let this machine reach the issuer, or correct --oidc-issuer; until then callers with its JWTs get UNAVAILABLE",
					"%s: %v", shown, err)
			}
			return ok("%s answers; %d of its keys can verify JWTs", shown, keys)
		}})
	}
	return checks
}
