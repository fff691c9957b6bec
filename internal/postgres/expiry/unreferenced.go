package expiry

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
)

// unreferencedAge is how old a file must be before it counts as unreferenced. A new file gets its row within minutes.
const unreferencedAge = 48 * time.Hour

// selectUnreferenced finds old files that no row names. The task is in the keys of outputs.
const selectUnreferenced = `
SELECT file.key
FROM unnest($1::text[], $2::timestamptz[], $3::uuid[]) AS file (key, change_time, task_id)
WHERE file.change_time < now() - make_interval(secs => $4)
  AND NOT EXISTS (SELECT FROM unkept_file WHERE unkept_file.key = file.key)
  AND NOT EXISTS (SELECT FROM source WHERE source.key = file.key)
  AND NOT EXISTS (SELECT FROM source_part WHERE source_part.key = file.key)
  AND NOT EXISTS (
      SELECT FROM attempt JOIN output ON output.attempt_id = attempt.id
      WHERE attempt.task_id = file.task_id AND output.key = file.key AND output.remove_time IS NULL)`

// outputKey matches the keys of outputs, with the id of their task.
var outputKey = regexp.MustCompile(`^outputs/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/[^/]+$`)

// UnreferencedFiles returns those of some files, each with the time at which it changed, that no row names and that are too
// old to get one.
func (s *Store) UnreferencedFiles(ctx context.Context, keys []string, changed []time.Time) ([]string, error) {
	tasks := make([]*string, len(keys))
	for i, key := range keys {
		if m := outputKey.FindStringSubmatch(key); m != nil {
			tasks[i] = &m[1]
		}
	}
	rows, err := s.pool.Query(ctx, selectUnreferenced, keys, changed, tasks, unreferencedAge.Seconds())
	if err != nil {
		return nil, fmt.Errorf("look for the rows of %d files: %w", len(keys), err)
	}
	unreferenced, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for the rows of %d files: %w", len(keys), err)
	}
	return unreferenced, nil
}
