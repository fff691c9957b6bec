package postgres_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/task"
)

// idOfAge returns an id as tasks of an age have it.
func idOfAge(age time.Duration) task.ID {
	id := uuid.Must(uuid.NewV7())
	stamp := binary.BigEndian.Uint64(id[:8])
	binary.BigEndian.PutUint64(id[:8], stamp-uint64(age.Milliseconds())<<16)
	return task.ID(id.String())
}

// createAged stores a new task that looks as old as age.
func createAged(t *testing.T, stores *postgres.Stores, pool *pgxpool.Pool, tenant string, spec task.Spec, age time.Duration) task.Task {
	t.Helper()
	c := stores.Tasks.CreateTasks(t.Context(), []task.Decision{task.New(idOfAge(age), tenant, newID(), spec, []string{"kie"})})[0]
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	exec(t, pool, "UPDATE task SET create_time = now() - make_interval(secs => $2) WHERE id = $1", c.Task.ID, age.Seconds())
	return c.Task
}

// fillTenant inserts the given number of tasks that have ended. They are older than all others.
func fillTenant(t *testing.T, pool *pgxpool.Pool, tenant string, n int) {
	t.Helper()
	exec(t, pool, `
INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider,
                  fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, deadline_time)
SELECT ('00000000-0001-7000-8000-' || lpad(n::text, 12, '0'))::uuid, $1, 'filler-' || n, 'a prompt', 'https://example.com/a.mp4', '', '', '', '', '',
       '{}', '{kie}', 'kie', 0, '{}', '1 hour', 1, 'CANCELED', 1, 1, now()
FROM generate_series(1, $2::int) AS n`, tenant, n)
}

func TestListTasks_FindsModelsProvidersAndText(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	names := map[task.ID]string{}
	add := func(name, prompt, model, provider string) task.Task {
		spec := plain()
		spec.Prompt, spec.Model = prompt, model
		created := create(t, stores, "films", spec)
		exec(t, pool, "UPDATE task SET route = ARRAY[$2], provider = $2 WHERE id = $1", created.ID, provider)
		names[created.ID] = name
		return created
	}
	ours := add("ours", "Make it SNOW", "luma/ray-2-modify", "kie")
	add("default", "100% rain", "", "luma")
	add("remote", `a_b\c`, "modify/generate", "kie")
	add("other", "Über die Brücke", "", "kie")
	twin := stores.Tasks.CreateTasks(t.Context(), []task.Decision{begin("films", string(ours.ID), plain())})[0].Task
	names[twin.ID] = "twin"
	add("twin's neighbor", "about "+ours.RequestID, "x", "kie")
	stranger := create(t, stores, "shorts", plain())

	offerings := []task.Offering{{Provider: "luma"}, {Provider: "kie", Model: "modify/generate"}}
	for name, tc := range map[string]struct {
		filter task.Filter
		want   []string
		named  bool
	}{
		"a model":                          {task.Filter{Models: []string{"luma/ray-2-modify"}}, []string{"ours"}, false},
		"a model and its offerings":        {task.Filter{Models: []string{"luma/ray-2-modify"}, Offerings: offerings}, []string{"remote", "default", "ours"}, false},
		"an unknown model":                 {task.Filter{Models: []string{"none"}}, nil, false},
		"a provider":                       {task.Filter{Providers: []string{"luma"}}, []string{"default"}, false},
		"two providers":                    {task.Filter{Providers: []string{"luma", "kie"}, Text: "a"}, []string{"twin's neighbor", "twin", "remote", "default", "ours"}, false},
		"a text in another case":           {task.Filter{Text: "make it snow"}, []string{"twin", "ours"}, false},
		"a percent sign":                   {task.Filter{Text: "0%"}, []string{"default"}, false},
		"an underscore and a backslash":    {task.Filter{Text: `A_B\C`}, []string{"remote"}, false},
		"a wildcard is no wildcard":        {task.Filter{Text: "Make%snow"}, nil, false},
		"a text and another filter":        {task.Filter{Text: "make it snow", Models: []string{"luma/ray-2-modify"}}, []string{"ours"}, false},
		"a request id, also in a prompt":   {task.Filter{Text: ours.RequestID}, []string{"ours", "twin's neighbor"}, true},
		"an id, also another's request id": {task.Filter{Text: string(ours.ID)}, []string{"ours", "twin"}, true},
		"an id in capitals":                {task.Filter{Text: uuid.MustParse(string(twin.ID)).URN()[9:]}, []string{"twin"}, true},
		"the named alone":                  {task.Filter{Text: ours.RequestID, Limit: 1}, []string{"ours"}, true},
		"a named that does not match":      {task.Filter{Text: ours.RequestID, States: []task.State{task.Failed}}, nil, false},
		"after the first page":             {task.Filter{Text: ours.RequestID, Before: "ffffffff-ffff-ffff-ffff-ffffffffffff"}, []string{"twin's neighbor"}, false},
		"another tenant's id":              {task.Filter{Text: string(stranger.ID)}, nil, false},
		"another tenant's request id":      {task.Filter{Text: stranger.RequestID}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.filter.Tenant = "films"
			if tc.filter.Limit == 0 {
				tc.filter.Limit = 10
			}
			page, err := stores.Tasks.ListTasks(t.Context(), tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, listed := range page.Tasks {
				got = append(got, names[listed.ID])
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("listed tasks (-want +got):\n%s", diff)
			}
			if page.Named != tc.named || page.SearchedTo != nil {
				t.Errorf("named %t, want %t; searched to %v, want the end", page.Named, tc.named, page.SearchedTo)
			}
		})
	}
}

