package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
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
	var answer struct {
		Code int `json:"code"`
		Data struct {
			DownloadURL string `json:"downloadUrl"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", fmt.Errorf("upload %s: read the answer: %w", name, err)
	}
	if answer.Code != http.StatusOK || answer.Data.DownloadURL == "" {
		return "", fmt.Errorf("upload %s: %w with code %d", name, errUploadRefused, answer.Code)
	}
	return answer.Data.DownloadURL, nil
}

var errUploadRefused = errors.New("the provider refused the file")

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
