package main

import "fmt"

// The packages whose tests are named.
const (
	service   = "cmd/refract"
	lifecycle = "internal/lifecycle"
	postgres  = "internal/postgres"
)

// mutations are all mutations, by promise. A mutation must not make one of its tests loop forever, which can take all
// memory before the timeout.
var mutations = append(differences(), []mutation{
	// 2. Idempotent submit.
	{
		2, "no-on-conflict", "internal/postgres/insert_tasks.go",
		"    ON CONFLICT ON CONSTRAINT task_request_id_key DO NOTHING\n",
		"",
		[]test{
			{service, "TestPromise02_IdempotentSubmit"},
			{postgres, "TestCreateTasks_OneRequestIDMakesOneTask"},
			{lifecycle, "TestSubmit_ConcurrentCallsMakeOneTask"},
		},
	},
}...)

// differences are mutations for promise 2 that leave one field of a submission out of the comparison.
func differences() []mutation {
	var all []mutation
	for _, field := range []string{
		"prompt", "source.uri", "source.source_id", "watermark", "strength", "model", "first_frame_uri", "provider",
		"fallback_providers", "priority", "labels", "deadline", "max_attempts",
	} {
		all = append(all, mutation{
			2, "another-" + field, "internal/task/task.go",
			fmt.Sprintf("	differs(%q, ", field),
			fmt.Sprintf("	differs(%q, true || ", field),
			[]test{{service, "TestPromise02_AnotherPayloadIsRefused"}},
		})
	}
	return all
}
