package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDashboards_AreGenerated compares the dashboards for Grafana with the tables below. Whether their expressions name what is
// measured, TestMonitoring_RulesAndDashboardsNameWhatIsMeasured checks on a running service.
// `go test ./cmd/refract -run Dashboards -update` writes them.
func TestDashboards_AreGenerated(t *testing.T) {
	t.Parallel()
	for file, b := range map[string]board{"refract.json": overview, "refract-providers.json": providers} {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(b.grafana()); err != nil {
			t.Fatal(err)
		}
		path := "../../deploy/grafana/" + file
		if *update {
			if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text.String(), string(got)); diff != "" {
			t.Errorf("%s (-code +file):\n%s", path, diff)
		}
	}
}

// board is a dashboard: questions of an operator, each a row of panels that answer it.
type board struct {
	uid, title, description string
	variables               []variable
	rows                    []row
}

// variable is a choice of the values of a label.
type variable struct{ name, metric, label string }

type row struct {
	question string
	panels   []panel
}

// panel shows expressions over time, or the newest value of the only one.
type panel struct {
	title, description string
	unit               string // Of Grafana: s, ops, short, percentunit, bytes, Bps.
	stat               bool   // Shows the newest value.
	lines              []line
}

type line struct{ expr, legend string }

// overview is about the whole service.
var overview = board{
	uid: "refract-overview", title: "Refract: overview",
	description: "Is Refract healthy, what do callers see, what waits, and what is in the way? Accounts have a dashboard of their own.",
	variables:   []variable{{"instance", "refract_build_info", "instance"}},
	rows: []row{
		{"Is it healthy?", []panel{
			{title: "Ready replicas", unit: "short", stat: true, lines: []line{{`sum(refract_ready)`, "ready"}}},
			{title: "Replicas that can store results", unit: "short", stat: true, lines: []line{{`sum(refract_storage_up)`, "can store"}}},
			{title: "Builds", unit: "short", description: "More than one while a release is rolled out.", lines: []line{
				{`count by (version, revision, goversion) (refract_build_info)`, "{{version}} {{revision}} {{goversion}}"},
			}},
			{title: "Calls that fail because of the service", unit: "percentunit", lines: []line{{`refract:rpc_errors:ratio_rate5m`, "calls"}}},
			{title: "Failures of the database", unit: "ops", lines: []line{{`sum by (cause) (rate(refract_database_failures_total[$__rate_interval]))`, "{{cause}}"}}},
			{title: "Failures of the storage", unit: "ops", lines: []line{{`sum by (operation) (rate(refract_storage_failures_total[$__rate_interval]))`, "{{operation}}"}}},
		}},
		{"What do callers see?", []panel{
			{title: "Calls, gRPC and REST", unit: "ops", lines: []line{{`sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count{instance=~"$instance"}[$__rate_interval]))`, "{{rpc_method}}"}}},
			{title: "Calls by status, other than OK", unit: "ops", lines: []line{{`sum by (rpc_method, rpc_response_status_code) (rate(rpc_server_call_duration_seconds_count{instance=~"$instance", rpc_response_status_code!="OK"}[$__rate_interval]))`, "{{rpc_method}} {{rpc_response_status_code}}"}}},
			{title: "Duration of calls, 99th percentile, without streams", unit: "s", lines: []line{{`histogram_quantile(0.99, sum by (le, rpc_method) (rate(rpc_server_call_duration_seconds_bucket{instance=~"$instance", rpc_method!~".*/(Watch|Upload).*"}[$__rate_interval])))`, "{{rpc_method}}"}}},
			{title: "HTTP requests", unit: "ops", lines: []line{{`sum by (listener, http_route, http_request_method) (rate(http_server_request_duration_seconds_count{instance=~"$instance"}[$__rate_interval]))`, "{{listener}} {{http_request_method}} {{http_route}}"}}},
			{title: "HTTP requests by status, from 400 on", unit: "ops", lines: []line{{`sum by (listener, http_route, http_response_status_code) (rate(http_server_request_duration_seconds_count{instance=~"$instance", http_response_status_code=~"[45].."}[$__rate_interval]))`, "{{listener}} {{http_route}} {{http_response_status_code}}"}}},
			{title: "HTTP requests in progress", unit: "short", lines: []line{{`sum by (listener) (http_server_active_requests{instance=~"$instance"})`, "{{listener}}"}}},
		}},
		{"What waits, and for what?", []panel{
			{title: "Tasks by state", unit: "short", lines: []line{{`max by (provider, state) (refract_tasks)`, "{{provider}} {{state}}"}}},
			{title: "QUEUED tasks by cause", unit: "short", lines: []line{{`max by (provider, cause) (refract_tasks_waiting)`, "{{provider}} {{cause}}"}}},
			{title: "Oldest task by state", unit: "s", lines: []line{{`max by (provider, state) (refract_task_oldest_age_seconds)`, "{{provider}} {{state}}"}}},
			{title: "Time in a state, median", unit: "s", lines: []line{{`histogram_quantile(0.5, sum by (le, state) (rate(refract_task_state_duration_seconds_bucket[$__rate_interval])))`, "{{state}}"}}},
			{title: "Time in a state, 95th percentile", unit: "s", lines: []line{{`histogram_quantile(0.95, sum by (le, state) (rate(refract_task_state_duration_seconds_bucket[$__rate_interval])))`, "{{state}}"}}},
			{title: "Tasks that leave a state", unit: "ops", lines: []line{{`sum by (state) (rate(refract_task_state_duration_seconds_count[$__rate_interval]))`, "{{state}}"}}},
		}},
		{"Do watchers and webhooks get changes in time?", []panel{
			{title: "Streams", unit: "short", lines: []line{{`sum by (instance, kind) (refract_watch_streams{instance=~"$instance"})`, "{{instance}} {{kind}}"}}},
			{title: "Lag of streams", unit: "s", lines: []line{
				{`histogram_quantile(0.5, sum by (le) (rate(refract_watch_lag_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`, "median"},
				{`histogram_quantile(0.99, sum by (le) (rate(refract_watch_lag_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`, "99th percentile"},
			}},
			{title: "Reads of events", unit: "ops", lines: []line{{`sum by (reader, outcome) (rate(refract_watch_read_seconds_count{instance=~"$instance"}[$__rate_interval]))`, "{{reader}} {{outcome}}"}}},
			{title: "Time since the log was read", unit: "s", lines: []line{{`max by (instance) (refract_watch_sweep_age_seconds{instance=~"$instance"})`, "{{instance}}"}}},
			{title: "Webhooks: lag of first attempts", unit: "s", lines: []line{
				{`histogram_quantile(0.5, sum by (le) (rate(refract_webhook_first_attempt_lag_seconds_bucket[$__rate_interval])))`, "median"},
				{`histogram_quantile(0.95, sum by (le) (rate(refract_webhook_first_attempt_lag_seconds_bucket[$__rate_interval])))`, "95th percentile"},
			}},
			{title: "Webhooks: requests by outcome", unit: "ops", lines: []line{{`sum by (outcome) (rate(refract_webhook_attempts_total[$__rate_interval]))`, "{{outcome}}"}}},
			{title: "Webhooks: deliveries that wait", unit: "short", lines: []line{{`max(refract_webhook_backlog)`, "waiting"}}},
			{title: "Webhooks: deliveries that ended", unit: "ops", lines: []line{{`sum by (state) (rate(refract_webhook_deliveries_total[$__rate_interval]))`, "{{state}}"}}},
			{title: "Webhooks: lag of deliveries, oldest event", unit: "s", lines: []line{
				{`histogram_quantile(0.95, sum by (le) (rate(refract_webhook_delivery_lag_seconds_bucket[$__rate_interval])))`, "95th percentile of deliveries"},
				{`max(refract_webhook_oldest_event_seconds)`, "oldest event"},
			}},
			{title: "Webhooks: disabled endpoints", unit: "short", stat: true, lines: []line{{`max(refract_webhook_disabled_endpoints)`, "disabled"}}},
		}},
		{"Does the database keep up?", []panel{
			{title: "Connections", unit: "short", lines: []line{
				{`sum by (instance, state) (refract_database_connections{instance=~"$instance"})`, "{{instance}} {{state}}"},
				{`max by (instance) (refract_database_connections_max{instance=~"$instance"})`, "{{instance}} max"},
			}},
			{title: "Calls that wait for a connection", unit: "short", description: "On average at a time.", lines: []line{{`sum by (instance) (rate(refract_database_acquire_wait_seconds_total{instance=~"$instance"}[$__rate_interval]))`, "{{instance}}"}}},
			{title: "Acquires by outcome", unit: "ops", lines: []line{{`sum by (outcome) (rate(refract_database_acquires_total{instance=~"$instance"}[$__rate_interval]))`, "{{outcome}}"}}},
			{title: "Items in a group commit", unit: "short", lines: []line{
				{`sum by (group) (rate(refract_group_commit_items_sum{instance=~"$instance"}[$__rate_interval])) / sum by (group) (rate(refract_group_commit_items_count{instance=~"$instance"}[$__rate_interval]))`, "{{group}}"},
			}},
			{title: "Duration of a group commit, 99th percentile", unit: "s", lines: []line{{`histogram_quantile(0.99, sum by (le, group) (rate(refract_group_commit_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`, "{{group}}"}}},
			{title: "Removed by retention", unit: "ops", lines: []line{{`sum by (kind) (rate(refract_retention_removed_total[$__rate_interval]))`, "{{kind}}"}}},
		}},
		{"What does the process use?", []panel{
			{title: "Memory", unit: "bytes", lines: []line{{`max by (instance) (process_resident_memory_bytes{job="refract", instance=~"$instance"})`, "{{instance}}"}}},
			{title: "Processors", unit: "short", lines: []line{{`sum by (instance) (rate(process_cpu_seconds_total{job="refract", instance=~"$instance"}[$__rate_interval]))`, "{{instance}}"}}},
			{title: "Goroutines", unit: "short", lines: []line{{`max by (instance) (go_goroutines{job="refract", instance=~"$instance"})`, "{{instance}}"}}},
		}},
	},
}

