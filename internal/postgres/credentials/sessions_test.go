package credentials_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/audit"
	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres/auditlog"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

// byJWT returns the session of a person of tenant films.
func byJWT(name string) identity.Session {
	return identity.Session{Tenant: "films", Actor: audit.Actor{Kind: audit.JWT, Name: name, Tenant: "films"}}
}

func hashOf(secret string) []byte { return identity.HashSecret(secret) }

// live returns the ids of those sessions that are live, by secret.
func live(t *testing.T, sessions *credentials.Sessions, secrets ...string) map[string]string {
	t.Helper()
	names := map[string]string{}
	var hashes [][]byte
	for _, secret := range secrets {
		names[string(hashOf(secret))] = secret
		hashes = append(hashes, hashOf(secret))
	}
	ids := map[string]string{}
	err := sessions.LiveSessions(t.Context(), hashes, func(hash []byte, s identity.Session) { ids[names[string(hash)]] = s.ID })
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestSessions_EndWhenTheyAreEnded(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	sessions := credentials.NewSessions(pool)
	created := map[string]identity.Session{}
	for _, secret := range []string{"one", "two", "three"} {
		s, err := sessions.Create(t.Context(), byJWT("alice"), hashOf(secret))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.ExpireTime.Sub(s.CreateTime); got != identity.SessionLife {
			t.Errorf("a session lasts %s, want %s", got, identity.SessionLife)
		}
		created[secret] = s
	}
	if _, err := sessions.End(t.Context(), created["one"].ID); err != nil {
		t.Fatal(err)
	}
	if err := sessions.SignOut(t.Context(), hashOf("two")); err != nil {
		t.Fatal(err)
	}
	if got := live(t, sessions, "one", "two", "three", "four"); len(got) != 1 || got["three"] != created["three"].ID {
		t.Errorf("live sessions %v, want the third", got)
	}
	for _, id := range []string{created["one"].ID, uuid.NewString(), "no id"} {
		if _, err := sessions.End(t.Context(), id); !errors.Is(err, identity.ErrSessionNotFound) {
			t.Errorf("End(%s) = %v, want ErrSessionNotFound", id, err)
		}
	}
	if err := sessions.SignOut(t.Context(), hashOf("two")); !errors.Is(err, identity.ErrSessionNotFound) {
		t.Errorf("a second SignOut = %v, want ErrSessionNotFound", err)
	}
	events, err := auditlog.New(pool).Events(t.Context(), audit.Filter{Action: "console_session", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range events {
		actions = append(actions, e.Action+" by "+e.Actor.Name)
	}
	// End had no actor, and signing out is an action of the person who signed in.
	if got, want := fmt.Sprint(actions), fmt.Sprint([]string{"console_session.end by alice", "console_session.create by alice", "console_session.create by alice", "console_session.create by alice"}); got != want {
		t.Errorf("audit log %s, want %s", got, want)
	}
}

func TestSessions_EndWithTheirToken(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"UPDATE api_token SET revoke_time = now()", "DELETE FROM api_token"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.Pool(t)
			tokens, sessions := credentials.NewAPITokens(pool), credentials.NewSessions(pool)
			hash := sha256.Sum256([]byte("token"))
			token, err := tokens.Create(t.Context(), credentials.APIToken{ID: uuid.NewString(), Tenant: "films"}, hash[:])
			if err != nil {
				t.Fatal(err)
			}
			made := identity.Session{Tenant: "films", Actor: audit.Actor{Kind: audit.Token, Name: token.ID, Tenant: "films"}, TokenID: token.ID}
			if _, err := sessions.Create(t.Context(), made, hashOf("secret")); err != nil {
				t.Fatal(err)
			}
			if got := live(t, sessions, "secret"); len(got) != 1 {
				t.Fatalf("live sessions %v, want one", got)
			}
			if _, err := pool.Exec(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			if got := live(t, sessions, "secret"); len(got) != 0 {
				t.Errorf("live sessions %v after the end of the token, want none", got)
			}
			listed, err := sessions.List(t.Context(), identity.SessionFilter{Limit: 10})
			if err != nil || len(listed) != 0 {
				t.Errorf("List = %v, %v, want none", listed, err)
			}
		})
	}
}

func TestSessions_TwentyOfAnActorAreLiveAtMost(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	sessions := credentials.NewSessions(pool)
	if _, err := sessions.Create(t.Context(), byJWT("bob"), hashOf("bob")); err != nil {
		t.Fatal(err)
	}
	var secrets []string
	for i := range 21 {
		secrets = append(secrets, fmt.Sprint("alice", i))
		if _, err := sessions.Create(t.Context(), byJWT("alice"), hashOf(secrets[i])); err != nil {
			t.Fatal(err)
		}
	}
	got := live(t, sessions, append(secrets, "bob")...)
	if _, ok := got["alice0"]; ok || len(got) != 21 {
		t.Errorf("%d sessions are live, the oldest: %t; want 21 without the oldest of alice", len(got), ok)
	}
}

func TestSessions_AreListedByPage(t *testing.T) {
	t.Parallel()
	sessions := credentials.NewSessions(postgrestest.Pool(t))
	var want []string
	for i := range 5 {
		s, err := sessions.Create(t.Context(), byJWT(fmt.Sprint("person", i)), hashOf(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		want = append([]string{s.ID}, want...)
	}
	other := byJWT("carol")
	other.Tenant = "ads"
	if _, err := sessions.Create(t.Context(), other, hashOf("other")); err != nil {
		t.Fatal(err)
	}
	var got []string
	f := identity.SessionFilter{Tenant: "films", Limit: 2}
	for {
		page, err := sessions.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page {
			got = append(got, s.ID)
			f.BeforeTime, f.BeforeID = s.CreateTime, s.ID
		}
		if len(page) < f.Limit {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("pages have %v, want %v", got, want)
	}
}

func TestSessions_RowsThatExpiredAreRemoved(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	sessions := credentials.NewSessions(pool)
	if _, err := sessions.Create(t.Context(), byJWT("alice"), hashOf("old")); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "UPDATE console_session SET create_time = now() - interval '9 hours', expire_time = now() - interval '1 hour'"); err != nil {
		t.Fatal(err)
	}
	if got := live(t, sessions, "old"); len(got) != 0 {
		t.Errorf("live sessions %v, want none", got)
	}
	if _, err := sessions.Create(t.Context(), byJWT("bob"), hashOf("new")); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM console_session").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v, want the new one", rows, err)
	}
}

// TestLinks_WorkOnce has several callers use one link at once.
func TestLinks_WorkOnce(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	sessions := credentials.NewSessions(pool)
	ctx := audit.WithActor(t.Context(), audit.Actor{Kind: audit.Command, Name: "root@host"})
	code, err := sessions.CreateLink(ctx, "films", true)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // Looking at it uses nothing up.
		s, err := sessions.Link(t.Context(), hashOf(code))
		if err != nil || s.Tenant != "films" || !s.Operator || s.Actor.Name != "root@host" {
			t.Fatalf("Link = %+v, %v", s, err)
		}
	}
	const callers = 4
	errs := postgrestest.AtOnce(t.Context(), callers, func(ctx context.Context, i int) error {
		_, err := sessions.UseLink(ctx, hashOf(code), hashOf(fmt.Sprint(i)))
		return err
	})
	for _, err := range errs {
		if !errors.Is(err, identity.ErrLinkNotFound) {
			t.Errorf("UseLink = %v, want ErrLinkNotFound", err)
		}
	}
	if len(errs) != callers-1 {
		t.Errorf("%d of %d were refused, want all but one", len(errs), callers)
	}
	if got := live(t, sessions, "0", "1", "2", "3"); len(got) != 1 {
		t.Errorf("live sessions %v, want one", got)
	}
	if _, err := sessions.Link(t.Context(), hashOf(code)); !errors.Is(err, identity.ErrLinkNotFound) {
		t.Errorf("Link afterwards = %v, want ErrLinkNotFound", err)
	}
}

func TestLinks_Expire(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	sessions := credentials.NewSessions(pool)
	code, err := sessions.CreateLink(t.Context(), "films", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "UPDATE console_login_link SET create_time = now() - interval '11 minutes', expire_time = now() - interval '1 minute'"); err != nil {
		t.Fatal(err)
	}
	if _, err := sessions.UseLink(t.Context(), hashOf(code), hashOf("secret")); !errors.Is(err, identity.ErrLinkNotFound) {
		t.Errorf("UseLink = %v, want ErrLinkNotFound", err)
	}
	if _, err := sessions.CreateLink(t.Context(), "", true); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM console_login_link").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v, want the new one", rows, err)
	}
}