// TestListTasks_LooksAtTenThousandTasks finds an old task among many that do not match: by the second page, or at once by its id.
func TestListTasks_LooksAtTenThousandTasks(t *testing.T) {
	t.Parallel()
	const many = 12_345
	stores, pool := setup(t)
	fillTenant(t, pool, "films", many)
	exec(t, pool, "ANALYZE task")
	oldest := task.ID("00000000-0001-7000-8000-000000000001")
	exec(t, pool, "UPDATE task SET prompt = 'the oldest', labels = '{\"team\": \"a\"}', provider = 'luma', route = '{luma}', model = 'm' WHERE id = $1", oldest)
	last := task.ID("00000000-0001-7000-8000-000000002346") // The last of ten thousand.
	for name, f := range map[string]task.Filter{
		"labels":    {Labels: map[string]string{"team": "a"}},
		"text":      {Text: "the OLDEST"},
		"providers": {Providers: []string{"luma"}},
		"models":    {Models: []string{"m"}},
		"offerings": {Models: []string{"x"}, Offerings: []task.Offering{{Provider: "luma", Model: "m"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.Tenant, f.Limit = "films", 51
			first, err := stores.Tasks.ListTasks(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if len(first.Tasks) > 0 || first.SearchedTo == nil || first.SearchedTo.ID != last || first.SearchedTo.CreateTime.IsZero() {
				t.Fatalf("the first page has %d tasks and ends at %+v, want none and %s", len(first.Tasks), first.SearchedTo, last)
			}
			f.Before = first.SearchedTo.ID
			second, err := stores.Tasks.ListTasks(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if len(second.Tasks) != 1 || second.Tasks[0].ID != oldest || second.SearchedTo != nil {
				t.Errorf("the second page has %d tasks and ends at %+v, want the oldest and the end", len(second.Tasks), second.SearchedTo)
			}
		})
	}
	for name, text := range map[string]string{"id": string(oldest), "request id": "filler-1"} {
		page, err := stores.Tasks.ListTasks(t.Context(), task.Filter{Tenant: "films", Text: text, Limit: 51})
		if err != nil {
			t.Fatal(err)
		}
		if !page.Named || page.Tasks[0].ID != oldest {
			t.Errorf("a search for the %s found %d tasks, named %t", name, len(page.Tasks), page.Named)
		}
	}
	// The last of ten thousand is not missed and not shown twice.
	for tasks, before := 0, task.ID(""); ; {
		page, err := stores.Tasks.ListTasks(t.Context(), task.Filter{Tenant: "films", States: []task.State{task.Canceled}, Limit: 6000, Before: before})
		if err != nil {
			t.Fatal(err)
		}
		tasks += len(page.Tasks)
		if len(page.Tasks) < 6000 && page.SearchedTo == nil {
			if tasks != many {
				t.Errorf("the pages have %d tasks, want %d", tasks, many)
			}
			return
		}
		before = page.Tasks[len(page.Tasks)-1].ID
	}
}

// TestListTasks_TimesBoundWhatIsLookedAt has so many tasks after and before the period that a page could not look past them.
// TestListTasks_SearchesABoundedAmountOfPrompts has prompts so long that far fewer than ten thousand tasks are searched.
func TestListTasks_SearchesABoundedAmountOfPrompts(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	fillTenant(t, pool, "films", 2000)
	exec(t, pool, "UPDATE task SET prompt = repeat('snow', 1500)")
	oldest := task.ID("00000000-0001-7000-8000-000000000001")
	exec(t, pool, "UPDATE task SET prompt = prompt || '!' WHERE id = $1", oldest)
	f := task.Filter{Tenant: "films", Text: "w!", Limit: 10}
	var pages int
	for {
		page, err := stores.Tasks.ListTasks(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		if page.SearchedTo == nil {
			if len(page.Tasks) != 1 || page.Tasks[0].ID != oldest || pages != 3 {
				t.Errorf("page %d is the last and has %d tasks, want page 3 with the oldest", pages, len(page.Tasks))
			}
			break
		}
		if len(page.Tasks) > 0 {
			t.Fatalf("page %d has %d tasks, want none", pages, len(page.Tasks))
		}
		f.Before = page.SearchedTo.ID
	}
	all := task.Filter{Tenant: "films", Labels: map[string]string{"team": "a"}, Limit: 10}
	if page, err := stores.Tasks.ListTasks(t.Context(), all); err != nil || page.SearchedTo != nil {
		t.Errorf("without a text the page ends at %+v, %v, want the end", page.SearchedTo, err)
	}
}

func TestListTasks_TimesBoundWhatIsLookedAt(t *testing.T) {
	t.Parallel()
	stores, pool := setup(t)
	old := createAged(t, stores, pool, "films", plain(), 3*time.Hour)
	fillTenant(t, pool, "films", 10_001)
	exec(t, pool, "UPDATE task SET create_time = now() - interval '20 hours' WHERE request_id LIKE 'filler-%'")
	from, to := time.Now().Add(-4*time.Hour), time.Now().Add(-2*time.Hour)
	page, err := stores.Tasks.ListTasks(t.Context(), task.Filter{Tenant: "films", FromTime: from, ToTime: to, Limit: 51})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Tasks) != 1 || page.Tasks[0].ID != old.ID || page.SearchedTo != nil {
		t.Errorf("tasks since then: %d, searched to %+v; want one, and the end", len(page.Tasks), page.SearchedTo)
	}
	// The same tasks, but newer than the period.
	exec(t, pool, "UPDATE task SET id = ('ffffffff' || substr(id::text, 9))::uuid, create_time = now() WHERE request_id LIKE 'filler-%'")
	page, err = stores.Tasks.ListTasks(t.Context(), task.Filter{Tenant: "films", FromTime: from, ToTime: to, Limit: 51})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Tasks) != 1 || page.Tasks[0].ID != old.ID || page.SearchedTo != nil {
		t.Errorf("tasks until then: %d, searched to %+v; want one, and the end", len(page.Tasks), page.SearchedTo)
	}
}