// providers is about provider accounts.
var providers = board{
	uid: "refract-providers", title: "Refract: providers",
	description: "Do the providers answer, do their callbacks arrive, are results saved in time, and what do limits leave?",
	variables:   []variable{{"account", "refract_admission_permits", "account"}},
	rows: []row{
		{"Can tasks go there?", []panel{
			{title: "Paused accounts", unit: "short", lines: []line{{`max by (account, by) (refract_admission_paused{account=~"$account"})`, "{{account}} by {{by}}"}}},
			{title: "Attempts in flight", unit: "short", lines: []line{
				{`max by (account, state) (refract_admission_permits{account=~"$account", limit="in_flight"})`, "{{account}} {{state}}"},
			}},
			{title: "Rate window", unit: "short", lines: []line{
				{`max by (account, state) (refract_admission_permits{account=~"$account", limit="window"})`, "{{account}} {{state}}"},
			}},
		}},
		{"Do they answer?", []panel{
			{title: "Calls", unit: "ops", lines: []line{{`sum by (account, operation, outcome) (rate(refract_provider_call_seconds_count{account=~"$account"}[$__rate_interval]))`, "{{account}} {{operation}} {{outcome}}"}}},
			{title: "Calls that fail", unit: "percentunit", lines: []line{{`account_operation:refract_provider_call_failures:ratio_rate10m{account=~"$account"}`, "{{account}} {{operation}}"}}},
			{title: "Duration of calls, 95th percentile", unit: "s", lines: []line{{`histogram_quantile(0.95, sum by (le, account, operation) (rate(refract_provider_call_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "{{account}} {{operation}}"}}},
		}},
		{"How do attempts end, and who says so?", []panel{
			{title: "Verdicts by state", unit: "ops", lines: []line{{`sum by (account, state) (rate(refract_attempt_verdicts_total{account=~"$account"}[$__rate_interval]))`, "{{account}} {{state}}"}}},
			{title: "Verdicts by who brought them", unit: "ops", description: "Where callbacks stop arriving, checks take over.", lines: []line{{`sum by (account, by) (rate(refract_attempt_verdicts_total{account=~"$account"}[$__rate_interval]))`, "{{account}} {{by}}"}}},
			{title: "Unknown outcomes", unit: "short", lines: []line{{`max by (account) (refract_attempts_unconfirmed{account=~"$account"})`, "{{account}}"}}},
		}},
		{"Do callbacks arrive?", []panel{
			{title: "Callbacks by verdict", unit: "ops", lines: []line{{`sum by (account, verdict) (rate(refract_callbacks_total{account=~"$account|unknown"}[$__rate_interval]))`, "{{account}} {{verdict}}"}}},
			{title: "Time to store a callback", unit: "s", lines: []line{
				{`histogram_quantile(0.5, sum by (le) (rate(refract_callback_lag_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "median"},
				{`histogram_quantile(0.99, sum by (le) (rate(refract_callback_lag_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "99th percentile"},
			}},
			{title: "Preparations of sources", unit: "ops", lines: []line{{`sum by (account, outcome) (rate(refract_source_preparation_seconds_count{account=~"$account"}[$__rate_interval]))`, "{{account}} {{outcome}}"}}},
		}},
		{"Are results saved in time?", []panel{
			{title: "Saves by outcome", unit: "ops", lines: []line{{`sum by (account, outcome) (rate(refract_output_saves_total{account=~"$account"}[$__rate_interval]))`, "{{account}} {{outcome}}"}}},
			{title: "Tries that fail", unit: "percentunit", lines: []line{{`account:refract_output_try_failures:ratio_rate15m{account=~"$account"}`, "{{account}}"}}},
			{title: "Time that links live when a try begins, 5th percentile", unit: "s", lines: []line{{`histogram_quantile(0.05, sum by (le, account) (rate(refract_output_link_left_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "{{account}}"}}},
			{title: "Duration of tries, 95th percentile", unit: "s", lines: []line{{`histogram_quantile(0.95, sum by (le, account) (rate(refract_output_try_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "{{account}}"}}},
			{title: "Saved bytes", unit: "Bps", lines: []line{{`sum by (account) (rate(refract_output_saved_bytes_total{account=~"$account"}[$__rate_interval]))`, "{{account}}"}}},
		}},
	},
}

// object is an object of JSON.
type object map[string]any

const panelWidth, panelHeight = 8, 8

// grafana returns the dashboard as Grafana imports it.
func (b board) grafana() object {
	variables := []object{{
		"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": object{}, "hide": 0, "refresh": 1, "regex": "",
		"multi": false, "includeAll": false, "options": []object{}, "skipUrlSync": false,
	}}
	for _, v := range b.variables {
		query := "label_values(" + v.metric + ", " + v.label + ")"
		variables = append(variables, object{
			"name": v.name, "label": v.name, "type": "query", "datasource": source(), "definition": query,
			"query": object{"query": query, "refId": "variable"}, "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
			"current": object{"text": "All", "value": "$__all"}, "hide": 0, "options": []object{}, "regex": "", "skipUrlSync": false,
		})
	}
	var panels []object
	id, y := 0, 0
	for _, r := range b.rows {
		id++
		panels = append(panels, object{
			"id": id, "type": "row", "title": r.question, "collapsed": false, "panels": []object{},
			"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
		})
		y++
		for i, p := range r.panels {
			id++
			panels = append(panels, p.grafana(id, panelWidth*(i%3), y+panelHeight*(i/3)))
		}
		y += panelHeight * ((len(r.panels) + 2) / 3)
	}
	return object{
		"uid": b.uid, "title": b.title, "description": b.description, "tags": []string{"refract"}, "schemaVersion": 41, "version": 1, "editable": true,
		"id": nil, "graphTooltip": 1, "refresh": "30s", "timezone": "", "weekStart": "", "fiscalYearStartMonth": 0, "liveNow": false,
		"time": object{"from": "now-6h", "to": "now"}, "timepicker": object{}, "links": []object{}, "annotations": object{"list": []object{}},
		"templating": object{"list": variables}, "panels": panels,
	}
}

func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

func (p panel) grafana(id, x, y int) object {
	var targets []object
	for i, l := range p.lines {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "datasource": source(), "expr": l.expr, "legendFormat": l.legend, "editorMode": "code", "range": !p.stat, "instant": p.stat,
		})
	}
	o := object{
		"id": id, "title": p.title, "type": "timeseries", "datasource": source(), "targets": targets,
		"gridPos":     object{"x": x, "y": y, "w": panelWidth, "h": panelHeight},
		"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []object{}},
		"options":     object{"legend": object{"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": object{"mode": "multi", "sort": "desc"}},
	}
	if p.description != "" {
		o["description"] = p.description
	}
	if p.stat {
		o["type"] = "stat"
		o["options"] = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}, "colorMode": "value", "graphMode": "area"}
	}
	return o
}
