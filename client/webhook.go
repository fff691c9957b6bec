package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/encoding/protojson"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// MaxWebhookBytes is the size of the largest body of a webhook.
const MaxWebhookBytes = 64 << 10

// The errors of VerifyWebhook about requests and secrets.
var (
	// ErrWebhookSignature means that a header is missing, or that none of the secrets made a signature of the request. The request
	// was forged or changed, or its secret is no longer in use.
	ErrWebhookSignature = errors.New("the webhook has no signature of a known secret")
	// ErrWebhookTimestamp means that a secret signed the request, but for a time that differs from the clock of this machine by more
	// than 5 minutes. Another party has sent the request again, or a clock is wrong.
	ErrWebhookTimestamp = errors.New("the time of the webhook differs from the clock by more than 5 minutes")
	// ErrWebhookSecret means that there is no secret, or that one is not a secret of an endpoint, such as an empty string. No
	// request can be verified.
	ErrWebhookSecret = errors.New("no usable webhook secret")
)

// WebhookEvent is an event that a webhook brought.
type WebhookEvent struct {
	// ID is the id of the event, and the same each time that it is sent: a receiver that stores ids recognises repetitions.
	ID string
	// Type is the type, such as task.succeeded. The test event of an endpoint has the type webhook.test. Later releases of the
	// service may send more types, of which a receiver should ignore those that it does not know.
	Type string
	// Time is when the event happened. It is the same each time that the event is sent.
	Time time.Time
	// Task is the task at the revision of the event, with download links that are valid when the request is sent. It is nil unless the
	// type begins with "task.".
	Task *refractv1.Task
}

// VerifyWebhook returns the event in a request to a webhook endpoint, provided that one of the secrets signed it within 5 minutes
// of now. The body is that of the request, byte for byte. Refract sends at most MaxWebhookBytes, and the caller must not read
// more; a [WebhookHandler] reads the body itself.
//
// One secret is enough, also while it is rotated, because requests are then signed with both. Several serve endpoints that share
// an address.
//
// The error matches ErrWebhookSignature, ErrWebhookTimestamp or ErrWebhookSecret. Any other error is about a signed body that is
// not an event.
func VerifyWebhook(header http.Header, body []byte, secrets ...string) (*WebhookEvent, error) {
	keys, err := webhookKeys(secrets)
	if err != nil {
		return nil, err
	}
	if err := verifyWebhook(header, body, keys); err != nil {
		return nil, err
	}
	event, err := decodeWebhook(body)
	if err != nil {
		return nil, fmt.Errorf("decode the body of the webhook: %w", err)
	}
	event.ID = header.Get(standardwebhooks.HeaderWebhookID)
	return event, nil
}

// WebhookHandler returns a handler of an endpoint. It verifies each request as VerifyWebhook does, and calls handle with the event,
// and with a context that ends when Refract gives up the request, after 15 seconds.
//
// The answer is 204 if handle returns nil, and 500 if it returns an error; Refract then sends the event again. handle must
// accept an event that it has seen before. A request that is not verified is answered with 400, and one of more than
// MaxWebhookBytes with 413, both without a call of handle. Error texts of handle are not sent.
//
// The error is ErrWebhookSecret if the secrets cannot be used.
func WebhookHandler(handle func(context.Context, *WebhookEvent) error, secrets ...string) (http.Handler, error) {
	if _, err := webhookKeys(secrets); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "webhooks are sent with POST", http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxWebhookBytes))
		if err != nil {
			status := http.StatusBadRequest
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, "the body cannot be read", status)
			return
		}
		event, err := VerifyWebhook(r.Header, body, secrets...)
		if err != nil {
			// The tenant finds the text in the list of attempts. It has nothing of the secrets.
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := handle(r.Context(), event); err != nil {
			http.Error(w, "the event could not be handled", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}), nil
}

// minWebhookKey is the size of the shortest key, in bytes, as Standard Webhooks recommends.
const minWebhookKey = 24

// webhookKeys returns the verifiers of secrets, of which there must be one.
//
// NOTE: The library accepts an empty secret, with which everyone could sign. An environment variable that is not set must not have
// that effect.
func webhookKeys(secrets []string) ([]*standardwebhooks.Webhook, error) {
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%w: none is given", ErrWebhookSecret)
	}
	keys := make([]*standardwebhooks.Webhook, 0, len(secrets))
	for _, secret := range secrets {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(raw) < minWebhookKey {
			return nil, fmt.Errorf("%w: one is not of the form whsec_…", ErrWebhookSecret)
		}
		key, err := standardwebhooks.NewWebhookRaw(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrWebhookSecret, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// verifyWebhook checks that one of the keys signed a request within 5 minutes of now.
func verifyWebhook(header http.Header, body []byte, keys []*standardwebhooks.Webhook) error {
	for _, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
		if header.Get(name) == "" {
			return fmt.Errorf("%w: the header %s is missing", ErrWebhookSignature, name)
		}
	}
	// The signed text is ID.TIMESTAMP.BODY. An id with a dot could contain the true time and the start of the true body, so that the
	// rest of it, which may be text of third parties such as a prompt, would pass for the body.
	if strings.Contains(header.Get(standardwebhooks.HeaderWebhookID), ".") {
		return fmt.Errorf("%w: %s has a dot", ErrWebhookSignature, standardwebhooks.HeaderWebhookID)
	}
	for _, key := range keys {
		if key.VerifyIgnoringTimestamp(body, header) != nil {
			continue
		}
		if err := key.Verify(body, header); err != nil {
			return ErrWebhookTimestamp // Nothing else is left.
		}
		return nil
	}
	return ErrWebhookSignature
}

// decodeWebhook returns the event in a body, without its id. It ignores what later releases of the service add.
func decodeWebhook(body []byte) (*WebhookEvent, error) {
	var envelope struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, err
	}
	if envelope.Type == "" || envelope.Timestamp.IsZero() {
		return nil, errors.New("type or timestamp is missing")
	}
	event := &WebhookEvent{Type: envelope.Type, Time: envelope.Timestamp}
	if !strings.HasPrefix(event.Type, "task.") {
		return event, nil
	}
	event.Task = &refractv1.Task{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(envelope.Data, event.Task); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return event, nil
}
