package callback

import "testing"

func TestRedact_LeavesOnlyTheHostOfALink(t *testing.T) {
	t.Parallel()
	const token = "TOKEN"
	for body, want := range map[string]string{
		`{"u":"https://cdn.example/x.mp4?X-Amz-Signature=SECRET"}`:                  `{"u":"https://cdn.example/[redacted]"}`,
		`{"u":"https://cdn.example/x.mp4?a=1\u0026X-Amz-Signature=SECRET"}`:         `{"u":"https://cdn.example/[redacted]"}`,
		`{"u":"https:\/\/cdn.example\/x.mp4?s=SECRET"}`:                             `{"u":"https:\/\/cdn.example/[redacted]"}`,
		`{"u":"HTTPS://cdn.example/SECRET"}`:                                        `{"u":"HTTPS://cdn.example/[redacted]"}`,
		`{"u":"https:\u002f\u002fcdn.example\u002fSECRET"}`:                         `{"u":"https:\u002f\u002fcdn.example/[redacted]"}`,
		`{"u":"https://user:SECRET@cdn.example/x"}`:                                 `{"u":"https://cdn.example/[redacted]"}`,
		`{"p":"{\"u\":\"https://cdn.example/SECRET\",\"n\":1}"}`:                    `{"p":"{\"u\":\"https://cdn.example/[redacted]\",\"n\":1}"}`,
		`{"token":"TOKEN","u":"https://refract.example/v1/callbacks/kie/TOKEN"}`:    `{"token":"[redacted]","u":"https://refract.example/[redacted]"}`,
		`{"code":200,"msg":"no link","data":{"taskId":"774d9a7dd608a0e493095e45"}}`: `{"code":200,"msg":"no link","data":{"taskId":"774d9a7dd608a0e493095e45"}}`,
	} {
		if got := string(redactBody([]byte(body), token)); got != want {
			t.Errorf("redactBody(%s)\n got %s\nwant %s", body, got, want)
		}
	}
}

func TestRedact_LeavesNoValueOfAConfidentialField(t *testing.T) {
	t.Parallel()
	const body = `{"code":200,"data":{"taskId":"T","consumeCredits":8,"remainedCredits":5916.25}}`
	const want = `{"code":200,"data":{"taskId":"T","consumeCredits":8,"remainedCredits":null}}`
	if got := string(redactBody([]byte(body), "TOKEN", "remainedCredits")); got != want {
		t.Errorf("redactBody(%s)\n got %s\nwant %s", body, got, want)
	}
}
