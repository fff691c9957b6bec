package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// uploadChunk is how many bytes of a clip go in one message.
const uploadChunk = 512 << 10

// isFile tells whether a --video is a file of this machine, and not a URI.
func isFile(video string) bool { return !strings.Contains(video, "://") }

// uploadFile uploads a clip of this machine, or finds that the service has it.
func uploadFile(ctx context.Context, client refractv1.TaskServiceClient, path string, p *progress) (*refractv1.UploadSourceResponse, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the clip: %w", err)
	}
	defer func() { _ = file.Close() }() // It was only read.
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: --video takes a file or a URI", path)
	}
	resp, err := upload(ctx, client, file, p)
	if err != nil {
		return nil, fmt.Errorf("upload %s: %w", path, err)
	}
	return resp, nil
}

// upload uploads a clip. An upload that is cut goes on where it was, up to five times in a row without a byte
// of progress. The id of the upload comes from the clip, so that an upload that was stopped goes on when the same clip is
// uploaded again.
func upload(ctx context.Context, client refractv1.TaskServiceClient, clip io.ReadSeeker, p *progress) (*refractv1.UploadSourceResponse, error) {
	hash := sha256.New()
	size, err := io.Copy(hash, clip)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, errors.New("the clip is empty")
	}
	sum := hash.Sum(nil)
	u := &sending{client: client, clip: clip, progress: p, stall: time.Minute, header: &refractv1.UploadSourceHeader{
		UploadId: uuid.NewSHA1(uuid.NameSpaceOID, sum).String(), SizeBytes: size, Sha256: hex.EncodeToString(sum),
	}}
	defer p.transferred()
	resp, err := u.run(ctx)
	if err == nil && !u.sent {
		resp.Duplicate = true // It was there before, be it by an upload of this id.
	}
	return resp, err
}

// sending is one upload.
type sending struct {
	client   refractv1.TaskServiceClient
	clip     io.ReadSeeker
	header   *refractv1.UploadSourceHeader
	progress *progress
	stall    time.Duration // How long the service may take for the next bytes, and to finish.
	sent     bool          // Whether any bytes were.
}

// run tries until the service has the whole clip.
func (u *sending) run(ctx context.Context) (*refractv1.UploadSourceResponse, error) {
	pause := newPause()
	var furthest int64
	for tries := 1; ; tries++ {
		resp, at, err := u.try(ctx)
		switch {
		case err == nil && resp.GetSource() != nil:
			return resp, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil: // That is no reason to give up.
			err = errors.New("the service took less than the whole clip")
		case !transient(err) && statusOf(err).Code() != codes.Aborted: // Aborted means that it has another number of bytes.
			return nil, err
		}
		if at > furthest {
			furthest, tries = at, 0
			pause.Reset()
		}
		if tries >= maxTries {
			return nil, fmt.Errorf("%d tries without progress: %w", maxTries, err)
		}
		u.progress.note(fmt.Sprintf("upload cut near %d of %d bytes, resuming", at, u.header.GetSizeBytes()))
		asked := min(detailsOf(statusOf(err)).retry, maxAsked)
		if err := sleep(ctx, max(pause.NextBackOff(), asked)); err != nil {
			return nil, err
		}
	}
}

// try asks how much the service has, and sends what is missing. It returns how far it went.
func (u *sending) try(ctx context.Context) (resp *refractv1.UploadSourceResponse, at int64, err error) {
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
			u.progress.uploading(at, u.header.GetSizeBytes())
		}
		return nil
	})
	return resp, at, err
}

// call makes one call with the header and the chunks that are sent in between.
func (u *sending) call(ctx context.Context, chunks func(send func([]byte) error) error) (*refractv1.UploadSourceResponse, error) {
	stream, err := u.client.UploadSource(ctx)
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
