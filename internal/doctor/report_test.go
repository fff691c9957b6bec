package doctor_test

import (
	"bytes"
	"testing"

	"github.com/refract-video/refract/internal/doctor"
)

func TestReport_PrintJSON(t *testing.T) {
	t.Parallel()
	report := doctor.Report{
		{Check: "database", Status: doctor.OK, Found: "connected"},
		{Check: "bucket", Status: doctor.Fail, Found: "the storage is full", Action: "free space"},
	}
	var text bytes.Buffer
	if err := report.PrintJSON(&text); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "failed": true,
  "checks": [
    {
      "check": "database",
      "status": "OK",
      "found": "connected"
    },
    {
      "check": "bucket",
      "status": "FAIL",
      "found": "the storage is full",
      "action": "free space"
    }
  ]
}
`
	if text.String() != want {
		t.Errorf("got %s, want %s", text.String(), want)
	}
}

func TestReport_WarningsDoNotFail(t *testing.T) {
	t.Parallel()
	report := doctor.Report{{Status: doctor.OK}, {Status: doctor.Warn}, {Status: doctor.Skip}}
	if report.Failed() {
		t.Error("a report without a FAIL has failed")
	}
}
