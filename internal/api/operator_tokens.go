package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/lifecycle"
)

// TokenStore has the API tokens by their hashes. It records changes in the audit log.
type TokenStore interface {
	// Issue makes a token for a tenant, and returns it with its secret. The error is identity.ErrTooManyTokens if the tenant has as
	// many as it may.
	Issue(ctx context.Context, tenant string, operator bool) (t identity.APIToken, secret string, err error)
	// List returns the tokens that a filter selects, by tenant and time of creation.
	List(ctx context.Context, f identity.TokenFilter) ([]identity.APIToken, error)
	// Revoke ends a token and returns it. The error is identity.ErrTokenNotFound if no live token has the id.
	Revoke(ctx context.Context, id string) (identity.APIToken, error)
}

// ListAPITokens lists API tokens.
func (s *OperatorService) ListAPITokens(ctx context.Context, req *refractv1.ListAPITokensRequest) (*refractv1.ListAPITokensResponse, error) {
	after, err := parseTokenPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	tokens, err := s.tokens.List(ctx, identity.TokenFilter{Tenant: req.GetTenant(), After: after, Limit: size + 1})
	if err != nil {
		return nil, err
	}
	page, more := fill(tokens, size, apiToken)
	resp := &refractv1.ListAPITokensResponse{Tokens: page}
	if more {
		resp.NextPageToken = tokenPageToken(tokens[len(page)-1].Place())
	}
	return resp, nil
}

// CreateAPIToken creates an API token.
//
// NOTE: the response alone has the secret. The store gets its hash, and the log and the audit log get its id.
func (s *OperatorService) CreateAPIToken(ctx context.Context, req *refractv1.CreateAPITokenRequest) (*refractv1.CreateAPITokenResponse, error) {
	if err := identity.CheckTenant(req.GetTenant()); err != nil {
		return nil, &lifecycle.FieldError{Field: "tenant", Message: err.Error()}
	}
	t, secret, err := s.tokens.Issue(ctx, req.GetTenant(), req.GetOperator())
	if err != nil {
		return nil, &tokenError{fact: "tenant", value: req.GetTenant(), err: err}
	}
	s.logChange(ctx, "new API token", "token_id", t.ID, "tenant", t.Tenant, "for_operator", t.Operator)
	return &refractv1.CreateAPITokenResponse{Token: apiToken(&t), Secret: secret}, nil
}

// RevokeAPIToken ends an API token.
func (s *OperatorService) RevokeAPIToken(ctx context.Context, req *refractv1.RevokeAPITokenRequest) (*refractv1.RevokeAPITokenResponse, error) {
	id := strings.ToLower(req.GetTokenId())
	t, err := s.tokens.Revoke(ctx, id)
	if err != nil {
		return nil, &tokenError{fact: "token_id", value: id, err: err}
	}
	s.logChange(ctx, "revocation of an API token", "token_id", t.ID, "tenant", t.Tenant, "for_operator", t.Operator)
	return &refractv1.RevokeAPITokenResponse{Token: apiToken(&t)}, nil
}

// tokenError is an error about an API token, or about the tokens of a tenant.
type tokenError struct {
	fact, value string // What the metadata of the status has.
	err         error
}

// Error names the token or the tenant.
func (e *tokenError) Error() string {
	return fmt.Sprintf("API token with %s %q: %v", e.fact, e.value, e.err)
}

// Unwrap returns the cause.
func (e *tokenError) Unwrap() error { return e.err }

func apiToken(t *identity.APIToken) *refractv1.APIToken {
	m := &refractv1.APIToken{Id: t.ID, Tenant: t.Tenant, Operator: t.Operator, CreateTime: timestamppb.New(t.CreateTime)}
	if t.RevokeTime != nil {
		m.RevokeTime = timestamppb.New(*t.RevokeTime)
	}
	return m
}

// A page token of ListAPITokens is the place of the last token of the page before: its id, its time of creation in microseconds,
// which is as exact as the database is, and its tenant.
func tokenPageToken(last identity.TokenPlace) string {
	id, err := uuid.Parse(last.ID)
	if err != nil {
		return ""
	}
	place := binary.BigEndian.AppendUint64(id[:], uint64(last.CreateTime.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(place, last.Tenant...))
}

func parseTokenPageToken(token string) (identity.TokenPlace, error) {
	const numbers = len(uuid.UUID{}) + 8
	if token == "" {
		return identity.TokenPlace{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) <= numbers {
		return identity.TokenPlace{}, errPageToken()
	}
	place := identity.TokenPlace{
		ID:         uuid.UUID(raw[:len(uuid.UUID{})]).String(),
		CreateTime: time.UnixMicro(int64(binary.BigEndian.Uint64(raw[len(uuid.UUID{}):]))), //nolint:gosec // See tokenPageToken.
		Tenant:     string(raw[numbers:]),
	}
	micros := place.CreateTime.UnixMicro()
	if !validText(place.Tenant) || micros < 0 || micros > maxMicros || tokenPageToken(place) != token {
		return identity.TokenPlace{}, errPageToken()
	}
	return place, nil
}
