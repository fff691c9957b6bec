package postgrestest

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
	"github.com/peterldowns/pgtestdb"
)

// cheapenPasswords gives the roles of the private server SCRAM secrets that were hashed once instead of 4,096 times.
// Every connection repeats that hashing on both sides, and under the race detector it took a third of the processor
// time of the tests that run whole services. The protocol stays the same.
func cheapenPasswords(ctx context.Context, databaseURL string) (err error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return errors.New("the server's URL can't be parsed") // The error would print its password.
	}
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	password, _ := u.User.Password()
	own, err := scramSecret(password)
	if err != nil {
		return err
	}
	// pgtestdb creates the role of the databases, unless it exists.
	role := pgtestdb.DefaultRole()
	its, err := scramSecret(role.Password)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'; CREATE ROLE %s LOGIN PASSWORD '%s' %s",
		pgx.Identifier{u.User.Username()}.Sanitize(), own, pgx.Identifier{role.Username}.Sanitize(), its, role.Capabilities))
	return err
}

// scramSecret returns what PostgreSQL stores of a password, hashed by one iteration (RFC 5802, section 3).
func scramSecret(password string) (string, error) {
	const iterations = 1
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // It never fails: a system without randomness ends the process.
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(mac("Server Key"))), nil
}
