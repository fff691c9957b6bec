package fal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/sim"
)

// webhook is the body of a callback.
type webhook struct {
	RequestID        string `json:"request_id"`
	GatewayRequestID string `json:"gateway_request_id"`
	Status           string `json:"status"`
	Payload          any    `json:"payload"`
	Error            string `json:"error,omitempty"`
	PayloadError     string `json:"payload_error,omitempty"`
	Padding          string `json:"padding,omitempty"` // Of the directive oversized.
}

// Callback implements [sim.Protocol].
func (p *protocol) Callback(j *sim.Job, claim sim.Claim) sim.Message {
	hook := webhook{RequestID: j.ID, GatewayRequestID: j.ID, Status: "OK"}
	if claim.Good() {
		hook.Payload = newOutput(j, claim.Results)
	} else {
		f := newFailure(j, claim.Status, claim.ForgedCode)
		hook.Status, hook.Error, hook.Payload = "ERROR", fmt.Sprintf("Invalid status code: %d", f.status), f.body()
	}
	if j.Script.NullData {
		hook.Payload = nil
	}
	switch j.Script.Quirk {
	case quirkPayload:
		hook.Payload = nil
		hook.PayloadError = "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue endpoint to retrieve the response."
	case quirkOversized:
		hook.Padding = strings.Repeat("x", 256<<10)
	case quirkRetried:
		hook.GatewayRequestID = uuid.NewSHA1(uuid.NameSpaceURL, []byte(j.ID)).String()
	}
	body := sim.JSON(hook)
	return sim.Message{Body: body, Headers: func(now time.Time) http.Header { return p.headers(j, body, now) }}
}

// headers signs a callback that leaves now, as the script wants.
func (p *protocol) headers(j *sim.Job, body []byte, now time.Time) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	if j.Script.Signature == sim.SignatureMissing {
		return h
	}
	key, user, signed := p.control.signer(), p.cfg.UserID, body
	if j.Script.Signature == sim.SignatureWrong {
		key = p.control.foreign
	}
	switch j.Script.Quirk {
	case quirkRetired:
		key = p.control.retiredKey()
	case quirkForeignUser:
		user = "another-" + user
	case quirkTampered:
		signed = bytes.Replace(body, []byte("request_id"), []byte("request_ID"), 1)
	}
	stamp := strconv.FormatInt(now.Add(-j.Script.Stale).Unix(), 10)
	hash := sha256.Sum256(signed)
	message := strings.Join([]string{j.ID, user, stamp, hex.EncodeToString(hash[:])}, "\n")
	h.Set("X-Fal-Webhook-Request-Id", j.ID)
	h.Set("X-Fal-Webhook-User-Id", user)
	h.Set("X-Fal-Webhook-Timestamp", stamp)
	h.Set("X-Fal-Webhook-Signature", hex.EncodeToString(ed25519.Sign(key, []byte(message))))
	return h
}
