package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/timeout"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

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

const (
	// callTimeout bounds one try of a unary call.
	callTimeout = 30 * time.Second
	// callTries is how often a call that meets UNAVAILABLE is made. Every call but RetryTask may be made again:
	// reads, CancelTask and what operators do change nothing twice, and SubmitTask carries its request_id.
	callTries = 4
)

// call connects to the service, runs do, and puts what the service refused in one line.
func (f *clientFlags) call(do func(refractv1.TaskServiceClient) error) error {
	return f.connected(func(conn grpc.ClientConnInterface) error { return do(refractv1.NewTaskServiceClient(conn)) })
}

// operate is call for operators.
func (f *clientFlags) operate(do func(refractv1.OperatorServiceClient) error) error {
	return f.connected(func(conn grpc.ClientConnInterface) error { return do(refractv1.NewOperatorServiceClient(conn)) })
}

func (f *clientFlags) connected(do func(grpc.ClientConnInterface) error) error {
	conn, err := f.dial()
	if err != nil {
		return err
	}
	err = do(conn)
	_ = conn.Close() // Nothing is under way on it any more.
	return explain(err, f.Address)
}

// dial prepares the connection; it is made by the first call.
func (f *clientFlags) dial() (*grpc.ClientConn, error) {
	if _, _, err := net.SplitHostPort(f.Address); err != nil {
		return nil, fmt.Errorf("--address=%s is not of the form host:port", f.Address)
	}
	if f.Token != "" && !f.secure() && !f.Insecure && !loopback(f.Address) {
		return nil, fmt.Errorf("the token would travel to %s in the clear: pass --tls, or --insecure if nobody can listen", f.Address)
	}
	transport := insecure.NewCredentials()
	if f.secure() {
		config, err := f.tlsConfig()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(f.Address,
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(bearer(f.Token)),
		grpc.WithChainUnaryInterceptor(
			retry.UnaryClientInterceptor(retry.WithMax(callTries), retry.WithCodes(codes.Unavailable),
				retry.WithBackoff(retry.BackoffExponentialWithJitter(50*time.Millisecond, 0.5))),
			timeout.UnaryClientInterceptor(callTimeout)),
		// A service that restarts is found again within seconds, and not within the default's two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to %s: %w", f.Address, err)
	}
	return conn, nil
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

// httpClient returns the client for downloads, which trusts whom the gRPC connection trusts.
func (f *clientFlags) httpClient() (*http.Client, error) {
	config, err := f.tlsConfig()
	if err != nil {
		return nil, err
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default HTTP transport was replaced")
	}
	transport = transport.Clone()
	transport.TLSClientConfig = config
	transport.ResponseHeaderTimeout = callTimeout
	return &http.Client{Transport: transport}, nil
}

// tokenFor returns the token for a download, or nothing when its host must not have it.
//
// NOTE: the token goes only to a host that the user named, by --address or --download-host, on any port; all
// loopback names are one host. Over plain http it goes to loopback alone, unless --insecure is given. A
// service, or who speaks in its place, thus can't direct the token elsewhere.
func (f *clientFlags) tokenFor(downloadURI string) string {
	u, err := url.Parse(downloadURI)
	if err != nil || f.Token == "" {
		return ""
	}
	host, _, err := net.SplitHostPort(f.Address)
	if err != nil {
		return ""
	}
	to := u.Hostname()
	if to == "" {
		return ""
	}
	local := loopback(net.JoinHostPort(to, "0"))
	named := strings.EqualFold(to, host) || strings.EqualFold(to, f.DownloadHost) || (local && loopback(f.Address))
	if named && (u.Scheme == "https" || (u.Scheme == "http" && (local || f.Insecure))) {
		return f.Token.Reveal()
	}
	return ""
}

// bearer sends an API token with every call. An empty one sends nothing.
type bearer redact.Secret

// GetRequestMetadata returns the header that carries the token.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if b == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + redact.Secret(b).Reveal()}, nil
}

// RequireTransportSecurity is false: dial has decided already.
func (bearer) RequireTransportSecurity() bool { return false }

// loopback reports whether an address is one of this machine alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
