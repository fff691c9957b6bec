package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Script writes with pgbench the rows that one operation of Refract writes.
type Script struct {
	Shape string // How the statements are sent.
	text  string
}

// scripts returns the three shapes in which a client can send the statements of one transaction. Which one is fastest
// depends on the statements, the number of clients and the machine.
func scripts(statements ...string) []Script {
	var with strings.Builder
	last := len(statements) - 1
	for i, s := range statements[:last] {
		fmt.Fprintf(&with, "%s write%d AS (%s)", []string{"WITH", ","}[min(i, 1)], i, s)
	}
	list := strings.Join(statements, ";\n") + ";\n"
	return []Script{
		{"transaction of single statements", "BEGIN;\n" + list + "COMMIT;\n"},
		{"one statement", with.String() + "\n" + statements[last] + ";\n"},
		// What comes before the Sync of \endpipeline is one transaction, without BEGIN and COMMIT.
		{"pipelined", "\\startpipeline\n" + list + "\\endpipeline\n"},
	}
}

// The ids of the rows with the number :n, as TaskID and AttemptID make them.
const (
	preparedTask    = `('00000000-0000-7000-8000-' || lpad((:n)::text, 12, '0'))::uuid`
	preparedAttempt = `('00000000-0000-7000-9000-' || lpad((:n)::text, 12, '0'))::uuid`
	submittedTask   = `('00000000-0000-7000-a000-' || lpad((:n)::text, 12, '0'))::uuid`
)

// CallbackScripts write what a callback about a row of Prepare writes: they update task and attempt, and insert the event,
// the row of the inbox, and the job that fetches the result.
func CallbackScripts() []Script {
	body := strings.ReplaceAll(CallbackBody(ProviderTaskID(0)), `\`, `\\`)
	return scripts(
		`UPDATE task SET state = 'SAVING', revision = revision + 1, result_attempt = `+preparedAttempt+`, not_before_time = now(), update_time = now()
WHERE id = `+preparedTask,
		`UPDATE attempt SET state = 'SUCCEEDED', settle_time = now(), next_check_time = NULL
WHERE id = `+preparedAttempt,
		`INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
VALUES (`+preparedTask+`, 2, 'SAVING', 1, 'kie finished attempt 1', 'bench')`,
		`INSERT INTO callback (attempt_id, account, provider_task_id, verdict, body)
VALUES (`+preparedAttempt+`, 'kie', lpad((:n)::text, 32, '0'), 'applied', '`+body+`')`,
		`INSERT INTO river_job (args, created_at, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags)
VALUES (jsonb_build_object('attempt_id', `+preparedAttempt+`), now(), 'save_outputs', 32767, '{}', 1, 'save_outputs', now(), 'available', '{}')`,
	)
}

// SubmitScripts write what a submission writes: they insert the task and its first event. A submission has no job: admission
// enqueues it later, with the attempt.
func SubmitScripts() []Script {
	return scripts(
		`INSERT INTO task (id, tenant, request_id, prompt, source_uri, watermark, strength, model, first_frame_uri, asked_provider,
                  fallbacks, route, provider, priority, labels, deadline, max_attempts, state, revision, allowance, deadline_time)
VALUES (`+submittedTask+`, 'baseline', gen_random_uuid()::text, '`+Prompt+`', '`+SourceURI+`',
        '', '', '', '', '', '{}', '{kie}', 'kie', 0, '{"team": "films"}', interval '6 hours', 1, 'QUEUED', 1, 1, now() + interval '6 hours')`,
		`INSERT INTO task_event (task_id, revision, state, attempt, message, tenant)
VALUES (`+submittedTask+`, 1, 'QUEUED', 0, 'submitted', 'baseline')`,
	)
}

// Trial is what pgbench did with a script and a number of clients.
type Trial struct {
	Script  Script
	Clients int
	Rate    Rate
}

// String names the shape and the number of clients.
func (t Trial) String() string {
	return fmt.Sprintf("pgbench, %s, %d clients", t.Script.Shape, t.Clients)
}

// Best returns the trial with the highest rate, the first of equals, or the zero value if there is none.
func Best(trials []Trial) Trial {
	var best Trial
	for _, t := range trials {
		if t.Rate.PerSecond > best.Rate.PerSecond {
			best = t
		}
	}
	return best
}

// trialClients are the numbers of clients with which each script is tried.
var trialClients = []int{4, 16, 32, 64}

// Try runs each script with several numbers of clients. The function rows returns the first of the rows that are set aside
// for one trial.
func (p Pgbench) Try(ctx context.Context, scripts []Script, duration time.Duration, rows func() (int, error)) ([]Trial, error) {
	var trials []Trial
	for _, script := range scripts {
		for _, clients := range trialClients {
			first, err := rows()
			if err != nil {
				return nil, err
			}
			rate, err := p.Run(ctx, PgbenchRun{Script: script, Clients: clients, FirstRow: first, For: duration})
			if err != nil {
				return nil, fmt.Errorf("try %s with %d clients: %w", script.Shape, clients, err)
			}
			trials = append(trials, Trial{script, clients, rate})
		}
	}
	return trials, nil
}
