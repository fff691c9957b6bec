package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explain turns a status in an error into one line that says what to do. Other errors stay as they are.
func explain(err error, address string) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	if st.Code() == codes.Canceled {
		return errors.New("interrupted") // By the user, who alone cancels the calls of a command.
	}
	return errors.New(statusLine(statusOf(err), address))
}

// statusOf returns the status in an error as the service sent it, without what was wrapped around it.
func statusOf(err error) *status.Status {
	if carrier, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		return carrier.GRPCStatus()
	}
	return status.Convert(err)
}

// details are the details of a status that commands print.
type details struct {
	reason string // Of ErrorInfo.
	fields []*errdetails.BadRequest_FieldViolation
	retry  time.Duration // Of RetryInfo; 0 when there is none.
}

func detailsOf(st *status.Status) (d details) {
	for _, detail := range st.Details() {
		switch m := detail.(type) {
		case *errdetails.ErrorInfo:
			d.reason = m.GetReason()
		case *errdetails.BadRequest:
			d.fields = m.GetFieldViolations()
		case *errdetails.RetryInfo:
			d.retry = m.GetRetryDelay().AsDuration()
		}
	}
	return d
}

// statusLine is a status as one line: its message, the fields at fault, the reason or else the code in
// brackets, and when to try again.
func statusLine(st *status.Status, address string) string {
	d := detailsOf(st)
	if st.Code() == codes.Unavailable && d.reason == "" {
		return unreachable(st.Message(), address)
	}
	if st.Code() == codes.DeadlineExceeded && d.reason == "" { // No command has a deadline of its own; the client has one.
		return fmt.Sprintf("no answer from %s in time, and what was asked may still happen: look before you run the command again", address)
	}
	var b strings.Builder
	b.WriteString(st.Message())
	for _, f := range d.fields {
		// The service may have put the fields in the message already.
		if told := f.GetField() + ": " + f.GetDescription(); !strings.Contains(b.String(), told) {
			b.WriteString("; " + told)
		}
	}
	reason := d.reason
	if reason == "" {
		reason = st.Code().String()
	}
	fmt.Fprintf(&b, " [%s]", reason)
	if reason == "CREDENTIALS_INVALID" {
		b.WriteString("; pass it as --token or REFRACT_TOKEN")
	}
	if d.retry > 0 {
		fmt.Fprintf(&b, "; try again in %s", d.retry)
	}
	return OneLine(b.String())
}

// unreachable says what to do about a connection that can't be made. Its words come from gRPC, which distinguishes
// causes in no other way; where they change, the hint is less exact and still true.
func unreachable(message, address string) string {
	has := func(word string) bool { return strings.Contains(message, word) }
	cause := OneLine(message)
	if i := strings.LastIndex(cause, `desc = "`); i >= 0 {
		cause = strings.TrimSuffix(cause[i+len(`desc = "`):], `"`)
	}
	switch {
	case has("connection refused"):
		return "nothing answers at " + address + ": start the service with `refract serve`, or pass --address"
	case has("x509"), has("tls:"), has("authentication handshake"):
		return fmt.Sprintf("no TLS connection to %s: %s: check --tls and --ca", address, cause)
	case has("server preface"), has("http2"):
		return fmt.Sprintf("%s does not speak gRPC in the clear: pass --tls, or check --address (%s)", address, cause)
	default:
		return fmt.Sprintf("no answer from %s: is the service up, and --address right? (%s)", address, cause)
	}
}

// OneLine makes text from elsewhere fit for one line of a terminal: line breaks become blanks, and control
// characters, which could command the terminal, are dropped.
func OneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
}
