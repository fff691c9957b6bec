package dbpool_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/refract-video/refract/internal/postgres/dbpool"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
	"github.com/refract-video/refract/internal/postgres/replica"
	"github.com/refract-video/refract/internal/task"
)

// certificate returns a certificate of a server at 127.0.0.1 that vouches for itself, and its key, in PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "postgres"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", secret)
}

// TestOpen_VerifiesTheServersCertificate connects with sslmode=verify-full. All connections must be encrypted, also the one that
// listens, and a server of another name or of an unknown authority must be refused before it gets the password.
func TestOpen_VerifiesTheServersCertificate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cluster, _ := startCluster(t, "")
	admin, err := pgx.Connect(ctx, cluster.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.WithoutCancel(ctx)) }()
	cert, key := certificate(t)
	var data string
	if err := admin.QueryRow(ctx, "SELECT current_setting('data_directory')").Scan(&data); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"server.crt": cert, "server.key": key} {
		// The server writes them itself, so that they belong to its user. It takes no key that others may read.
		path := filepath.Join(data, name)
		run(t, admin, "COPY (SELECT unnest(string_to_array('"+strings.TrimSpace(text)+"', E'\\n'))) TO '"+path+"'")
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, admin, "ALTER SYSTEM SET ssl = on")
	run(t, admin, "SELECT pg_reload_conf()")
	root := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(root, []byte(cert), 0o600); err != nil {
		t.Fatal(err)
	}
	address := func(host, rootcert string) string {
		u, err := url.Parse(cluster.URL())
		if err != nil {
			t.Fatal("the URL of the database can't be parsed")
		}
		u.Host = net.JoinHostPort(host, u.Port())
		u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {rootcert}}.Encode()
		return u.String()
	}
	postgrestest.Until(t, func() bool { // The server reloads its configuration in its own time.
		conn, err := pgx.Connect(ctx, address("127.0.0.1", root))
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err == nil
	})

	pool := openPool(t, address("127.0.0.1", root))
	listening := make(chan struct{}, 10)
	listener := replica.Listener{Pool: pool, Log: slog.New(slog.DiscardHandler), Replica: "r", Wake: func(...task.ID) {}, WakeAll: func() { listening <- struct{}{} }}
	postgrestest.Background(t, listener.Run)
	<-listening
	const encrypted = `
SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'refract'`
	var ssl, all int
	if err := admin.QueryRow(ctx, encrypted).Scan(&ssl, &all); err != nil {
		t.Fatal(err)
	}
	if all < 2 || ssl != all {
		t.Errorf("%d of %d connections are encrypted, want all, the listener's among them", ssl, all)
	}

	other, _ := certificate(t)
	stranger := filepath.Join(t.TempDir(), "other.crt")
	if err := os.WriteFile(stranger, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, databaseURL := range map[string]string{"another name": address("localhost", root), "an unknown authority": address("127.0.0.1", stranger)} {
		pool, err := dbpool.Open(ctx, databaseURL)
		if err == nil {
			pool.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("a server of %s: %v, want its certificate to be refused", name, err)
		}
	}
}
