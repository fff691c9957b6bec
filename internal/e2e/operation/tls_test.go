package operation_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/e2e/e2etest"
	"github.com/refract-video/refract/internal/server"
)

// TestServe_SpeaksTLSAndAsksForClientCertificates lists tasks through the command line, with and without the client
// certificate that the service requires.
func TestServe_SpeaksTLSAndAsksForClientCertificates(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t)
	ts := e2etest.Start(t, func(f *server.Config, _ *e2etest.SimConfig) {
		f.GRPC.TLSCert, f.GRPC.TLSKey, f.GRPCClientCA = cert, key, cert
		f.HTTP.TLSCert, f.HTTP.TLSKey = cert, key
	})
	list := func(extra ...string) (int, string) {
		status, _, errs := e2etest.Run(t, append([]string{"list", "--address=" + ts.GRPCAddr(), "--token=" + ts.Token}, extra...)...)
		return status, errs
	}
	if status, errs := list("--ca="+cert, "--cert="+cert, "--key="+key); status != 0 {
		t.Errorf("with a certificate: %s", errs)
	}
	if status, _ := list("--ca=" + cert); status == 0 {
		t.Error("without a certificate the service answered")
	}
	if status, _ := list(); status == 0 {
		t.Error("in the clear the service answered")
	}
}

// selfSigned writes a self-signed certificate for loopback, and its key.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "refract"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
