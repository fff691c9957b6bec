package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/identity"
)

// SessionStore is where the sessions of the console are.
type SessionStore interface {
	// List returns live sessions, newest first.
	List(ctx context.Context, f identity.SessionFilter) ([]identity.Session, error)
	// End ends a session, or returns identity.ErrSessionNotFound.
	End(ctx context.Context, id string) (identity.Session, error)
}

// sessionError is an error about a session.
type sessionError struct {
	session string
	err     error
}

// Error returns what happened to which session.
func (e *sessionError) Error() string { return fmt.Sprintf("session %s: %v", e.session, e.err) }

// Unwrap returns the cause.
func (e *sessionError) Unwrap() error { return e.err }

// ListConsoleSessions lists the live sessions of the console.
func (s *OperatorService) ListConsoleSessions(ctx context.Context, req *refractv1.ListConsoleSessionsRequest) (*refractv1.ListConsoleSessionsResponse, error) {
	f, err := parseSessionPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	f.Tenant, f.Limit = req.GetTenant(), size+1
	sessions, err := s.sessions.List(ctx, f)
	if err != nil {
		return nil, err
	}
	page, more := fill(sessions, size, consoleSession)
	resp := &refractv1.ListConsoleSessionsResponse{Sessions: page}
	if more {
		resp.NextPageToken = sessionPageToken(sessions[len(page)-1])
	}
	return resp, nil
}

// EndConsoleSession ends a session of the console. The replicas stop to take its cookie when they read their sessions the next time.
func (s *OperatorService) EndConsoleSession(ctx context.Context, req *refractv1.EndConsoleSessionRequest) (*refractv1.EndConsoleSessionResponse, error) {
	session, err := s.sessions.End(ctx, req.GetSessionId())
	if err != nil {
		return nil, &sessionError{req.GetSessionId(), err}
	}
	s.logChange(ctx, "console session ended", "session_id", session.ID, "tenant", session.Tenant)
	return &refractv1.EndConsoleSessionResponse{Session: consoleSession(&session)}, nil
}

func consoleSession(s *identity.Session) *refractv1.ConsoleSession {
	return &refractv1.ConsoleSession{
		Id: s.ID, Tenant: s.Tenant, Operator: s.Operator, Actor: s.Actor.Name,
		CreateTime: timestamppb.New(s.CreateTime), ExpireTime: timestamppb.New(s.ExpireTime),
	}
}

// A page token of ListConsoleSessions is the time of creation and the id of the last session of the page before.
func sessionPageToken(last identity.Session) string {
	id, err := uuid.Parse(last.ID)
	if err != nil {
		return ""
	}
	raw := binary.BigEndian.AppendUint64(nil, uint64(last.CreateTime.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(raw, id[:]...))
}

func parseSessionPageToken(token string) (f identity.SessionFilter, err error) {
	if token == "" {
		return f, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 8+16 {
		return f, errPageToken()
	}
	last := identity.Session{
		CreateTime: time.UnixMicro(int64(binary.BigEndian.Uint64(raw))), //nolint:gosec // An impossible time is found below.
		ID:         uuid.UUID(raw[8:]).String(),
	}
	if y := last.CreateTime.Year(); y < 1970 || y > 9999 || sessionPageToken(last) != token { // Base64 knows several spellings, and we one.
		return f, errPageToken()
	}
	return identity.SessionFilter{BeforeTime: last.CreateTime, BeforeID: last.ID}, nil
}
