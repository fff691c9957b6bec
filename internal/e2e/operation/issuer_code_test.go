package operation_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// signIns are the people who sign in at the issuer by the authorization code flow, and what it makes of the next one.
type signIns struct {
	mu          sync.Mutex
	client      string
	secret      string
	redirectURI string
	claims      map[string]any // Changes of the claims of an ID token.
	refusal     string         // The error with which people are sent back; empty for none.
	broken      bool           // Whether no code is exchanged.
	codes       map[string]url.Values
}

// next says what the issuer makes of the people who sign in from now on.
func (s *signIns) next(claims map[string]any, refusal string, broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims, s.refusal, s.broken = claims, refusal, broken
}

// authorize sends a person back with a code, as if they had typed their password.
func (i *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	s, query := &i.signIns, r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, good := range map[string]bool{
		"client_id":             query.Get("client_id") == s.client,
		"redirect_uri":          query.Get("redirect_uri") == s.redirectURI,
		"response_type":         query.Get("response_type") == "code",
		"scope":                 slices.Contains(strings.Fields(query.Get("scope")), "openid"),
		"state":                 len(query.Get("state")) >= 20,
		"nonce":                 len(query.Get("nonce")) >= 20,
		"code_challenge":        len(query.Get("code_challenge")) == 43,
		"code_challenge_method": query.Get("code_challenge_method") == "S256",
	} {
		if !good {
			http.Error(w, "wrong "+name+": "+query.Get(name), http.StatusBadRequest)
			return
		}
	}
	back := url.Values{"state": {query.Get("state")}}
	if s.refusal != "" {
		back.Set("error", s.refusal)
		back.Set("error_description", "<b>secret of the issuer</b>")
	} else {
		back.Set("code", rand.Text())
		if s.codes == nil {
			s.codes = map[string]url.Values{}
		}
		s.codes[back.Get("code")] = query
	}
	http.Redirect(w, r, s.redirectURI+"?"+back.Encode(), http.StatusFound)
}

// exchange exchanges a code once, for a caller who has the secret of the client and the verifier of the code.
func (i *issuer) exchange(t *testing.T, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	s := &i.signIns
	s.mu.Lock()
	begun, known := s.codes[r.PostFormValue("code")]
	delete(s.codes, r.PostFormValue("code"))
	changes, broken := s.claims, s.broken
	s.mu.Unlock()
	refuse := func(status int, problem string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"error":"` + problem + `","error_description":"secret of the issuer"}`))
	}
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	client, secret, _ := r.BasicAuth()
	switch {
	case broken:
		http.Error(w, "out of order", http.StatusBadGateway)
		return
	case client != url.QueryEscape(s.client) || secret != url.QueryEscape(s.secret):
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	case !known || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != s.redirectURI,
		base64.RawURLEncoding.EncodeToString(challenge[:]) != begun.Get("code_challenge"):
		refuse(http.StatusBadRequest, "invalid_grant")
		return
	}
	claims := map[string]any{"aud": s.client, "nonce": begun.Get("nonce")}
	for name, value := range changes {
		claims[name] = value
	}
	_, token, _ := strings.Cut(i.token(t, "first", "films", claims), " ")
	i.answer(t, w, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 60, "id_token": token})
}
