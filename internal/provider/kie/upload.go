package kie

import (
	"context"
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const uploadPath = "/api/file-stream-upload"

// uploadFolder is where our files are within the account.
const uploadFolder = "refract"

// Upload hands the provider a file: one POST that is free, at most 10 min. The largest file that the provider takes
// here is not documented [U].
func (p *Provider) Upload(ctx context.Context, f provider.File) (string, error) {
	got, perr := p.wire.SendFile(ctx, wire.Upload{
		URL: p.uploadURL + uploadPath, Fields: map[string]string{"uploadPath": uploadFolder, "fileName": f.Name}, File: f,
	})
	if perr != nil {
		return "", perr
	}
	return p.readUpload(parse(got))
}

// readUpload returns the link that an answer names, or the error that it stands for.
func (p *Provider) readUpload(a answer) (string, error) {
	if perr := p.judge(wire.Call{Op: wire.OpUpload}, a); perr != nil {
		perr.Input = perr.Class == provider.Rejected && (perr.Code == http.StatusBadRequest || perr.Code == http.StatusRequestEntityTooLarge)
		return "", perr
	}
	data, _ := wire.AsObject(a.data)
	for _, key := range []string{"downloadUrl", "fileUrl"} { // Two pages, two names [D!].
		if links, ok := wire.Links(data[key]); ok && len(links) == 1 {
			return links[0], nil
		}
	}
	return "", &provider.Error{
		Class: provider.Unavailable, Op: string(wire.OpUpload), Code: a.code, Message: p.wire.Redact(a.message),
		Err: errors.New("answer holds no link"),
	}
}
