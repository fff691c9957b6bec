package queue

import (
	"context"
	"log/slog"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/refract-video/refract/internal/plain"
)

// jobErrors logs the errors of jobs. River retries the jobs in any case.
type jobErrors struct{ log *slog.Logger }

// HandleError logs an error at level warn, because jobs sometimes fail.
func (j jobErrors) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	j.log.WarnContext(ctx, "job failed; it is tried again", "job", job.Kind, "try", job.Attempt, "error", err, "cause", plain.Hidden(err))
	return nil
}

// HandlePanic logs a panic at level error, because it is a bug.
func (j jobErrors) HandlePanic(ctx context.Context, job *rivertype.JobRow, panicked any, trace string) *river.ErrorHandlerResult {
	j.log.ErrorContext(ctx, "job panicked; it is tried again", "job", job.Kind, "try", job.Attempt, "panic", panicked, "stack", trace)
	return nil
}

// atLeast is a log handler that passes on records of at least a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled reports whether a level is passed on.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the level.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup keeps the level.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
