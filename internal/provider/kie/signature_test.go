package kie

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/refract-video/refract/internal/provider"
)

const vectorKey = "test-webhook-hmac-key"

func signed(timestamp, signature string) http.Header {
	h := http.Header{}
	h.Set("x-webhook-timestamp", timestamp)
	h.Set("x-webhook-signature", signature)
	return h
}

func withKeys(keys ...string) func(*Config) {
	return func(c *Config) { c.SigningKeys = keys }
}

func TestCallback_ProvesTheComputedVectors(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "", withKeys(vectorKey))
	for _, tt := range []struct {
		id        string
		timestamp int64
		signature string
		body      string
	}{
		{
			taskID, 1755078480, "IZtmj3keJ3PEjcWND9q+YgwIW204ftiTVm58iOSngkY=",
			`{"code":200,"data":{"taskId":"774d9a7dd608a0e49293903095e45a4c"}}`,
		},
		{
			"ee9c2715375b7837f8bb51d641ff5863", 1769670760, "xG6/yOyrMyJtUdc1yjmHpKLHSHF3MpzOPa6uxSj3qb4=",
			`{"taskId":"ee9c2715375b7837f8bb51d641ff5863","code":200,"msg":"Success",
			  "data":{"task_id":"ee9c2715375b7837f8bb51d641ff5863","callbackType":"task_completed"}}`,
		},
	} {
		header := signed(strconv.FormatInt(tt.timestamp, 10), tt.signature)
		got, err := p.Callback(t.Context(), header, []byte(tt.body), time.Unix(tt.timestamp, 0))
		if err != nil {
			t.Fatalf("Callback of %s: %v", tt.id, err)
		}
		want := provider.Callback{ProviderTaskID: tt.id, Proof: provider.ProofID, Status: provider.Status{Phase: provider.Succeeded}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("callback of %s (-want +got):\n%s", tt.id, diff)
		}
	}
}

func TestCallback_JudgesSignatureAndTime(t *testing.T) {
	t.Parallel()
	const sent = 1755078480
	by := func(key, timestamp string) http.Header { return signed(timestamp, sign([]byte(key), "T", timestamp)) }
	at := func(offset int64) string { return strconv.FormatInt(sent+offset, 10) }
	keys := []string{"old-key", "new-key"}
	for _, tt := range []struct {
		name   string
		keys   []string
		header http.Header
		want   error // Nil means proven.
	}{
		{"only key", keys[:1], by("old-key", at(0)), nil},
		{"first of two keys", keys, by("old-key", at(0)), nil},
		{"second of two keys", keys, by("new-key", at(0)), nil},
		{"retired key", keys[1:], by("old-key", at(0)), provider.ErrCallbackSignature},
		{"oldest time", keys, by("new-key", at(-300)), nil},
		{"too old", keys, by("new-key", at(-301)), provider.ErrCallbackStale},
		{"farthest future", keys, by("new-key", at(300)), nil},
		{"too far in the future", keys, by("new-key", at(301)), provider.ErrCallbackStale},
		{"milliseconds", keys, by("new-key", "1755078480000"), provider.ErrCallbackStale},
		{"smallest integer", keys, by("new-key", "-9223372036854775808"), provider.ErrCallbackStale},
		{"largest integer", keys, by("new-key", "9223372036854775807"), provider.ErrCallbackStale},
		{"no integer, signed", keys, by("new-key", "now"), provider.ErrCallbackStale},
		{"no integer, not signed", keys, signed("now", "x"), provider.ErrCallbackSignature},
		{"too old and wrong", keys, by("stranger", at(-301)), provider.ErrCallbackSignature},
		{"no headers", keys, http.Header{}, provider.ErrCallbackSignature},
		{"no signature", keys, http.Header{timestampHeader: {at(0)}}, provider.ErrCallbackSignature},
		{"no timestamp", keys, http.Header{signatureHeader: {sign([]byte("new-key"), "T", "")}}, provider.ErrCallbackSignature},
		{"of another task", keys, signed(at(0), sign([]byte("new-key"), "U", at(0))), provider.ErrCallbackSignature},
		{"of another time", keys, signed(at(1), sign([]byte("new-key"), "T", at(0))), provider.ErrCallbackSignature},
		{"of the empty key", keys, by("", at(0)), provider.ErrCallbackSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, "", withKeys(tt.keys...))
			got, err := p.Callback(t.Context(), tt.header, []byte(`{"code":500,"data":{"taskId":"T"}}`), time.Unix(sent, 0))
			if !errors.Is(err, tt.want) {
				t.Fatalf("error is %v, want %v", err, tt.want)
			}
			want := provider.Callback{ProviderTaskID: "T"}
			if tt.want == nil {
				want.Proof = provider.ProofID
				want.Status = provider.Status{Phase: provider.Failed, Code: 500}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("callback (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCallback_IsAHintWithoutSigningKeys(t *testing.T) {
	t.Parallel()
	for _, header := range []http.Header{{}, signed("1755078480", "wrong"), signed("1", "IZtmj3keJ3PEjcWND9q+YgwIW204ftiTVm58iOSngkY=")} {
		got, err := newProvider(t, "").Callback(t.Context(), header, []byte(`{"code":200,"data":{"taskId":"T"}}`), time.Now())
		if err != nil || got.Proof != provider.ProofNone {
			t.Errorf("headers %v: proven %v, %v; want a hint", header, got.Proof, err)
		}
	}
}

func TestCallback_HonoursTheConfiguredWindow(t *testing.T) {
	t.Parallel()
	p := newProvider(t, "", withKeys("k"), func(c *Config) { c.SignatureWindow = time.Hour })
	header := signed("1755078480", sign([]byte("k"), "T", "1755078480"))
	body := []byte(`{"code":200,"data":{"taskId":"T"}}`)
	if _, err := p.Callback(t.Context(), header, body, time.Unix(1755078480+3600, 0)); err != nil {
		t.Errorf("at the edge: %v", err)
	}
	if _, err := p.Callback(t.Context(), header, body, time.Unix(1755078480+3601, 0)); !errors.Is(err, provider.ErrCallbackStale) {
		t.Errorf("past the edge: %v, want stale", err)
	}
}
