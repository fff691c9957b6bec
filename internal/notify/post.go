package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/httpfield"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/plain"
	"github.com/refract-video/refract/internal/redact"
	"github.com/refract-video/refract/internal/useragent"
)

const (
	// requestTimeout bounds a request until the status line of its answer.
	requestTimeout = 15 * time.Second
	// answerTimeout bounds the time in which the body of an answer is read afterwards.
	answerTimeout = 2 * time.Second
	// maxCertificateError is how much is kept of an error about a certificate, in bytes. It can have the names in the certificate,
	// which the endpoint chooses.
	maxCertificateError = 200
)

// The causes with which a request is cancelled.
var (
	errNoAnswer   = errors.New("no answer within 15 seconds")
	errSlowAnswer = errors.New("the body of the answer did not arrive in time")
)

// message is an event that is ready to be sent.
type message struct {
	id      string
	url     string
	secrets Secrets
	body    []byte
}

// poster posts messages. It may be used concurrently.
type poster struct {
	client  *http.Client
	signers *signers
	check   func(url string) error // Returns why a URL may not be called, one sentence.
	now     func() time.Time       // By the database's clock.
}

// post sends a message once. The error is a failure of ours: nothing was sent, or ctx ended. Every failure of the endpoint is a
// verdict.
func (p *poster) post(ctx context.Context, m message) (Attempt, verdict, error) {
	a := Attempt{StartTime: p.now()}
	if err := p.check(m.url); err != nil {
		a.Error = "refused by the network guard: " + err.Error()
		return a, verdict{outcome: outcomeBlocked}, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(m.body))
	if err != nil {
		a.Error = "the URL of the endpoint can't be called"
		return a, verdict{outcome: outcomeBlocked}, nil //nolint:nilerr // The error quotes the URL. The check accepts no such URL.
	}
	if err := p.signers.sign(ctx, req.Header, m.secrets, m.id, a.StartTime, m.body); err != nil {
		return a, verdict{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", useragent.Text)
	// An empty list is not sent. It permits the client to repeat the request when the endpoint has closed the idle connection
	// that it chose: an event may arrive twice.
	req.Header["Idempotency-Key"] = []string{}

	began := time.Now()
	timer := time.AfterFunc(requestTimeout, func() { cancel(errNoAnswer) })
	defer timer.Stop()
	resp, err := p.client.Do(req)
	if err != nil {
		a.Duration = time.Since(began)
		if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errNoAnswer) {
			return a, verdict{}, ctx.Err()
		}
		var v verdict
		v.outcome, a.Error = describe(ctx, err)
		return a, v, nil
	}
	defer resp.Body.Close()
	// NOTE: the status line decides. An endpoint that has accepted an event and then fails to write its answer does not get the
	// event again.
	v := judge(resp.StatusCode, resp.Header, a.StartTime)
	timer.Stop()
	slow := time.AfterFunc(answerTimeout, func() { cancel(errSlowAnswer) })
	defer slow.Stop()
	// One byte more than is kept, so that the end of a short body is seen and its connection is used again.
	read, _ := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	a.Duration, a.Status, a.Answer, a.Error = time.Since(began), resp.StatusCode, printable(read, MaxAnswer), v.sentence
	return a, v, nil
}

// printable returns the start of what an endpoint says as it is stored: valid UTF-8 without NUL, at most limit bytes. It has no
// query of a link, since an endpoint may repeat what it was sent.
func printable(answer []byte, limit int) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(string(answer), "\uFFFD"), "\x00", "\uFFFD")
	text = redact.Words(text)
	if len(text) <= limit {
		return text
	}
	end := limit
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// outcome is how an attempt ended, as the metrics have it.
type outcome string

