package main

import (
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"

	"github.com/refract-video/refract/internal/provider/kie"
)

// uploadStream hands a clip to kie.ai's stream upload and returns the URL under which the provider finds it.
// The clip is streamed, whatever its size.
func uploadStream(ctx context.Context, base, key, name string, clip io.Reader) (string, error) {
	body, form := io.Pipe()
	parts := multipart.NewWriter(form)
	written := make(chan struct{})
	go func() {
		defer close(written)
		form.CloseWithError(writeParts(parts, name, clip))
	}()
	defer func() {
		_ = body.Close() // Ends the writer when the request ended early.
		<-written
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/file-stream-upload", body)
	if err != nil {
		return "", fmt.Errorf("upload %s: %w", name, err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", parts.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("upload %s: %w", name, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("upload %s: read the answer: %w", name, err)
	}
	address, err := kie.UploadedURL(answer)
	if err != nil {
		return "", fmt.Errorf("upload %s: %w", name, err)
	}
	return address, nil
}

func writeParts(parts *multipart.Writer, name string, clip io.Reader) error {
	if err := parts.WriteField("uploadPath", "refract-demo"); err != nil {
		return err
	}
	file, err := parts.CreateFormFile("file", name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, clip); err != nil {
		return err
	}
	return parts.Close()
}
