package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/refract-video/refract/internal/connlimit"
)

// Listener has the settings of one listener.
type Listener struct {
	Address string `name:"address" env:"ADDRESS" help:"Address to listen on." json:"address"`
	TLSCert string `name:"tls-cert" env:"TLS_CERT" type:"existingfile" help:"Certificate file; it enables TLS." json:"tls_cert"`
	TLSKey  string `name:"tls-key" env:"TLS_KEY" type:"existingfile" help:"Key file of the certificate." json:"tls_key"`
}

// listeners has the network listeners of the replica.
type listeners struct {
	grpc, http, ingress net.Listener
}

// listen opens the listeners. It is called after the slow steps of the start. Until then, the system refuses connections, and
// clients try again. With open listeners they would connect and wait for an answer.
func listen(f Config) (_ *listeners, err error) {
	internal, public := connections(openFiles())
	l := &listeners{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	// gRPC does not report which of its connections are in use.
	if l.grpc, err = f.GRPC.listen(f.GRPCClientCA, func(l net.Listener) net.Listener { return connlimit.NewBusy(l, internal) }); err != nil {
		return nil, err
	}
	if l.http, err = f.HTTP.listen("", func(l net.Listener) net.Listener { return connlimit.New(l, internal) }); err != nil {
		return nil, err
	}
	if l.ingress, err = f.Ingress.listen("", func(l net.Listener) net.Listener { return connlimit.New(l, public) }); err != nil {
		return nil, err
	}
	return l, nil
}

// close closes the listeners that no server has closed yet.
func (l *listeners) close() {
	for _, lis := range []net.Listener{l.grpc, l.http, l.ingress} {
		if lis != nil {
			_ = lis.Close()
		}
	}
}

// checkListeners returns an error if the service can't listen on an address, or can't use a certificate.
func (f *Config) checkListeners() error {
	for _, l := range []struct {
		Listener
		clientCA string
	}{{f.GRPC, f.GRPCClientCA}, {f.HTTP, ""}, {f.Ingress, ""}} {
		if _, err := l.tls(l.clientCA); err != nil {
			return err
		}
		lis, err := net.Listen("tcp", l.Address) //nolint:noctx // Listening on an address of this machine does not wait.
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		defer func() { _ = lis.Close() }() // At the end of the function, so that two listeners with the same address conflict.
	}
	return nil
}

// listen opens the listener, within a limit of connections, and with TLS where a certificate is set.
func (f Listener) listen(clientCA string, limited func(net.Listener) net.Listener) (net.Listener, error) {
	config, err := f.tls(clientCA)
	if err != nil {
		return nil, err
	}
	lis, err := net.Listen("tcp", f.Address) //nolint:noctx // Listening on an address of this machine does not wait.
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	lis = limited(lis)
	if config != nil {
		lis = tls.NewListener(lis, config)
	}
	return lis, nil
}

func (f Listener) tls(clientCA string) (*tls.Config, error) {
	if f.TLSCert == "" && f.TLSKey == "" {
		if clientCA != "" {
			return nil, errors.New("--grpc-client-ca needs --grpc-tls-cert and --grpc-tls-key")
		}
		return nil, nil //nolint:nilnil // Without a certificate there is no configuration.
	}
	cert, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("load the certificate of %s: %w", f.Address, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if clientCA != "" {
		pem, err := os.ReadFile(clientCA)
		if err != nil {
			return nil, fmt.Errorf("read --grpc-client-ca: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--grpc-client-ca=%s holds no PEM certificate", clientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// scheme returns the scheme of URLs to the listener.
func (f Listener) scheme() string {
	if f.TLSCert != "" {
		return "https"
	}
	return "http"
}

// maxPublicConnections is the maximum number of connections to the public listener. Each one takes about 30 KiB. Providers use
// a few dozen.
const maxPublicConnections = 2048

// connections returns the maximum number of connections of each of the two internal listeners, and of the public one. Each of
// the three may use a quarter of the files that the process may open. The last quarter is for the database, the bucket and
// providers.
func connections(files uint64) (internal, public int) {
	quarter := int(min(files, 1<<20) / 4)
	internal = max(quarter, 16)
	return internal, min(internal, maxPublicConnections)
}