const (
	outcomeSucceeded   outcome = "succeeded"
	outcomeStatus      outcome = "status"      // Another status than those below.
	outcomeRedirect    outcome = "redirect"    // Which is not followed.
	outcomeGone        outcome = "gone"        // 410.
	outcomeThrottled   outcome = "throttled"   // 429, or 503 with Retry-After.
	outcomeTimeout     outcome = "timeout"     // No answer in time.
	outcomeBlocked     outcome = "blocked"     // The SSRF guard refused the URL or its address.
	outcomeUnresolved  outcome = "unresolved"  // The name of the host did not resolve.
	outcomeTLS         outcome = "tls"         // The certificate or the handshake.
	outcomeUnreachable outcome = "unreachable" // Refused, reset or closed.
	outcomeMalformed   outcome = "malformed"   // The answer was not usable HTTP.
	outcomeTooLarge    outcome = "too_large"   // The event does not fit into MaxBody; nothing was sent.
	outcomeInternal    outcome = "internal"    // A failure of ours; nothing was sent.
)

// verdict is what an attempt says about its delivery and endpoint.
type verdict struct {
	outcome    outcome
	sentence   string        // Why the answer is no success.
	retryAfter time.Duration // How long the endpoint asks to wait; 0 if it does not.
}

// judge judges the status line and the header of an answer. It is pure.
func judge(status int, h http.Header, now time.Time) verdict {
	v := verdict{outcome: outcomeStatus, sentence: "the endpoint answered with status " + statusText(status)}
	switch {
	case status >= 200 && status < 300:
		return verdict{outcome: outcomeSucceeded}
	case status >= 300 && status < 400:
		v.outcome, v.sentence = outcomeRedirect, v.sentence+", and redirects are not followed"
	case status == http.StatusGone:
		v.outcome = outcomeGone
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		v.retryAfter = httpfield.RetryAfter(h, now)
		if v.retryAfter > 0 || status == http.StatusTooManyRequests {
			v.outcome = outcomeThrottled
		}
	}
	return v
}

func statusText(status int) string {
	digits := [3]byte{byte('0' + status/100%10), byte('0' + status/10%10), byte('0' + status%10)}
	if text := http.StatusText(status); text != "" {
		return string(digits[:]) + " " + text
	}
	return string(digits[:])
}

// describe names the cause of a request without an answer, without the URL, which may hold a secret of the caller, and without
// addresses of our network.
func describe(ctx context.Context, err error) (outcome, string) {
	var (
		safe, isPlain      = errors.AsType[*plain.Error](err)
		certificate, isTLS = errors.AsType[*tls.CertificateVerificationError](err)
		op, isOp           = errors.AsType[*net.OpError](err)
		_, isRecord        = errors.AsType[tls.RecordHeaderError](err)
		_, isDNS           = errors.AsType[*net.DNSError](err)
	)
	network := plain.Network(err)
	switch {
	case errors.Is(context.Cause(ctx), errNoAnswer):
		return outcomeTimeout, errNoAnswer.Error()
	case errors.Is(err, media.ErrBlocked) && isPlain:
		return outcomeBlocked, safe.Error()
	case errors.Is(err, media.ErrBlocked):
		return outcomeBlocked, media.ErrBlocked.Error()
	case isTLS:
		return outcomeTLS, "the certificate was not accepted: " + printable([]byte(certificate.Err.Error()), maxCertificateError)
	case isOp && op.Op == "remote error": // As crypto/tls reports an alert.
		return outcomeTLS, "the server refused the TLS handshake"
	case isOp && op.Op == "local error":
		return outcomeTLS, "the TLS handshake failed"
	case isRecord, errors.Is(err, http.ErrSchemeMismatch):
		return outcomeTLS, "the server does not speak TLS"
	case isDNS:
		return outcomeUnresolved, network
	case network == noAnswerInTime:
		return outcomeTimeout, "the connection was not made in time"
	case network != "":
		return outcomeUnreachable, network
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return outcomeUnreachable, "the connection was closed without an answer"
	default:
		return outcomeMalformed, "the answer is not usable HTTP"
	}
}

// noAnswerInTime is what package plain says about a timeout of the network. Before the timeout of the request, only those of the
// dialer and of the TLS handshake can pass.
const noAnswerInTime = "no answer in time"
