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
	"github.com/refract-video/refract/internal/task"
)

// linkValidFor is how long addresses work that take no credentials.
const linkValidFor = time.Hour

// outputs opens outputs for downloads, and makes addresses for them: the database knows the key, the bucket has the file.
type outputs struct {
	store    *postgres.Store
	bucket   *media.Bucket
	statuses *api.Statuses // So that a download is refused as a call is.
	links    *media.Links
	baseURL  string
	log      *slog.Logger
}

// OpenOutput implements httpapi.Outputs.
func (o *outputs) OpenOutput(ctx context.Context, taskID string, index int) (io.ReadSeekCloser, time.Time, error) {
	_, file, err := o.open(ctx, task.ID(taskID), index)
	if err != nil {
		return nil, time.Time{}, err
	}
	return file, file.ModTime(), nil
}

// OpenLink implements httpapi.Outputs.
func (o *outputs) OpenLink(ctx context.Context, token string) (*httpapi.LinkedOutput, error) {
	id, index, err := o.links.Verify(token, time.Now())
	if err != nil {
		return nil, fs.ErrNotExist
	}
	output, file, err := o.open(ctx, id, index)
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

func (o *outputs) open(ctx context.Context, id task.ID, index int) (task.Output, *media.Object, error) {
	output, err := o.store.Output(ctx, id, index)
	if errors.Is(err, lifecycle.ErrTaskNotFound) {
		return output, nil, fs.ErrNotExist
	}
	if err != nil {
		return output, nil, o.statuses.Convert(ctx, "download", err)
	}
	if output.Expired { // Before its file is gone.
		return output, nil, fs.ErrNotExist
	}
	file, err := o.bucket.Open(ctx, output.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return output, nil, err
	}
	return output, file, o.statuses.Convert(ctx, "download", err)
}

// sign returns an address of an output that takes no credentials: the bucket's own where it can sign, and one of ours
// elsewhere. It is empty where neither can be made now, which is no reason to fail the call.
func (o *outputs) sign(ctx context.Context, id task.ID, output task.Output) (uri string, expire time.Time) {
	validFor := linkValidFor
	if !output.ExpireTime.IsZero() {
		if validFor = min(validFor, time.Until(output.ExpireTime)); validFor <= 0 {
			return "", time.Time{}
		}
	}
	expire = time.Now().Add(validFor)
	uri, err := o.bucket.SignedURL(ctx, output.Key, validFor)
	if errors.Is(err, errors.ErrUnsupported) {
		var token string
		token, err = o.links.Make(id, output.Index, expire)
		uri = fmt.Sprintf("%s/v1/outputs/%s", o.baseURL, token)
	}
	if err != nil {
		o.log.WarnContext(ctx, "no signed address could be made", "task_id", id, "output", output.Index, "error", err)
		return "", time.Time{}
	}
	return uri, expire
}
