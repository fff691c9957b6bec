// Package client calls a Refract service: it submits tasks, uploads their sources, follows them and downloads their results.
//
// A client is made by [Dial], or by [New] from a connection of the caller's own:
//
//	c, err := client.Dial("refract.internal:9090", client.WithToken(token), client.WithTLS(nil))
//
// What a lost connection does:
//
//   - A unary call that meets UNAVAILABLE is tried up to four times within 45 seconds; see [ServiceConfig]. RetryTask is tried
//     once, because a second try could pay for a second attempt.
//   - [Client.Watch], [Client.WatchAll] and [Client.Wait] resume after the newest message that they delivered. Each message is
//     delivered once and in order, across restarts of the service and from one replica to another.
//   - [Client.Upload] continues after the last byte that the service has, and [Client.Download] after the last byte on disk.
//
// Watches end with an error after five minutes without a message from the service, and transfers after five tries in a row
// without a byte of progress. Each of these calls ends as soon as its context does. A watch can then be resumed by another call:
// [AfterRevision] takes the newest revision of a task, and each message of WatchAll carries a resume token.
//
// Errors of the service carry its status: status.Code(err) returns the code, also where the error is wrapped, and [Reason]
// the reason. [Transient] reports whether another try may succeed.
//
// The messages are those of package refractv1, and the contract in proto/refract/v1 explains each field. Calls that have no
// method here are made by [Client.Tasks] and [Client.Conn].
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// Client calls one Refract service. Its methods may be called concurrently.
type Client struct {
	conn  grpc.ClientConnInterface
	close func() error
	tasks refractv1.TaskServiceClient
	http  *http.Client
	token *downloadToken
}

// ErrPlaintextToken is the error of Dial when the token would leave this machine without encryption.
var ErrPlaintextToken = errors.New("the token would be sent without encryption")

// Dial returns a client of the service at an address of the form host:port. The connection is made by the first call, and
// made again when it was lost.
//
// Without WithTLS the connection is not encrypted, and Dial refuses a token for any address but a loopback one with
// ErrPlaintextToken. The client must be closed.
func Dial(address string, options ...Option) (*Client, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the address %q is not of the form host:port", address)
	}
	s := settingsOf(options)
	if s.token != "" && s.tls == nil && !s.plaintext && !loopback(host) {
		return nil, fmt.Errorf("dial %s: %w", address, ErrPlaintextToken)
	}
	transport := insecure.NewCredentials()
	if s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	conn, err := grpc.NewClient(address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(&bearer{s.token}),
		grpc.WithDefaultServiceConfig(ServiceConfig),
		// A service that restarts is found again within seconds. The default would wait for up to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}, s.dial...)...)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to %s: %w", address, err)
	}
	return newClient(conn, conn.Close, s, host), nil
}

// New returns a client that makes its calls on a connection of the caller's own, which decides about credentials, encryption
// and tries: pass ServiceConfig to grpc.WithDefaultServiceConfig to have those of Dial. Close leaves the connection open.
//
// The options concern downloads alone: the token is sent with them to the hosts of WithDownloadHost.
func New(conn grpc.ClientConnInterface, options ...Option) *Client {
	return newClient(conn, func() error { return nil }, settingsOf(options), "")
}

func newClient(conn grpc.ClientConnInterface, closeConn func() error, s settings, host string) *Client {
	var config *tls.Config
	if s.tls != nil {
		config = s.tls.Clone()
	}
	return &Client{
		conn: conn, close: closeConn, tasks: refractv1.NewTaskServiceClient(conn),
		http: &http.Client{CheckRedirect: keepToken, Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: 90 * time.Second,
		}},
		token: &downloadToken{token: s.token, host: host, hosts: s.downloadHosts, plaintext: s.plaintext},
	}
}

// Close closes the connections that Dial made. Calls in progress end with CANCELED.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.close()
}

// Conn returns the connection, for the clients of other services such as refractv1.OperatorServiceClient.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// Tasks returns the generated client, for the calls that have no method here, such as ListTasks and CancelTask.
func (c *Client) Tasks() refractv1.TaskServiceClient { return c.tasks }

// Models returns the generated client for the models that tasks can name.
func (c *Client) Models() refractv1.ModelServiceClient {
	return refractv1.NewModelServiceClient(c.conn)
}

// Submit submits a task and returns it. Once Submit returned, the task survives any crash of the service.
//
// The request id makes the call idempotent: a second submission with the same id and the same fields returns the task of the
// first, as it is now, and pays nothing. So a submission that ended with a Transient error can be repeated. Another submission
// under the same id is refused with ALREADY_EXISTS, a request that breaks a rule with INVALID_ARGUMENT, and a used up quota of
// the tenant with RESOURCE_EXHAUSTED.
func (c *Client) Submit(ctx context.Context, req *refractv1.SubmitTaskRequest) (*refractv1.Task, error) {
	resp, err := c.tasks.SubmitTask(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("submit the task: %w", err)
	}
	return resp.GetTask(), nil
}

// SourceURI returns the source of a task whose video has a public https URI of at most 2048 bytes.
func SourceURI(uri string) *refractv1.SubmitTaskSource {
	return &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_Uri{Uri: uri}}
}

// SourceID returns the source of a task whose video was uploaded: the id is that of Upload's response.
func SourceID(id string) *refractv1.SubmitTaskSource {
	return &refractv1.SubmitTaskSource{Location: &refractv1.SubmitTaskSource_SourceId{SourceId: id}}
}

// Terminal reports whether a task in this state has ended, and stays so unless RetryTask continues it.
func Terminal(s refractv1.TaskState) bool {
	switch s {
	case refractv1.TaskState_TASK_STATE_SUCCEEDED, refractv1.TaskState_TASK_STATE_FAILED, refractv1.TaskState_TASK_STATE_CANCELED:
		return true
	default:
		return false
	}
}
