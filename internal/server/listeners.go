package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/refract-video/refract/internal/connlimit"
)

// Listener has the settings of one listener.
type Listener struct {
	Address string `name:"address" env:"ADDRESS" help:"Address to listen on." json:"address"`
	TLSCert string `name:"tls-cert" env:"TLS_CERT" type:"existingfile" help:"Certificate file; it enables TLS." json:"tls_cert"`
	TLSKey  string `name:"tls-key" env:"TLS_KEY" type:"existingfile" help:"Key file of the certificate." json:"tls_key"`
}

// listeners has the network listeners of the replica. Those that its roles do not have are nil.
type listeners struct {
	grpc, http, ingress net.Listener
	grpcTLS             *tls.Config // Nil without TLS, of which gRPC makes the handshakes itself, so that it knows the certificates of callers.
	files               []*tlsFiles // Of those with TLS.
}

// listen opens the listeners. It is called after the slow steps of the start. Until then, the system refuses connections, and
// clients try again. With open listeners they would connect and wait for an answer.
func listen(f Config, log *slog.Logger) (_ *listeners, err error) {
	internal, public := connections(openFiles())
	l := &listeners{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	files, err := f.tlsFiles(log)
	if err != nil {
		return nil, err
	}
	// gRPC does not report which of its connections are in use.
	if f.has(roleAPI) {
		if l.grpc, err = f.GRPC.listen(nil, func(l net.Listener) net.Listener { return connlimit.NewBusy(l, internal) }); err != nil {
			return nil, err
		}
	}
	if l.http, err = f.HTTP.listen(files[1], func(l net.Listener) net.Listener { return connlimit.New(l, internal) }); err != nil {
		return nil, err
	}
	if f.has(roleIngress) {
		if l.ingress, err = f.Ingress.listen(files[2], func(l net.Listener) net.Listener { return connlimit.New(l, public) }); err != nil {
			return nil, err
		}
	}
	if files[0] != nil {
		l.grpcTLS = files[0].config()
	}
	l.files = slices.DeleteFunc(files[:], func(f *tlsFiles) bool { return f == nil })
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

// tlsFiles returns the TLS files of the listeners for gRPC, REST and providers; nil for those without TLS.
func (f *Config) tlsFiles(log *slog.Logger) (files [3]*tlsFiles, err error) {
	for i, l := range []struct {
		Listener
		name, clientCA string
	}{{f.GRPC, "grpc", f.GRPCClientCA}, {f.HTTP, "http", f.HTTPClientCA}, {f.Ingress, "ingress", ""}} {
		if files[i], err = l.tls(l.name, l.clientCA, f.clientCerts(), log); err != nil {
			return files, err
		}
	}
	return files, nil
}

// checkListeners returns an error if the service can't listen on an address, or can't use a certificate.
func (f *Config) checkListeners() error {
	if _, err := f.tlsFiles(nil); err != nil {
		return err
	}
	for _, l := range []struct {
		Listener
		used bool
	}{{f.GRPC, f.has(roleAPI)}, {f.HTTP, true}, {f.Ingress, f.has(roleIngress)}} {
		if !l.used {
			continue
		}
		lis, err := net.Listen("tcp", l.Address) //nolint:noctx // Listening on an address of this machine does not wait.
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		defer func() { _ = lis.Close() }() // At the end of the function, so that two listeners with the same address conflict.
	}
	return nil
}

// listen opens the listener, within a limit of connections, and with TLS where there are files.
func (l Listener) listen(files *tlsFiles, limited func(net.Listener) net.Listener) (net.Listener, error) {
	lis, err := net.Listen("tcp", l.Address) //nolint:noctx // Listening on an address of this machine does not wait.
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	lis = limited(lis)
	if files != nil {
		lis = tls.NewListener(lis, files.config())
	}
	return lis, nil
}

// scheme returns the scheme of URLs to the listener.
func (l Listener) scheme() string {
	if l.TLSCert != "" {
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
