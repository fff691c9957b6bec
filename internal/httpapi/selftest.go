package httpapi

import "net/http"

// selfTestName stands in the path of a self-test where callbacks have an account. No account has this name: each begins with
// that of its provider.
const selfTestName = "self-test"

// SelfTests answers self-tests, by which an operator finds out where the callback URL leads. It may be called concurrently.
type SelfTests interface {
	// VerifySelfTest reports whether a token is that of a self-test.
	VerifySelfTest(token string) bool
	// AnswerSelfTest returns what proves that this service got the body.
	AnswerSelfTest(token string, body []byte) string
}

// isSelfTest reports whether a request with this name and token is a self-test. With a forged token it is a callback of an
// account that does not exist.
func (h *ingress) isSelfTest(name, token string) bool {
	return name == selfTestName && h.selfTests != nil && h.selfTests.VerifySelfTest(token)
}

// answerSelfTest answers a self-test. It uses neither the database nor the gateway, and is not counted as a callback.
func (h *ingress) answerSelfTest(w http.ResponseWriter, r *http.Request, token string) {
	body, err := readBody(w, r, h.maxBody)
	if err != nil {
		h.refuseBody(w, err)
		return
	}
	writeText(w, statusServed, h.selfTests.AnswerSelfTest(token, body))
}
