package fal

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/refract-video/refract/internal/provider"
	"github.com/refract-video/refract/internal/provider/wire"
)

const (
	initiatePath  = "/storage/upload/initiate"
	multipartPath = "/storage/upload/initiate-multipart"
	storageType   = "fal-cdn-v3" // The store that gives two URLs [L].
)

// fal's clients send a file of more than 90 MiB in parts of 10 MiB [S].
const (
	maxWhole = 90 << 20
	partSize = 10 << 20
)

// Upload hands the provider a file: a POST that asks for a place, and the file to that place, in one PUT or, where it is large, in
// parts that another POST joins. All are free, and take at most 10 min together.
func (p *Provider) Upload(ctx context.Context, f provider.File) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, wire.UploadTimeout)
	defer cancel()
	send, path := p.sendWhole, initiatePath
	if f.SizeBytes > maxWhole {
		send, path = p.sendParts, multipartPath
	}
	to, perr := p.initiate(ctx, path, f)
	if perr == nil {
		perr = send(ctx, to, f)
	}
	if perr != nil {
		return "", perr
	}
	return to.file, nil
}

// place is where a file is uploaded to, and where it is found then.
type place struct{ upload, file string }

// initiate asks for a place for a file.
func (p *Provider) initiate(ctx context.Context, path string, f provider.File) (place, *provider.Error) {
	o, perr := p.call(ctx, wire.Call{
		Op:      wire.OpUpload,
		Method:  http.MethodPost,
		URL:     p.restURL + path,
		Query:   url.Values{"storage_type": {storageType}},
		Header:  map[string]string{"X-Fal-Object-Lifecycle": lifecyclePreference},
		Body:    map[string]string{"file_name": f.Name, "content_type": f.ContentType},
		Timeout: wire.QuestionTimeout,
	})
	if perr != nil {
		perr.Input = perr.Class == provider.Rejected && (perr.Code == http.StatusBadRequest || perr.Code == http.StatusRequestEntityTooLarge)
		return place{}, perr
	}
	to := place{o.Text("upload_url"), o.Text("file_url")}
	if !p.mayUpload(to.upload) || !wire.IsLink(to.file) {
		return place{}, noUpload("answer holds no place for the file")
	}
	return to, nil
}

// mayUpload reports whether a file may be sent to a URL: not in the clear, unless the provider itself is configured so.
func (p *Provider) mayUpload(target string) bool {
	return wire.IsLink(target) && (strings.HasPrefix(target, "https://") || strings.HasPrefix(p.restURL, "http://"))
}

// sendWhole sends a file in one request.
func (p *Provider) sendWhole(ctx context.Context, to place, f provider.File) *provider.Error {
	_, perr := p.put(ctx, to.upload, f)
	return perr
}

// part is a part of a file that the store has. The names are fal's.
type part struct {
	Number int    `json:"partNumber"`
	ETag   string `json:"etag"`
}

// sendParts sends a file in parts, one after the other, and has the store join them.
func (p *Provider) sendParts(ctx context.Context, to place, f provider.File) *provider.Error {
	var parts []part
	for sent := int64(0); sent < f.SizeBytes; sent += partSize {
		number := len(parts) + 1
		content := &io.LimitedReader{R: f.Content, N: min(partSize, f.SizeBytes-sent)}
		answer, perr := p.put(ctx, below(to.upload, strconv.Itoa(number)), provider.File{SizeBytes: content.N, Content: content})
		if perr != nil {
			return perr
		}
		stored, _ := wire.DecodeObject(answer.Body)
		etag := stored.Text("etag")
		if n, ok := stored.Integer("partNumber"); etag == "" || ok && n != number {
			return noUpload("answer does not name the part")
		}
		if content.N > 0 { // Else the next part would begin too early.
			return noUpload("the store answered before it had the whole part")
		}
		parts = append(parts, part{number, etag})
	}
	target := below(to.upload, "complete")
	answer, perr := p.wire.Do(ctx, wire.Call{
		Op: wire.OpUpload, Method: http.MethodPost, URL: target, Public: true, Body: map[string][]part{"parts": parts},
		Timeout: wire.SubmitTimeout, Secrets: []string{target},
	})
	if perr != nil {
		return perr
	}
	return p.judgeStore(answer, target)
}

// below returns a URL with one more element in its path.
func below(target, element string) string {
	path, query, found := strings.Cut(target, "?")
	if found {
		query = "?" + query
	}
	return path + "/" + element + query
}

// put sends content to the store.
func (p *Provider) put(ctx context.Context, target string, f provider.File) (wire.Answer, *provider.Error) {
	answer, perr := p.wire.PutFile(ctx, target, f)
	if perr == nil {
		perr = p.judgeStore(answer, target)
	}
	return answer, perr
}

// judgeStore returns nil where the store did what it was asked, and else an error. The store is not the API: its refusals say
// nothing about the account.
func (p *Provider) judgeStore(answer wire.Answer, target string) *provider.Error {
	if answer.Status >= 200 && answer.Status <= 299 && answer.Err == nil {
		return nil
	}
	perr := noUpload("the store did not take the file")
	perr.Code, perr.Message = answer.Status, p.wire.Redact(string(answer.Body), target)
	if answer.Status == http.StatusRequestEntityTooLarge {
		perr.Class, perr.Input = provider.Rejected, true
	}
	return perr
}

func noUpload(why string) *provider.Error {
	return &provider.Error{Class: provider.Unavailable, Op: string(wire.OpUpload), Err: errors.New(why)}
}
