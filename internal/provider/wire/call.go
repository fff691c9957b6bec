package wire

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/refract-video/refract/internal/httpfield"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/useragent"
)

// MaxAnswer is the longest body that is read where a call sets no limit of its own, in bytes; real answers have about one
// thousand.
const MaxAnswer = 1 << 20

// Op is an operation at a provider, as errors name it.
type Op string

// The operations. Only a submission can create something.
const (
	OpSubmit Op = "submit"
	OpCheck  Op = "check"
	OpLink   Op = "refresh link"
	OpKeys   Op = "fetch keys"
	OpFunds  Op = "read balance"
)

// Call is one request to a provider.
type Call struct {
	Op      Op
	Method  string
	Path    string // After the base URL, escaped.
	URL     string // The full URL of a call to another host of the provider's, or a full URL of the base; then Path is not used.
	Public  bool   // Whether the call goes without the API key.
	Header  map[string]string
	Query   url.Values
	Body    any // Sent as JSON; nil sends none.
	Timeout time.Duration
	Max     int      // The longest body that is read, in bytes; 0 means MaxAnswer.
	Secrets []string // What the provider may echo and no message may hold.
}

// Answer is the answer of a provider.
type Answer struct {
	Status     int
	Body       []byte
	RetryAfter time.Duration // How long the provider asked to wait; 0 where it did not say.
	Err        error         // Why the body could not be read, where it couldn't.
}

// Do makes one HTTP request. The error says that no answer came, and whether the provider may have seen the
// request all the same.
func (c *Client) Do(ctx context.Context, call Call) (Answer, *provider.Error) {
	ctx, cancel := context.WithTimeout(ctx, call.Timeout)
	defer cancel()
	a, sent, err := c.exchange(ctx, call)
	if err == nil {
		return a, nil
	}
	class := provider.Unavailable
	switch {
	case call.Op == OpSubmit && sent:
		class = provider.Ambiguous
	case call.Op == OpSubmit:
		class = provider.NotSent
	}
	return Answer{}, &provider.Error{Class: class, Op: string(call.Op), Err: c.cause(err, call.Secrets)}
}

// exchange sends one request and reads its answer. An error means that there was no answer, and sent
// reports whether the provider may have seen the request all the same.
func (c *Client) exchange(ctx context.Context, call Call) (a Answer, sent bool, err error) {
	var touched atomic.Bool
	body := &watchedBody{touched: &touched, maySend: func() bool { return call.Op != OpSubmit || provider.MaySend(ctx) }}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { touched.Store(true) },
	})
	req, err := c.request(traced, call, body)
	if err != nil {
		return Answer{}, false, err
	}
	client := c.queries
	if call.Op == OpSubmit {
		client = c.submits
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, touched.Load() && !body.withheld.Load(), err
	}
	defer resp.Body.Close()
	return readAnswer(resp, cmp.Or(call.Max, MaxAnswer)), true, nil
}

// readAnswer reads an answer of at most limit bytes. A body that was cut says nothing, but its HTTP status stands.
func readAnswer(resp *http.Response, limit int) Answer {
	a := Answer{Status: resp.StatusCode, RetryAfter: httpfield.RetryAfter(resp.Header, time.Now())}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err == nil && len(body) > limit {
		err = fmt.Errorf("answer is longer than %d bytes", limit)
	}
	if err != nil {
		a.Err = err
		return a
	}
	a.Body = body
	return a
}

// setHeader sets the header that every request has, and the API key where the call is not public.
func (c *Client) setHeader(h http.Header, contentType string, public bool) {
	if !public {
		h.Set("Authorization", c.scheme+" "+c.apiKey)
	}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	h.Set("Accept", "application/json")
	h.Set("User-Agent", useragent.Text)
}

// request builds the one request of a call.
//
// NOTE: it has no GetBody. With one, net/http sends a POST again by itself when a stream of HTTP/2 is reset with
// PROTOCOL_ERROR or ended by GOAWAY, which may come after the provider has acted on it.
func (c *Client) request(ctx context.Context, call Call, body *watchedBody) (*http.Request, error) {
	target := cmp.Or(call.URL, c.base+call.Path)
	if len(call.Query) > 0 {
		target += "?" + call.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	c.setHeader(req.Header, "application/json", call.Public)
	for name, value := range call.Header {
		req.Header.Set(name, value)
	}
	if call.Body == nil {
		return req, nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // URLs arrive as they were written.
	if err := enc.Encode(call.Body); err != nil {
		return nil, err
	}
	req.ContentLength = int64(buf.Len())
	body.r = bytes.NewReader(buf.Bytes())
	req.Body = body
	return req, nil
}

// watchedBody records that a transport began to read it. Without that, a request that left through a transport of the caller
// which does not call httptrace would look like one that never left.
//
// NOTE: it keeps a submission that is late from leaving. The transport reads the body when it has a connection
// and is about to write, so that a process that was stopped before, for however long, sends nothing: without its body a
// request asks for nothing. What remains is a process that is stopped between this reading and the writing, which are some
// microseconds apart.
type watchedBody struct {
	r        *bytes.Reader
	touched  *atomic.Bool
	maySend  func() bool
	withheld atomic.Bool // Whether no byte of it was given away because it was too late.
}

var errTooLate = errors.New("the time in which the request may leave is over")

func (b *watchedBody) Read(p []byte) (int, error) {
	if !b.maySend() {
		b.withheld.Store(b.r.Len() == int(b.r.Size()))
		return 0, errTooLate
	}
	b.touched.Store(true)
	return b.r.Read(p)
}

func (b *watchedBody) Close() error { return nil }

// cause makes an error of the transport fit to be shown: in plain words where the network failed, and else without the
// URL that *url.Error adds, and with the bytes that some quote from the wire cleaned and bounded. errors.Is and errors.As still
// find what it wraps.
func (c *Client) cause(err error, secrets []string) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	clean := &cleanError{text: c.Redact(err.Error(), secrets...), err: err}
	if text := plain.Network(err); text != "" {
		return &plain.Error{Text: text, Cause: clean} // The log may read the cause.
	}
	return clean
}

type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }
