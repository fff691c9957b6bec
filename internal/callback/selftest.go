package callback

import (
	"crypto/rand"
	"crypto/sha256"

	"github.com/refract-video/refract/internal/signedtoken"
)

// selfTestFormat describes the tokens of self-tests: the body is a random number.
var selfTestFormat = signedtoken.Format{Purpose: "refract self-test", BodySize: 16, MACSize: signedtoken.MACSize}

// selfTestAnswerFormat describes the answers to self-tests: the body is the SHA-256 of what arrived, the scope is the token.
var selfTestAnswerFormat = signedtoken.Format{Purpose: "refract self-test answer", Scoped: true, BodySize: sha256.Size, MACSize: signedtoken.MACSize}

// NewSelfTest returns the token of a new self-test. A self-test is a request to the callback URL that names no attempt. Its answer
// proves that the URL leads to a service with our keys, and that a body arrives there unchanged.
func (t *Tokens) NewSelfTest() string {
	number := make([]byte, selfTestFormat.BodySize)
	_, _ = rand.Read(number) // It never fails: a system without randomness ends the process.
	return t.selfTests.Sign("", number)
}

// VerifySelfTest reports whether a token is that of a self-test.
func (t *Tokens) VerifySelfTest(token string) bool {
	_, valid := t.selfTests.Verify("", token)
	return valid
}

// AnswerSelfTest returns the answer to a self-test with a verified token whose body arrived.
func (t *Tokens) AnswerSelfTest(token string, body []byte) string {
	sum := sha256.Sum256(body)
	return t.answers.Sign(token, sum[:])
}

// SelfTestResult is what the answer to a self-test proves.
type SelfTestResult int

// The results of a self-test. The zero value is not one of them.
const (
	SelfTestForeign SelfTestResult = iota + 1 // The answer is not from a service with our keys.
	SelfTestAltered                           // A service with our keys got another body.
	SelfTestPassed                            // A service with our keys got the body as it was sent.
)

// CheckSelfTest returns what an answer to a self-test with a body proves.
func (t *Tokens) CheckSelfTest(token string, body []byte, answer string) SelfTestResult {
	arrived, valid := t.answers.Verify(token, answer)
	switch sent := sha256.Sum256(body); {
	case !valid:
		return SelfTestForeign
	case [sha256.Size]byte(arrived) != sent:
		return SelfTestAltered
	default:
		return SelfTestPassed
	}
}
