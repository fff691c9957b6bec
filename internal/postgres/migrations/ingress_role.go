package migrations

import (
	"fmt"
	"regexp"
	"strings"
)

// roleName is a name that needs no quotes, so that it means the same wherever an operator writes it.
var roleName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// ingressRole creates the role of an ingress. It names neither the database nor the schema, which are those of the session.
//
// Names of tables and columns can be seen by every role. The column id needs no privilege for its sequence.
const ingressRole = `-- The database role of replicas that run with --roles=ingress. Run it as the owner of the tables, after ` + "`refract migrate`" + `:
--   refract migrate --print-ingress-role | psql "$DATABASE_URL"
-- Then set a password, with \password ROLE in psql, or use certificates. The URL of these replicas names this role.
BEGIN;
CREATE ROLE ROLE LOGIN NOINHERIT;
DO $grant$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO ROLE', current_database());
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO ROLE',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'callback_intake'::regclass));
END
$grant$;
-- It may append callbacks. It may not read them back, date them, or count them.
GRANT INSERT (attempt_id, account, sealed) ON callback_intake TO ROLE;
COMMIT;
`

// IngressRole returns the SQL that creates the database role of an ingress.
func IngressRole(name string) (string, error) {
	if !roleName.MatchString(name) {
		return "", fmt.Errorf("%q is not a name of lower-case letters, digits and underscores, at most 63", name)
	}
	return strings.NewReplacer("CREATE ROLE ROLE", "CREATE ROLE "+name, "TO ROLE", "TO "+name, `\password ROLE`, `\password `+name).Replace(ingressRole), nil
}
