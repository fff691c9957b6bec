package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/refract-video/refract/internal/loop"
)

const (
	// tlsReload is how often the files of a listener are read.
	tlsReload = 5 * time.Second
	// expiryWarning is how long before its end a certificate is warned about, once in expiryInterval.
	expiryWarning  = 14 * 24 * time.Hour
	expiryInterval = 24 * time.Hour
)

// clientCerts is what a listener does about client certificates.
type clientCerts int

const (
	noClientCerts       clientCerts = iota
	optionalClientCerts             // A certificate that is shown must be valid.
	requiredClientCerts
)

// tlsFiles are the certificate, the key and the client CA of a listener. They are read again every few seconds, so that new ones apply
// to new connections without a restart. Broken files change nothing.
type tlsFiles struct {
	name                string // Of the listener: grpc, http or ingress.
	cert, key, clientCA string
	clients             clientCerts
	log                 *slog.Logger

	current atomic.Pointer[loadedTLS]
	broken  []byte    // The checksum of the files of the last read, if they were broken.
	logged  bool      // Whether that was logged.
	warned  time.Time // When the log last said that the certificate expires soon.
}

// loadedTLS is what the files had when they were last read and not broken.
type loadedTLS struct {
	sum    []byte
	config *tls.Config
	expire time.Time
}

// load reads the files for the first time.
func (f *tlsFiles) load() error {
	loaded, _, err := f.read()
	if err != nil {
		return err
	}
	f.current.Store(loaded)
	return nil
}

// config returns a configuration that uses the files as they were last read.
func (f *tlsFiles) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: f.current.Load().config.NextProtos,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current.Load().config, nil },
	}
}

// read reads the files. It returns their checksum, even if they are broken.
func (f *tlsFiles) read() (loaded *loadedTLS, sum []byte, err error) {
	var contents [3][]byte
	hash := sha256.New()
	for i, name := range []string{f.cert, f.key, f.clientCA} {
		if name == "" {
			continue
		}
		if contents[i], err = os.ReadFile(name); err != nil {
			return nil, nil, fmt.Errorf("read the TLS files of the %s listener: %w", f.name, err)
		}
		part := sha256.Sum256(contents[i])
		_, _ = hash.Write(part[:]) // It never fails.
	}
	sum = hash.Sum(nil)
	cert, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, sum, fmt.Errorf("load the certificate of the %s listener: %w", f.name, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if f.clientCA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return nil, sum, fmt.Errorf("--%s-client-ca=%s holds no PEM certificate", f.name, f.clientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if f.clients == optionalClientCerts {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
		config.SessionTicketsDisabled = true // A resumed session would not be verified against a new client CA.
	}
	return &loadedTLS{sum: sum, config: config, expire: cert.Leaf.NotAfter}, sum, nil
}

// run reads the files again until ctx ends.
func (f *tlsFiles) run(ctx context.Context) error { return loop.Every(ctx, tlsReload, f.reload) }

// reload reads the files again. Files that are replaced one by one, or by a link to another folder, do not fit for a moment. So what is
// broken is logged when the next read finds it unchanged, once.
func (f *tlsFiles) reload(ctx context.Context) {
	defer f.warn(ctx)
	loaded, sum, err := f.read()
	switch {
	case err == nil && bytes.Equal(sum, f.current.Load().sum):
		f.broken, f.logged = nil, false
	case err == nil:
		f.current.Store(loaded)
		f.broken, f.logged = nil, false
		f.log.InfoContext(ctx, "TLS files changed; new connections use them", "listener", f.name, "expire_time", loaded.expire)
	case f.broken == nil || !bytes.Equal(f.broken, sum):
		f.broken, f.logged = append([]byte{}, sum...), false // Not nil, also where a file could not be read.
	case !f.logged:
		f.logged = true
		f.log.ErrorContext(ctx, "TLS files changed and can't be used; new connections use the ones before", "listener", f.name, "error", err)
	}
}

// warn warns about a certificate that expires soon.
func (f *tlsFiles) warn(ctx context.Context) {
	expire := f.current.Load().expire
	if left := time.Until(expire); left < expiryWarning && time.Since(f.warned) >= expiryInterval {
		f.warned = time.Now()
		f.log.WarnContext(ctx, "a TLS certificate expires soon, or has expired; replace its files", "listener", f.name, "file", f.cert, "expire_time", expire)
	}
}

// tls returns the loaded files of a listener, or nil for one without TLS.
func (l Listener) tls(name, clientCA string, clients clientCerts, log *slog.Logger) (*tlsFiles, error) {
	if l.TLSCert == "" && l.TLSKey == "" {
		if clientCA != "" {
			return nil, fmt.Errorf("--%[1]s-client-ca needs --%[1]s-tls-cert and --%[1]s-tls-key", name)
		}
		return nil, nil //nolint:nilnil // Without a certificate there are no files.
	}
	if l.TLSCert == "" || l.TLSKey == "" {
		return nil, errors.New("--" + name + "-tls-cert and --" + name + "-tls-key need each other")
	}
	if clientCA == "" {
		clients = noClientCerts
	}
	f := &tlsFiles{name: name, cert: l.TLSCert, key: l.TLSKey, clientCA: clientCA, clients: clients, log: log}
	return f, f.load()
}

// observeCertificates makes the ends of the certificates a metric.
func observeCertificates(meter metric.Meter, files []*tlsFiles) error {
	_, err := meter.Int64ObservableGauge("refract_tls_certificate_expiry_timestamp", metric.WithUnit("s"),
		metric.WithDescription("When the certificate of a listener expires, in seconds since 1970, by listener."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, f := range files {
				o.Observe(f.current.Load().expire.Unix(), metric.WithAttributes(attribute.String("listener", f.name)))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("make the metric of certificates: %w", err)
	}
	return nil
}
