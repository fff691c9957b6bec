package callback_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"github.com/refract-video/refract/internal/callback"
	"github.com/refract-video/refract/internal/task"
)

func tokensOf(t *testing.T, keys ...string) *callback.Tokens {
	t.Helper()
	var all [][]byte
	for _, key := range keys {
		all = append(all, bytes.Repeat([]byte(key), 32))
	}
	tokens, err := callback.NewTokens(all...)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// TestSelfTest_ProvesKeyAndBody has services with different keys answer self-tests.
func TestSelfTest_ProvesKeyAndBody(t *testing.T) {
	t.Parallel()
	doctor := tokensOf(t, "a")
	for name, tc := range map[string]struct {
		service *callback.Tokens
		arrived string
		want    callback.SelfTestResult
	}{
		"the same key":                    {tokensOf(t, "a"), "body", callback.SelfTestPassed},
		"a key that is being replaced":    {tokensOf(t, "a", "b"), "body", callback.SelfTestPassed},
		"another key":                     {tokensOf(t, "b"), "body", callback.SelfTestForeign},
		"a body that was cut on its way":  {tokensOf(t, "a"), "bod", callback.SelfTestAltered},
		"a body that was lost on its way": {tokensOf(t, "a"), "", callback.SelfTestAltered},
	} {
		token := doctor.NewSelfTest()
		if got := doctor.CheckSelfTest(token, []byte("body"), tc.service.AnswerSelfTest(token, []byte(tc.arrived))); got != tc.want {
			t.Errorf("%s: the self-test gave %d, want %d", name, got, tc.want)
		}
	}
}

// TestSelfTest_AnswersAreOfOneTest replays the answer to another self-test.
func TestSelfTest_AnswersAreOfOneTest(t *testing.T) {
	t.Parallel()
	tokens := tokensOf(t, "a")
	earlier := tokens.AnswerSelfTest(tokens.NewSelfTest(), []byte("body"))
	if got := tokens.CheckSelfTest(tokens.NewSelfTest(), []byte("body"), earlier); got != callback.SelfTestForeign {
		t.Errorf("an answer to another self-test gave %d, want %d", got, callback.SelfTestForeign)
	}
}

// TestSelfTest_TokensDoNotPassForThoseOfAttempts exchanges the two kinds of tokens.
func TestSelfTest_TokensDoNotPassForThoseOfAttempts(t *testing.T) {
	t.Parallel()
	tokens := tokensOf(t, "a")
	if _, err := tokens.Verify("self-test", tokens.NewSelfTest()); err == nil {
		t.Error("the token of a self-test names an attempt")
	}
	token, err := tokens.Make("kie", task.AttemptID(uuid.NewString()))
	if err != nil {
		t.Fatal(err)
	}
	if tokens.VerifySelfTest(token) {
		t.Error("the token of an attempt passes for that of a self-test")
	}
}
