package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/redact"
)

// clientFlags are the settings of every command that calls the service.
type clientFlags struct {
	Address      string        `name:"address" env:"REFRACT_ADDRESS" default:"127.0.0.1:9090" help:"gRPC address of the service."`
	Token        redact.Secret `name:"token" env:"REFRACT_TOKEN" help:"API token."`
	TLS          bool          `name:"tls" env:"REFRACT_TLS" help:"Use TLS."`
	CA           string        `name:"ca" env:"REFRACT_CA" type:"existingfile" placeholder:"FILE" help:"CA certificate of the service; implies --tls."`
	Cert         string        `name:"cert" env:"REFRACT_CERT" type:"existingfile" placeholder:"FILE" help:"Certificate to show to a service that requires one; implies --tls."`
	Key          string        `name:"key" env:"REFRACT_KEY" type:"existingfile" placeholder:"FILE" help:"Key file of --cert."`
	Insecure     bool          `name:"insecure" help:"Send the token to another machine even in the clear."`
	DownloadHost string        `name:"download-host" env:"REFRACT_DOWNLOAD_HOST" help:"Host of download links that may get the token too, when it is not the one of --address."`
	JSON         bool          `name:"json" help:"Print JSON, one object a line."`
}

// call connects to the service, runs do, and puts what the service refused in one line.
func (f *clientFlags) call(do func(refractv1.TaskServiceClient) error) error {
	return f.connected(func(service *client.Client) error { return do(service.Tasks()) })
}

// operate is call for operators.
func (f *clientFlags) operate(do func(refractv1.OperatorServiceClient) error) error {
	return f.connected(func(service *client.Client) error { return do(refractv1.NewOperatorServiceClient(service.Conn())) })
}

// connected is call for the methods of the client.
func (f *clientFlags) connected(do func(*client.Client) error) error {
	service, err := f.dial()
	if err != nil {
		return err
	}
	err = do(service)
	_ = service.Close() // No call is in progress any more.
	return explain(err, f.Address)
}

// dial prepares the connection; it is made by the first call.
func (f *clientFlags) dial() (*client.Client, error) {
	if _, _, err := net.SplitHostPort(f.Address); err != nil {
		return nil, fmt.Errorf("--address=%s is not of the form host:port", f.Address)
	}
	options := []client.Option{client.WithToken(f.Token.Reveal())}
	if f.secure() {
		config, err := f.tlsConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, client.WithTLS(config))
	}
	if f.Insecure {
		options = append(options, client.WithPlaintextToken())
	}
	if f.DownloadHost != "" {
		options = append(options, client.WithDownloadHost(f.DownloadHost))
	}
	service, err := client.Dial(f.Address, options...)
	if errors.Is(err, client.ErrPlaintextToken) {
		return nil, fmt.Errorf("the token would travel to %s in the clear: pass --tls, or --insecure if the network is private", f.Address)
	}
	return service, err
}

func (f *clientFlags) secure() bool { return f.TLS || f.CA != "" || f.Cert != "" }

// tlsConfig trusts the CA of --ca alone, or without it those that the system trusts, and shows --cert.
func (f *clientFlags) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.Cert != "" {
		cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("load --cert and --key: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	if f.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read --ca: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca=%s holds no PEM certificate", f.CA)
	}
	return config, nil
}
