package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

const (
	uploadChunk = 512 << 10   // Bytes of a clip in one message.
	uploadStall = time.Minute // How long the service may take for the next bytes, and to finish.
)

// Upload uploads a clip, or finds that the service has it. The id of the source in the response goes into SourceID. Duplicate
// is set where the tenant had a source with the same bytes before.
//
// Upload reads the clip twice: for its SHA-256, and to send it. An upload that is cut continues after the last byte that the
// service has. The id of the upload is derived from the bytes, so that an upload which ended with an error continues when the
// same clip is uploaded again.
//
// It returns the error of the context, RESOURCE_EXHAUSTED for a clip that is larger than any provider takes, another refusal,
// or an error after five tries in a row without a byte of progress. The options that matter are OnProgress and OnRetry.
func (c *Client) Upload(ctx context.Context, clip io.ReadSeeker, options ...CallOption) (*refractv1.UploadSourceResponse, error) {
	hash := sha256.New()
	size, err := io.Copy(hash, clip)
	if err != nil {
		return nil, fmt.Errorf("read the clip: %w", err)
	}
	if size == 0 {
		return nil, errors.New("the clip is empty")
	}
	sum := hash.Sum(nil)
	u := &upload{
		tasks: c.tasks, clip: clip, settings: callSettingsOf(options), stall: uploadStall,
		header: &refractv1.UploadSourceHeader{UploadId: uploadID(sum), SizeBytes: size, Sha256: hex.EncodeToString(sum)},
	}
	resp, err := u.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("upload the clip: %w", err)
	}
	if !u.sent {
		resp.Duplicate = true // An earlier upload brought it, perhaps one of this id.
	}
	return resp, nil
}

// uploadID returns a UUID of version 8, which is derived from a hash.
func uploadID(sum []byte) string {
	b := [16]byte(sum)
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// upload is one upload.
type upload struct {
	tasks    refractv1.TaskServiceClient
	clip     io.ReadSeeker
	header   *refractv1.UploadSourceHeader
	settings callSettings
	stall    time.Duration
	sent     bool // Whether any bytes were.
}

// run tries until the service has the whole clip.
func (u *upload) run(ctx context.Context) (*refractv1.UploadSourceResponse, error) {
	var pause pauses
	var furthest int64
	for tries := 1; ; tries++ {
		resp, at, err := u.try(ctx)
		switch {
		case err == nil && resp.GetSource() != nil:
			return resp, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			err = errors.New("the service took less than the whole clip")
		case !Transient(err) && !conflict(err):
			return nil, err
		}
		if at > furthest {
			furthest, tries = at, 0
			pause.reset()
		}
		if tries >= maxTries {
			return nil, fmt.Errorf("%d tries without progress: %w", maxTries, err)
		}
		u.settings.retry(err)
		if err := pause.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// conflict reports whether the service has another number of bytes than the call began with.
func conflict(err error) bool {
	st, ok := statusOf(err)
	return ok && st.Code() == codes.Aborted
}

// try asks how many bytes the service has, and sends the missing ones. It returns how far it came.
func (u *upload) try(ctx context.Context) (resp *refractv1.UploadSourceResponse, at int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(u.stall, cancel)
	defer watchdog.Stop()
	u.header.Offset = 0
	resp, err = u.call(ctx, func(func([]byte) error) error { return nil })
	if err != nil || resp.GetSource() != nil {
		return resp, 0, err
	}
	at = resp.GetReceivedBytes()
	u.header.Offset = at
	if _, err := u.clip.Seek(at, io.SeekStart); err != nil {
		return nil, at, err
	}
	resp, err = u.call(ctx, func(send func([]byte) error) error {
		buf := make([]byte, uploadChunk)
		for at < u.header.GetSizeBytes() {
			n, err := io.ReadFull(u.clip, buf[:min(uploadChunk, u.header.GetSizeBytes()-at)])
			if err != nil {
				return fmt.Errorf("read the clip at byte %d: %v", at, err) //nolint:errorlint // Its io.EOF is not the stream's.
			}
			if err := send(buf[:n]); err != nil {
				return err
			}
			watchdog.Reset(u.stall)
			u.sent = true
			at += int64(n)
			u.settings.progress(at, u.header.GetSizeBytes())
		}
		return nil
	})
	return resp, at, err
}

// call makes one call with the header, and the chunks that are sent in between.
func (u *upload) call(ctx context.Context, chunks func(send func([]byte) error) error) (*refractv1.UploadSourceResponse, error) {
	stream, err := u.tasks.UploadSource(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Header{Header: u.header}})
	if err == nil {
		err = chunks(func(b []byte) error {
			return stream.Send(&refractv1.UploadSourceRequest{Part: &refractv1.UploadSourceRequest_Chunk{Chunk: b}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF means that the service has answered already.
		return nil, err
	}
	return stream.CloseAndRecv()
}
