package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"

	"github.com/refract-video/refract/internal/redact"
)

// exitFailed is the exit status of a command that failed, unless its error has an ExitStatus.
const exitFailed = 1

// Run parses a command line, runs its command and returns the exit status: 0, or another with one line that says what to do.
// commands points to a struct with a field for each command, as kong reads it.
func Run(ctx context.Context, commands any, args []string, con Console) int {
	exit := -1
	parser, err := kong.New(commands,
		kong.Name("refract"),
		kong.Description("Refract runs AI video modifications: it submits them to a provider, never pays twice, and keeps the results."),
		kong.Writers(con.Out, con.Err),
		kong.Exit(func(code int) { exit = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(con),
	)
	if err != nil {
		return Fail(con, err)
	}
	kongplete.Complete(parser) // It ends the process where a shell asks for the rest of a word.
	command, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help was answered.
	}
	if err != nil {
		return Fail(con, err)
	}
	if err := command.Run(); err != nil {
		return Fail(con, err)
	}
	return 0
}

// Fail prints an error in one line and returns the exit status.
func Fail(con Console, err error) int {
	if !errors.Is(err, ErrReported) {
		line := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\t' }), " ")
		_, _ = fmt.Fprintln(con.Err, "refract:", redact.Users(line)) // An error that cannot be written has no other place.
	}
	if coded, ok := errors.AsType[interface {
		error
		ExitStatus() int
	}](err); ok {
		return coded.ExitStatus()
	}
	return exitFailed
}
