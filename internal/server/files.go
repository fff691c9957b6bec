package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
	"github.com/refract-video/refract/internal/api"
	"github.com/refract-video/refract/internal/httpapi"
	"github.com/refract-video/refract/internal/lifecycle"
	"github.com/refract-video/refract/internal/media"
	"github.com/refract-video/refract/internal/postgres"
	"github.com/refract-video/refract/internal/source"
	"github.com/refract-video/refract/internal/task"
)

// linkValidFor is how long addresses work that take no credentials.
const linkValidFor = time.Hour

// files opens outputs for downloads and uploaded sources for providers, and signs addresses of outputs. The database knows the key
// of a file, and the bucket has the file.
type files struct {
	stores    *postgres.Stores
	bucket    *media.Bucket
	statuses  *api.Statuses // So that a download is refused as a call is.
	addresses addresses
	log       *slog.Logger
}

// OpenOutput implements httpapi.Outputs.
func (f *files) OpenOutput(ctx context.Context, taskID string, index int) (io.ReadSeekCloser, time.Time, error) {
	_, file, err := f.open(ctx, task.ID(taskID), index)
	if err != nil {
		return nil, time.Time{}, err
	}
	return file, file.ModTime(), nil
}

// OpenLink implements httpapi.Outputs.
func (f *files) OpenLink(ctx context.Context, token string) (*httpapi.LinkedOutput, error) {
	id, index, err := f.addresses.outputs.Verify(token, time.Now())
	if err != nil {
		return nil, fs.ErrNotExist
	}
	output, file, err := f.open(ctx, id, index)
	if err != nil {
		return nil, err
	}
	return &httpapi.LinkedOutput{
		TaskID: string(id), Content: file, ModTime: file.ModTime(),
		Output: &refractv1.Output{
			Index: int32(index), ContentType: output.ContentType, Sha256: hex.EncodeToString(output.SHA256), //nolint:gosec // Small.
		},
	}, nil
}

func (f *files) open(ctx context.Context, id task.ID, index int) (task.Output, *media.Object, error) {
	output, err := f.stores.Tasks.Output(ctx, id, index)
	if errors.Is(err, lifecycle.ErrTaskNotFound) {
		return output, nil, fs.ErrNotExist
	}
	if err != nil {
		return output, nil, f.statuses.Convert(ctx, "download", err)
	}
	if output.Expired { // Before its file is gone.
		return output, nil, fs.ErrNotExist
	}
	file, err := f.bucket.Open(ctx, output.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return output, nil, err
	}
	return output, file, f.statuses.Convert(ctx, "download", err)
}

// sign returns an address of an output that takes no credentials: the bucket's own where it can sign, and one of ours
// elsewhere. It is empty where neither can be made now, which is no reason to fail the call.
func (f *files) sign(ctx context.Context, id task.ID, output task.Output) (uri string, expire time.Time) {
	validFor := linkValidFor
	if !output.ExpireTime.IsZero() {
		if validFor = min(validFor, time.Until(output.ExpireTime)); validFor <= 0 {
			return "", time.Time{}
		}
	}
	expire = time.Now().Add(validFor)
	uri, err := f.bucket.SignedURL(ctx, output.Key, validFor)
	if errors.Is(err, errors.ErrUnsupported) {
		var token string
		token, err = f.addresses.outputs.Make(id, output.Index, expire)
		uri = fmt.Sprintf("%s/v1/outputs/%s", f.addresses.rest, token)
	}
	if err != nil {
		f.log.WarnContext(ctx, "no signed address could be made", "task_id", id, "output", output.Index, "error", err)
		return "", time.Time{}
	}
	return uri, expire
}

// public returns what opens sources by signed links, or nil where sources are not public.
func (f *files) public() httpapi.PublicSources {
	if f.addresses.sources == nil {
		return nil
	}
	return f
}

// OpenSource implements httpapi.PublicSources. A forged token costs no query.
func (f *files) OpenSource(ctx context.Context, token string) (io.ReadSeekCloser, string, time.Time, error) {
	id, err := f.addresses.sources.Verify(token, time.Now())
	if err != nil {
		return nil, "", time.Time{}, fs.ErrNotExist
	}
	found, err := f.stores.Sources.Source(ctx, id)
	if errors.Is(err, source.ErrNotFound) {
		return nil, "", time.Time{}, fs.ErrNotExist
	}
	if err != nil {
		return nil, "", time.Time{}, f.statuses.Convert(ctx, "source", err)
	}
	file, err := f.bucket.Open(ctx, found.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", time.Time{}, err
	}
	if err != nil {
		return nil, "", time.Time{}, f.statuses.Convert(ctx, "source", err)
	}
	return file, found.ContentType, file.ModTime(), nil
}

// OpenTaskSource implements httpapi.TaskSources.
func (f *files) OpenTaskSource(ctx context.Context, taskID string) (*httpapi.SourceFile, error) {
	found, err := f.stores.Sources.TaskSource(ctx, task.ID(taskID))
	if errors.Is(err, source.ErrNotFound) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, f.statuses.Convert(ctx, "source", err)
	}
	file, err := f.bucket.Open(ctx, found.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, f.statuses.Convert(ctx, "source", err)
	}
	return &httpapi.SourceFile{ContentType: found.ContentType, SHA256: found.SHA256, Content: file, ModTime: file.ModTime()}, nil
}
