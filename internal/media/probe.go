package media

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/task"
)

// ErrUnreachable means that a source could not be fetched.
var ErrUnreachable = errors.New("the source can't be fetched")

const (
	// probeTimeout bounds a look at a source, all tries included.
	probeTimeout = 20 * time.Second
	// probeTries is how often a host is asked that does not answer or is in trouble.
	probeTries = 3
)

// Prober looks at sources before anybody pays for working with them. It may be used concurrently.
type Prober struct {
	Client *http.Client  // From NewClient.
	Pause  time.Duration // Before the second try, and twice as long before the third. Zero means 1 s.
}

// Probe tells what is behind a link, reading its first 64 KiB and, of an MP4 or QuickTime file, what else tells
// its duration, up to 2 MiB. It never asks with HEAD, which signed links refuse. A host without Range is read from the
// beginning, up to 1 MiB; what is not found there stays unknown. It takes at most 20 seconds.
//
// The error is ErrUnreachable, or that of ctx; it names the link's scheme and host alone.
func (p *Prober) Probe(ctx context.Context, link string) (task.Clip, error) {
	bounded, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	pause := p.Pause
	if pause == 0 {
		pause = time.Second
	}
	for try := 1; ; try++ {
		clip, err := p.try(bounded, link)
		switch {
		case err == nil:
			return clip, nil
		case ctx.Err() != nil:
			return task.Clip{}, ctx.Err()
		case try == probeTries, errors.Is(err, ErrLinkDead), errors.Is(err, ErrBlocked), errors.Is(err, errRedirects):
			return task.Clip{}, fmt.Errorf("%w from %s: %w", ErrUnreachable, origin(link), err)
		}
		select {
		case <-bounded.Done():
			return task.Clip{}, fmt.Errorf("%w from %s within %s: %w", ErrUnreachable, origin(link), probeTimeout, err)
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// try looks once.
func (p *Prober) try(ctx context.Context, link string) (task.Clip, error) {
	file := &remoteFile{ctx: ctx, client: p.Client, link: link}
	if err := file.open(); err != nil {
		return task.Clip{}, err
	}
	if file.size == 0 {
		return task.Clip{ContentType: unknownType, Flaw: "it is empty"}, nil
	}
	clip, err := task.Clip{}, errFarAway
	if file.size > 0 { // Where the size is not known it can't be told whether the file is whole.
		clip, err = inspectAt(file, file.size)
	}
	if errors.Is(err, errFarAway) {
		clip, err = task.Clip{SizeBytes: max(file.size, 0), ContentType: contentTypeOf(file.head)}, nil
	}
	if err != nil {
		return task.Clip{}, err
	}
	if clip.ContentType == unknownType && strings.HasPrefix(file.contentType, "video/") {
		clip.ContentType = file.contentType
	}
	return clip, nil
}
