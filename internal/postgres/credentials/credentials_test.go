package credentials_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/identity"
	"github.com/refract-video/refract/internal/postgres/credentials"
	"github.com/refract-video/refract/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func TestCreateAPIToken_TwoAreLiveAtMost(t *testing.T) {
	t.Parallel()
	tokens := credentials.NewAPITokens(postgrestest.Pool(t))
	const callers, tenants = 4, 15 // Few enough that all have a connection at once.
	for i := range tenants {
		tenant := fmt.Sprint("films", i)
		errs := postgrestest.AtOnce(t.Context(), callers, func(ctx context.Context, i int) error {
			hash := sha256.Sum256(fmt.Append(nil, tenant, i))
			_, err := tokens.Create(ctx, credentials.APIToken{ID: uuid.NewString(), Tenant: tenant}, hash[:])
			return err
		})
		for _, err := range errs {
			if !errors.Is(err, identity.ErrTooManyTokens) {
				t.Errorf("Create = %v, want ErrTooManyTokens", err)
			}
		}
		if len(errs) != callers-2 {
			t.Errorf("%d of %d were refused, want all but two", len(errs), callers)
		}
	}
	hash := sha256.Sum256([]byte("other"))
	if _, err := tokens.Create(t.Context(), credentials.APIToken{ID: uuid.NewString(), Tenant: "shorts"}, hash[:]); err != nil {
		t.Errorf("Create of another tenant: %v", err)
	}
	for tenant, want := range map[string]int{"films0": 2, "shorts": 1, "": 2*tenants + 1, "nobody": 0} {
		listed, err := tokens.List(t.Context(), identity.TokenFilter{Tenant: tenant})
		if err != nil || len(listed) != want {
			t.Errorf("List(%q) = %d tokens, %v, want %d", tenant, len(listed), err, want)
		}
	}
}

func TestRevokeAPIToken_EndsItAndMakesRoom(t *testing.T) {
	t.Parallel()
	tokens := credentials.NewAPITokens(postgrestest.Pool(t))
	hash := sha256.Sum256([]byte("token"))
	created, err := tokens.Create(t.Context(), credentials.APIToken{ID: uuid.NewString(), Tenant: "films"}, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	second := sha256.Sum256([]byte("second"))
	if _, err := tokens.Create(t.Context(), credentials.APIToken{ID: uuid.NewString(), Tenant: "films"}, second[:]); err != nil {
		t.Fatal(err)
	}
	if got := liveTokens(t, tokens); !maps.Equal(got, map[string]string{string(hash[:]): "films", string(second[:]): "films"}) {
		t.Errorf("LiveTokens = %q, want both of films", got)
	}
	revoked, err := tokens.Revoke(t.Context(), created.ID)
	if err != nil {
		t.Fatal(err)
	}
	if revoked.RevokeTime == nil || revoked.ID != created.ID || revoked.Tenant != "films" || !revoked.CreateTime.Equal(created.CreateTime) {
		t.Errorf("Revoke = %+v, want %+v with a time of revocation", revoked, created)
	}
	if got := liveTokens(t, tokens); !maps.Equal(got, map[string]string{string(second[:]): "films"}) {
		t.Errorf("LiveTokens after a revocation = %q, want the second", got)
	}
	for _, id := range []string{created.ID, uuid.NewString(), "no id at all"} {
		if _, err := tokens.Revoke(t.Context(), id); !errors.Is(err, identity.ErrTokenNotFound) {
			t.Errorf("Revoke(%s) = %v, want ErrTokenNotFound", id, err)
		}
	}
	third := sha256.Sum256([]byte("third"))
	if _, err := tokens.Create(t.Context(), credentials.APIToken{ID: uuid.NewString(), Tenant: "films"}, third[:]); err != nil {
		t.Errorf("CreateAPIToken after a revocation: %v", err)
	}
	listed, err := tokens.List(t.Context(), identity.TokenFilter{Tenant: "films"})
	if err != nil || len(listed) != 3 || listed[0].RevokeTime == nil || listed[1].RevokeTime != nil {
		t.Errorf("List = %+v, %v, want three with the first revoked", listed, err)
	}
}

func TestListAPITokens_PagesFollowEachOther(t *testing.T) {
	t.Parallel()
	tokens := credentials.NewAPITokens(postgrestest.Pool(t))
	for _, tenant := range []string{"films", "ads", "films", "shorts"} {
		_, hash := identity.NewAPIToken()
		if _, err := tokens.Create(t.Context(), credentials.APIToken{ID: uuid.NewString(), Tenant: tenant}, hash); err != nil {
			t.Fatal(err)
		}
	}
	for tenant, want := range map[string][]string{"": {"ads", "films", "films", "shorts"}, "films": {"films", "films"}, "nobody": nil} {
		var got, ids []string
		for f := (identity.TokenFilter{Tenant: tenant, Limit: 1}); ; {
			page, err := tokens.List(t.Context(), f)
			if err != nil || len(page) > 1 {
				t.Fatalf("List(%+v) = %+v, %v, want one token", f, page, err)
			}
			if len(page) == 0 {
				break
			}
			got, ids, f.After = append(got, page[0].Tenant), append(ids, page[0].ID), page[0].Place()
		}
		slices.Sort(ids)
		if !slices.Equal(got, want) || len(slices.Compact(ids)) != len(want) {
			t.Errorf("the pages of %q have the tokens of %q, want %q", tenant, got, want)
		}
	}
}

// liveTokens returns whose the live tokens are, by hash. None is an operator's.
func liveTokens(t *testing.T, tokens *credentials.APITokens) map[string]string {
	t.Helper()
	live := map[string]string{}
	err := tokens.LiveTokens(t.Context(), func(hash []byte, h identity.Holder) {
		if live[string(hash)] = h.Tenant; h.Operator {
			t.Errorf("token %s of %s is an operator's", h.ID, h.Tenant)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return live
}

func TestSecret_AllProposersGetTheSame(t *testing.T) {
	t.Parallel()
	secrets := credentials.NewSecrets(postgrestest.Pool(t))
	var mu sync.Mutex
	var got [][]byte
	errs := postgrestest.AtOnce(t.Context(), 10, func(ctx context.Context, i int) error {
		value, err := secrets.Secret(ctx, "callback", bytes.Repeat([]byte{byte(i)}, 32))
		mu.Lock()
		defer mu.Unlock()
		got = append(got, value)
		return err
	})
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	for _, value := range got {
		if len(value) != 32 || !bytes.Equal(value, got[0]) {
			t.Fatalf("secrets %x and %x differ", value, got[0])
		}
	}
	other, err := secrets.Secret(t.Context(), "other", []byte("another"))
	if err != nil || string(other) != "another" {
		t.Errorf("a secret of another name = %q, %v", other, err)
	}
}
