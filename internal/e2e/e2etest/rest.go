package e2etest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Metric returns the sum of a counter's series with these labels.
func (ts *Service) Metric(t *testing.T, name string, labels ...string) int {
	t.Helper()
	_, _, text := Request(t, http.MethodGet, "http://"+ts.HTTPAddr()+"/metrics", "")
	sum := 0
	for _, series := range regexp.MustCompile(`(?m)^`+name+`\{(.*)\} (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		fits := true
		for _, label := range labels {
			fits = fits && strings.Contains(series[1], label)
		}
		if n, err := strconv.Atoi(series[2]); err == nil && fits {
			sum += n
		}
	}
	return sum
}

// Rest calls the HTTP listener and returns status and body.
func (ts *Service) Rest(t *testing.T, method, path, body string, header ...string) (int, []byte) {
	t.Helper()
	status, _, answer := Request(t, method, "http://"+ts.HTTPAddr()+path, body,
		append([]string{"Authorization", "Bearer " + ts.Token}, header...)...)
	return status, answer
}

// Request makes an HTTP request. Its headers are given as name, value, name, value.
func Request(t *testing.T, method, url, body string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Hung)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp.StatusCode, resp.Header, answer
}

// ErrorBody is an error of the REST API.
type ErrorBody struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type            string            `json:"@type"`
		Reason          string            `json:"reason"`
		Domain          string            `json:"domain"`
		Metadata        map[string]string `json:"metadata"`
		FieldViolations []struct {
			Field string `json:"field"`
		} `json:"fieldViolations"`
	} `json:"details"`
}

// DecodeError returns the error in an answer over REST.
func DecodeError(t *testing.T, body []byte) ErrorBody {
	t.Helper()
	var e ErrorBody
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("the error is not JSON: %v\n%s", err, body)
	}
	return e
}
