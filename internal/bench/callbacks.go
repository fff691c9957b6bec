package bench

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Callbacks is a load of callbacks of kie, each signed and about an attempt of its own.
type Callbacks struct {
	Ingress     string // host:port
	SigningKey  string
	Connections int
	For         time.Duration
	// Token returns the URL token of the nth attempt, from 0.
	Token func(n int) (string, error)
	// From and To are the attempts to use. The load ends early with an error when all were used.
	From, To int
}

// Run posts the callbacks. One counts when it was answered 200.
//
// It writes HTTP by itself, since the load shares the machine with what it measures and a whole client would take as
// much of it as the server.
func (c Callbacks) Run(ctx context.Context) (Rate, error) {
	var next atomic.Int64
	next.Store(int64(c.From))
	return drive(ctx, c.Connections, c.For, 1, func() (func(context.Context) error, func(), error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", c.Ingress)
		if err != nil {
			return nil, nil, err
		}
		answers := bufio.NewReader(conn)
		call := func(context.Context) error {
			n := int(next.Add(1)) - 1
			if n >= c.To {
				return fmt.Errorf("all %d attempts have had their callback: prepare more", c.To-c.From)
			}
			return c.post(conn, answers, n)
		}
		return call, func() { _ = conn.Close() }, nil
	})
}

func (c Callbacks) post(conn net.Conn, answers *bufio.Reader, n int) error {
	token, err := c.Token(n)
	if err != nil {
		return err
	}
	body := CallbackBody(ProviderTaskID(n))
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(c.SigningKey))
	mac.Write([]byte(ProviderTaskID(n) + "." + timestamp))
	request := fmt.Appendf(nil, "POST /v1/callbacks/kie/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
		"X-Webhook-Timestamp: %s\r\nX-Webhook-Signature: %s\r\nContent-Length: %d\r\n\r\n%s",
		token, c.Ingress, timestamp, base64.StdEncoding.EncodeToString(mac.Sum(nil)), len(body), body)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("post a callback: %w", err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		return fmt.Errorf("read the answer to a callback: %w", err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer to a callback: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a callback was answered %s: %s", resp.Status, answer)
	}
	return nil
}

// ProviderTaskID is the provider task id of the nth attempt.
func ProviderTaskID(n int) string { return fmt.Sprintf("%032d", n) }

// CallbackBody is a callback of kie as its documentation shows it.
func CallbackBody(providerTaskID string) string {
	return fmt.Sprintf(`{"code":200,"msg":"Modify record generated successfully.","data":{"taskId":%q,`+
		`"promptJson":"{\"prompt\":\"A futuristic cityscape at night with towering glass spires reaching into a starry sky\",`+
		`\"videoUrl\":\"https://tempfile.aiquickdraw.com/k/source.mp4\",\"waterMark\":\"\"}",`+
		`"resultUrls":["https://tempfile.aiquickdraw.com/r/result.mp4"]}}`, providerTaskID)
}
