package doctor

import (
	"errors"
	"testing"
	"time"

	"github.com/refract-video/refract/internal/postgres/facts"
	"github.com/refract-video/refract/internal/provider"
)

var errLost = errors.New("lost")

func want(t *testing.T, name string, got Result, status Status) {
	t.Helper()
	if got.Status != status {
		t.Errorf("%s: %s %q, want %s", name, got.Status, got.Found, status)
	}
	if needsAction := got.Status == Warn || got.Status == Fail; needsAction != (got.Action != "") || got.Found == "" {
		t.Errorf("%s: a result says what was found, and what to do if it is not good: %+v", name, got)
	}
}

func TestJudgeVersion_TakesWhatTheStatementsAreWrittenFor(t *testing.T) {
	t.Parallel()
	want(t, "13", judgeVersion(facts.Server{Major: 13}, nil), Fail)
	want(t, "14", judgeVersion(facts.Server{Major: 14}, nil), OK)
	want(t, "19", judgeVersion(facts.Server{Major: 19}, nil), OK)
	want(t, "no answer", judgeVersion(facts.Server{}, errLost), Fail)
}

func TestJudgeClock_GoesByTheLeastPossibleDifference(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		clock facts.Clock
		err   error
		want  Status
	}{
		"the same":                     {facts.Clock{Ahead: time.Millisecond, Error: time.Millisecond}, nil, OK},
		"a network that is slow":       {facts.Clock{Ahead: 3 * time.Second, Error: 3 * time.Second}, nil, OK},
		"ahead":                        {facts.Clock{Ahead: 3 * time.Second, Error: time.Millisecond}, nil, Warn},
		"behind":                       {facts.Clock{Ahead: -3 * time.Second, Error: time.Millisecond}, nil, Warn},
		"so far that signatures stale": {facts.Clock{Ahead: -6 * time.Minute, Error: time.Millisecond}, nil, Fail},
		"no answer":                    {facts.Clock{}, errLost, Fail},
	} {
		want(t, name, judgeClock(tc.clock, tc.err), tc.want)
	}
}

func TestJudgeConnections_CountsWhatOthersUse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		connections facts.Connections
		err         error
		want        Status
	}{
		"enough":                            {facts.Connections{Allowed: 97, Used: 60, Others: 10}, nil, OK},
		"just enough":                       {facts.Connections{Allowed: 22}, nil, OK},
		"too few":                           {facts.Connections{Allowed: 21}, nil, Fail},
		"others use them":                   {facts.Connections{Allowed: 97, Used: 80, Others: 80}, nil, Warn},
		"other replicas do not count twice": {facts.Connections{Allowed: 97, Used: 80, Others: 0}, nil, OK},
		"no answer":                         {facts.Connections{}, errLost, Fail},
	} {
		want(t, name, judgeConnections(tc.connections, 22, tc.err), tc.want)
	}
}

func TestJudgeReplication_FindsCommitsThatHang(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		replication facts.Replication
		err         error
		want        Status
	}{
		"none":                                {facts.Replication{}, nil, OK},
		"asynchronous":                        {facts.Replication{Visible: true, Standbys: 1}, nil, OK},
		"synchronous":                         {facts.Replication{Required: "*", Visible: true, Standbys: 2, Synchronous: 1}, nil, OK},
		"synchronous, to a standby that left": {facts.Replication{Required: "*", Visible: true, Standbys: 1}, nil, Fail},
		"synchronous, and not visible":        {facts.Replication{Required: "*"}, nil, OK},
		"no answer":                           {facts.Replication{}, errLost, Fail},
	} {
		want(t, name, judgeReplication(tc.replication, tc.err), tc.want)
	}
}

func TestJudgeAccount_SaysWhoseTroubleItIs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		funds provider.Cost
		err   error
		want  Status
	}{
		"credits":           {provider.Cost{Amount: "5916.25", Unit: "credits"}, nil, OK},
		"less than one":     {provider.Cost{Amount: "0.5", Unit: "credits"}, nil, OK},
		"no credits":        {provider.Cost{Amount: "0", Unit: "credits"}, nil, Warn},
		"no credits at all": {provider.Cost{Amount: "0.00", Unit: "credits"}, nil, Warn},
		"a wrong key":       {provider.Cost{}, &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseCredentials, Code: 401}, Fail},
		"a firewall":        {provider.Cost{}, &provider.Error{Class: provider.AccountBlocked, Pause: provider.PauseBlocked, Code: 403}, Fail},
		"no answer":         {provider.Cost{}, &provider.Error{Class: provider.Unavailable, Err: errLost}, Fail},
		"an outage":         {provider.Cost{}, &provider.Error{Class: provider.Unavailable, Code: 500}, Warn},
		"too many calls":    {provider.Cost{}, &provider.Error{Class: provider.RateLimited, Code: 429}, Warn},
		"a wrong URL":       {provider.Cost{}, &provider.Error{Class: provider.Rejected, Code: 404}, Fail},
	} {
		want(t, name, judgeAccount(tc.funds, tc.err), tc.want)
	}
}

func TestJudgeDisk_KeepsRoomForTheLargestResult(t *testing.T) {
	t.Parallel()
	want(t, "plenty", judgeDisk("/d", 100<<30, nil), OK)
	want(t, "little", judgeDisk("/d", 5<<30, nil), Warn)
	want(t, "too little", judgeDisk("/d", 1<<30, nil), Fail)
	want(t, "no answer", judgeDisk("/d", 0, errLost), Fail)
}
