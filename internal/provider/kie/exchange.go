package kie

import (
	"bytes"
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

	"github.com/refract-video/refract/internal/provider"
)

const maxAnswer = 1 << 20 // Bytes; real answers have about one thousand.

// call is one question to the provider, or one order.
type call struct {
	op      operation
	method  string
	path    string
	query   url.Values
	body    any // Sent as JSON; nil sends none.
	timeout time.Duration
	secrets []string // What the provider may echo and nobody may read.
}

// call makes one HTTP request and judges what came back. The answer is returned with the error too.
func (p *Provider) call(ctx context.Context, c call) (answer, *provider.Error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a, sent, err := p.exchange(ctx, c)
	if err == nil {
		return a, p.judge(c, a)
	}
	class := provider.Unavailable
	switch {
	case c.op == opSubmit && sent:
		class = provider.Ambiguous
	case c.op == opSubmit:
		class = provider.NotSent
	}
	return answer{}, &provider.Error{Class: class, Op: string(c.op), Err: p.cause(err, c.secrets)}
}

// judge returns nil for a success, and else the error that the answer stands for.
func (p *Provider) judge(c call, a answer) *provider.Error {
	if a.ok() {
		return nil
	}
	v := verdictOn(c.op, a)
	e := &provider.Error{
		Class:      v.class,
		Pause:      v.pause,
		Input:      v.input,
		Op:         string(c.op),
		Code:       a.effectiveCode(),
		Message:    p.words(a.message, c.secrets...),
		RetryAfter: a.retryAfter,
	}
	switch {
	case a.behindFirewall():
		e.Message = provider.TrimMessage(
			"turned away before the API, perhaps by a firewall that dislikes our User-Agent or address: " + e.Message)
	case a.status >= 300 && a.status <= 399:
		e.Err = errors.New("redirect not followed; is the base URL right?")
	case a.err != nil:
		e.Err = p.cause(a.err, c.secrets)
	}
	return e
}

// exchange sends one request and reads its answer. An error means that there was no answer, and sent
// tells whether the provider may have seen the request all the same.
func (p *Provider) exchange(ctx context.Context, c call) (a answer, sent bool, err error) {
	var touched atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { touched.Store(true) },
	})
	req, err := p.request(ctx, c, &touched)
	if err != nil {
		return answer{}, false, err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return answer{}, touched.Load(), err
	}
	defer resp.Body.Close() //nolint:errcheck // All that matters was read.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("answer is longer than %d bytes", maxAnswer)
	}
	if err != nil { // A body that was cut says nothing, but its HTTP status stands.
		return answer{
			status:     resp.StatusCode,
			retryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
			err:        err,
		}, true, nil
	}
	return parse(resp.StatusCode, resp.Header, body), true, nil
}

// request builds the one request of a call. The transport may use GetBody to send it again, but does so
// for a POST only when it knows that the first connection carried none of it.
func (p *Provider) request(ctx context.Context, c call, touched *atomic.Bool) (*http.Request, error) {
	target := p.base + c.path
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, c.method, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.apiKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if c.body == nil {
		return req, nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // URLs arrive as they were written.
	if err := enc.Encode(c.body); err != nil {
		return nil, err
	}
	req.ContentLength = int64(buf.Len())
	req.GetBody = func() (io.ReadCloser, error) {
		return &watchedBody{bytes.NewReader(buf.Bytes()), touched}, nil
	}
	req.Body, err = req.GetBody()
	return req, err
}

// watchedBody notes that somebody began to read it. A transport that was lent to us and does not call
// httptrace would otherwise make a request that left look like one that never did.
type watchedBody struct {
	r       *bytes.Reader
	touched *atomic.Bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.touched.Store(true)
	return b.r.Read(p)
}

func (b *watchedBody) Close() error { return nil }

// cause makes an error of the transport fit to be shown: without the URL that *url.Error adds, and with
// the bytes that some quote from the wire cleaned and bounded. What it wraps can still be asked for.
func (p *Provider) cause(err error, secrets []string) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return &cleanError{text: p.words(err.Error(), secrets...), err: err}
}

type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }
