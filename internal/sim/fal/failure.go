package fal

import (
	"net/http"
	"strconv"

	"github.com/refract-video/refract/internal/sim"
)

// failure is the error with which a request completed. The models report an error as a list of details. The platform
// reports its own as a text with an error_type.
type failure struct {
	status  int
	name    string // The error_type, or the type of the detail.
	message string
	loc     []string // Empty for an error of the platform.
}

// newFailure returns the error of a job that stands at v. The code of a forged callback replaces that of the job.
func newFailure(j *sim.Job, v sim.Status, forged int) failure {
	f := failure{status: v.Code, message: v.Message}
	switch {
	case forged != 0:
		f.status = forged
	case j.Script.FailureName != "" && j.Script.FailureCode == 0:
		f.status, f.name = http.StatusUnprocessableEntity, j.Script.FailureName
	case j.Script.FailureName != "":
		f.name = j.Script.FailureName
	}
	if f.status == http.StatusNotImplemented || f.status < 400 { // The first is the engine's own number of a failure.
		f.status = http.StatusInternalServerError
	}
	if f.status == http.StatusUnprocessableEntity {
		return f.ofModel(j)
	}
	if f.name == "" {
		f.name = platformType(f.status)
	}
	return f
}

// ofModel completes an error that a model reports.
func (f failure) ofModel(j *sim.Job) failure {
	bad := j.Submission.BadInput
	switch {
	case f.name != "":
		f.loc = []string{"body", "prompt"}
	case bad != nil:
		f.name, f.loc = bad.Type, []string{"body", bad.Field}
	default:
		f.name, f.loc = "file_download_error", []string{"body", "video_url"}
	}
	return f
}

// platformErrors are the errors of the platform with their usual status. A page of fal about request errors has most of them.
// The statuses of runner_connection_refused, runner_connection_error, runner_incomplete_response and runner_server_error are
// inferred from it.
var platformErrors = []struct {
	name   string
	status int
}{
	{"bad_request", http.StatusBadRequest},
	{"client_cancelled", codeCanceled},
	{"internal_error", http.StatusInternalServerError},
	{"runner_server_error", http.StatusInternalServerError},
	{"runner_connection_error", http.StatusBadGateway},
	{"runner_incomplete_response", http.StatusBadGateway},
	{"runner_disconnected", http.StatusServiceUnavailable},
	{"runner_scheduling_failure", http.StatusServiceUnavailable},
	{"runner_connection_timeout", http.StatusServiceUnavailable},
	{"runner_connection_refused", http.StatusServiceUnavailable},
	{"request_timeout", http.StatusGatewayTimeout},
	{"startup_timeout", http.StatusGatewayTimeout},
}

// platformStatus returns the status of an error_type, and 500 for one that is not known.
func platformStatus(name string) int {
	for _, e := range platformErrors {
		if e.name == name {
			return e.status
		}
	}
	return http.StatusInternalServerError
}

// platformType returns an error_type that fits a status.
func platformType(status int) string {
	for _, e := range platformErrors {
		if e.status == status {
			return e.name
		}
	}
	if status < http.StatusInternalServerError {
		return "bad_request"
	}
	return "internal_error"
}

type detail struct {
	Loc  []string `json:"loc"`
	Msg  string   `json:"msg"`
	Type string   `json:"type"`
}

// body returns the body of the answer, and the payload of the webhook.
func (f failure) body() any {
	if len(f.loc) > 0 {
		return map[string][]detail{"detail": {{Loc: f.loc, Msg: f.message, Type: f.name}}}
	}
	return map[string]string{"detail": f.message, "error_type": f.name}
}

// setHeaders sets the headers of the answer.
func (f failure) setHeaders(h http.Header, j *sim.Job) {
	h.Set("X-Fal-Retryable", strconv.FormatBool(f.status >= http.StatusInternalServerError))
	if len(f.loc) == 0 {
		h.Set("X-Fal-Error-Type", f.name)
	}
	if f.status == http.StatusGatewayTimeout && j.Submission.StartTimeout > 0 {
		h.Set("X-Fal-Request-Timeout-Type", "user")
	}
}
