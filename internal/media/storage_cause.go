package media

import (
	"context"
	"errors"
	"syscall"

	"gocloud.dev/gcerrors"
)

// What a probe finds, and what a check of the bucket itself does.
var (
	// ErrUnanswered means that the bucket does not answer.
	ErrUnanswered = errors.New("no answer in time")
	errNoBucket   = errors.New("there is no such bucket")
	errDiffers    = errors.New("other bytes came back than were stored")
)

// StorageCause says in a few words why the storage fails, as in "the storage is full". It names no path and no
// address, so that every caller may see it, and is the same for equal causes. Errors of unknown kind give "fails".
func StorageCause(err error) string {
	for _, known := range []struct {
		err   error
		words string
	}{
		{errDiffers, "returned other bytes than were stored"},
		{errNoBucket, missingBucket},
		{ErrUnanswered, noAnswer},
		{context.DeadlineExceeded, noAnswer},
		{syscall.ENOSPC, "is full"},
		{syscall.EDQUOT, "is full"},
		{syscall.EFBIG, "is full"},
		{syscall.EROFS, "is read-only"},
		{syscall.EACCES, accessDenied},
		{syscall.EPERM, accessDenied},
		{syscall.ENOTDIR, missingBucket},
		{syscall.ENOENT, missingBucket},
		{syscall.EIO, "has a broken disk or mount"},
		{syscall.ESTALE, "has a broken disk or mount"},
		{syscall.ENOTCONN, "has a broken disk or mount"},
		{syscall.EHOSTDOWN, unreachable},
		{syscall.EHOSTUNREACH, unreachable},
		{syscall.ENETUNREACH, unreachable},
		{syscall.ECONNREFUSED, unreachable},
		{syscall.ECONNRESET, unreachable},
		{syscall.ETIMEDOUT, noAnswer},
	} {
		if errors.Is(err, known.err) {
			return known.words
		}
	}
	if _, ok := errors.AsType[*missingError](err); ok {
		return missingBucket
	}
	if answer, ok := errors.AsType[interface {
		error
		ErrorCode() string // Of buckets with the protocol of S3.
	}](err); ok {
		if words := answerCauses[answer.ErrorCode()]; words != "" {
			return words
		}
	}
	return codeCauses[gcerrors.Code(err)]
}

const (
	missingBucket = "is missing"
	accessDenied  = "denies access"
	noAnswer      = "does not answer"
	unreachable   = "can't be reached"
	overloaded    = "is overloaded"
)

// answerCauses are what the answers of S3 mean: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
var answerCauses = map[string]string{
	"NoSuchBucket": missingBucket,
	"AccessDenied": accessDenied, "InvalidAccessKeyId": accessDenied, "SignatureDoesNotMatch": accessDenied, "ExpiredToken": accessDenied,
	"InvalidToken": accessDenied, "AllAccessDisabled": accessDenied, "AccountProblem": accessDenied, "Forbidden": accessDenied,
	"RequestTimeTooSkewed": "refuses our clock", "RequestExpired": "refuses our clock",
	"SlowDown": overloaded, "ServiceUnavailable": overloaded, "RequestTimeout": noAnswer,
	"QuotaExceeded": "is full", "XMinioStorageFull": "is full",
}

// codeCauses are what the codes of the library mean.
var codeCauses = map[gcerrors.ErrorCode]string{
	gcerrors.OK: "", gcerrors.Unknown: "fails", gcerrors.Internal: "fails", gcerrors.InvalidArgument: "fails", gcerrors.Unimplemented: "fails",
	gcerrors.FailedPrecondition: "fails", gcerrors.AlreadyExists: "fails", gcerrors.Canceled: "fails",
	gcerrors.NotFound: missingBucket, gcerrors.PermissionDenied: accessDenied, gcerrors.ResourceExhausted: overloaded, gcerrors.DeadlineExceeded: noAnswer,
}
