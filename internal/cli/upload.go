package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/refract-video/refract/client"
	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// isFile reports whether a --video is a file of this machine, and not a URI.
func isFile(video string) bool { return !strings.Contains(video, "://") }

// uploadFile uploads a clip of this machine, or finds that the service has it.
func uploadFile(ctx context.Context, service *client.Client, path string, p *progress) (*refractv1.UploadSourceResponse, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the clip: %w", err)
	}
	defer func() { _ = file.Close() }() // It was only read.
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: --video takes a file or a URI", path)
	}
	resp, err := upload(ctx, service, file, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return resp, nil
}

// upload uploads a clip, and shows how it proceeds.
func upload(ctx context.Context, service *client.Client, clip io.ReadSeeker, p *progress) (*refractv1.UploadSourceResponse, error) {
	defer p.transferred()
	return service.Upload(ctx, clip, shown(p, "upload", p.uploading)...)
}

// shown returns the options of a transfer that shows its progress, and a line for each interruption.
func shown(p *progress, what string, show func(done, total int64)) []client.CallOption {
	var done, total int64
	return []client.CallOption{
		client.OnProgress(func(d, t int64) {
			done, total = d, t
			show(d, t)
		}),
		client.OnRetry(func(error) {
			if total == 0 {
				p.note(what + " cut before its first byte, resuming")
				return
			}
			p.note(fmt.Sprintf("%s cut after %d of %d bytes, resuming", what, done, total))
		}),
	}
}
