package publicerr

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// CallTimeout bounds every unary call. Streams last as long as their task.
const CallTimeout = 30 * time.Second

// Within ends a call after CallTimeout, and reports whether it did. The error is then UNAVAILABLE, and not DEADLINE_EXCEEDED, which
// means the deadline of the caller. The reason is DATABASE_UNAVAILABLE, because every call waits for the database.
func Within[T any](ctx context.Context, call func(context.Context) (T, error)) (answer T, ended bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	answer, err = call(bounded)
	if err == nil || bounded.Err() == nil || ctx.Err() != nil {
		return answer, false, err
	}
	var none T
	return none, true, New(codes.Unavailable, refractv1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE,
		fmt.Sprintf("the service did not answer within %v: call again", CallTimeout), time.Second, nil).Err()
}
