package kie

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/refract-video/refract/internal/sim"
)

// maxBase64 bounds the body of a base64 upload, which the provider calls fit for small files only.
const maxBase64 = 32 << 20

// upload is a stored upload that has no name yet.
type upload struct {
	file       sim.File
	uploadPath string
	fileName   string
}

// uploadEnvelope is the frame of the upload API, which has a success flag of its own.
type uploadEnvelope struct {
	Success bool        `json:"success"`
	Code    int         `json:"code"`
	Msg     string      `json:"msg"`
	Data    *uploadData `json:"data"`
}

type uploadData struct {
	FileName    string `json:"fileName"`
	FilePath    string `json:"filePath"`
	DownloadURL string `json:"downloadUrl"`
	FileSize    int64  `json:"fileSize"`
	MimeType    string `json:"mimeType"`
	UploadedAt  string `json:"uploadedAt"`
}

// uploadStream is POST /api/file-stream-upload, a multipart form.
func (p *protocol) uploadStream(w http.ResponseWriter, r *http.Request) {
	p.serveUpload(w, r, func() (upload, error) {
		parts, err := r.MultipartReader()
		if err != nil {
			return upload{}, fmt.Errorf("want a multipart form: %w", err)
		}
		return p.readForm(parts)
	})
}

// readForm stores the file of a form; its fields may come in any order.
func (p *protocol) readForm(parts *multipart.Reader) (upload, error) {
	var u upload
	for range 16 { // Far more parts than the API knows.
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return u, nil
		}
		if err != nil {
			return u, fmt.Errorf("read form: %w", err)
		}
		switch part.FormName() {
		case "file":
			u.fileName = cmp.Or(u.fileName, part.FileName())
			u.file, err = p.api.Save(part)
		case "uploadPath":
			u.uploadPath, err = readField(part)
		case "fileName":
			u.fileName, err = readField(part)
		}
		if err != nil {
			return u, err
		}
	}
	return u, errors.New("the form has too many parts")
}

func readField(part io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(part, 4096))
	return string(text), err
}

// uploadURL is POST /api/file-url-upload: the provider fetches the file, for at most 30 s.
func (p *protocol) uploadURL(w http.ResponseWriter, r *http.Request) {
	p.serveUpload(w, r, func() (upload, error) {
		var req struct {
			FileURL    string `json:"fileUrl"`
			UploadPath string `json:"uploadPath"`
			FileName   string `json:"fileName"`
		}
		if no := p.decode(w, r, sim.MaxJSON, &req); no != nil {
			return upload{}, errors.New(no.Message)
		}
		file, err := p.api.Fetch(r.Context(), req.FileURL, 30*time.Second)
		name := req.FileName
		if u, err := url.Parse(req.FileURL); err == nil && name == "" {
			name = path.Base(u.Path)
		}
		return upload{file, req.UploadPath, name}, err
	})
}

// uploadBase64 is POST /api/file-base64-upload; the data is raw base64 or a data URL.
func (p *protocol) uploadBase64(w http.ResponseWriter, r *http.Request) {
	p.serveUpload(w, r, func() (upload, error) {
		var req struct {
			Base64Data string `json:"base64Data"`
			UploadPath string `json:"uploadPath"`
			FileName   string `json:"fileName"`
		}
		if no := p.decode(w, r, maxBase64, &req); no != nil {
			return upload{}, errors.New(no.Message)
		}
		data := req.Base64Data
		if strings.HasPrefix(data, "data:") {
			_, data, _ = strings.Cut(data, ",")
		}
		file, err := p.api.Save(base64.NewDecoder(base64.StdEncoding, strings.NewReader(data)))
		return upload{file, req.UploadPath, req.FileName}, err
	})
}

// serveUpload is what the three upload calls have in common: credentials, a stored file, a public link, the ledger.
func (p *protocol) serveUpload(w http.ResponseWriter, r *http.Request, receive func() (upload, error)) {
	answer := uploadEnvelope{Success: true, Code: http.StatusOK, Msg: "File uploaded successfully"}
	no := p.api.Serve(r, sim.ResultServed, http.StatusOK, func(*sim.Entry) *sim.Refusal {
		var err error
		if answer.Data, err = p.store(receive); err != nil {
			return sim.Refuse(http.StatusBadRequest, "%v", err)
		}
		return nil
	})
	if no != nil {
		answer = uploadEnvelope{Code: no.Code, Msg: no.Message}
	}
	status := answer.Code
	if p.cfg.Errors == ErrorsInBody {
		status = http.StatusOK
	}
	p.api.Write(w, status, sim.JSON(answer))
}

// store receives a file and gives it a link.
func (p *protocol) store(receive func() (upload, error)) (*uploadData, error) {
	u, err := receive()
	switch {
	case err != nil:
	case u.file == (sim.File{}):
		return nil, errors.New("file is required")
	case u.uploadPath == "" || path.Clean("/"+u.uploadPath) != "/"+u.uploadPath:
		err = errors.New("uploadPath is required, without leading or trailing slash")
	}
	if err != nil {
		u.file.Remove()
		return nil, err
	}
	name := path.Base(filepath.ToSlash(u.fileName))
	if name == "." || name == "/" || name == ".." {
		name = sim.RandomHex()
	}
	size, mediaType, err := u.file.Sniff()
	if err != nil {
		return nil, err
	}
	if mediaType == "application/octet-stream" {
		mediaType = cmp.Or(mime.TypeByExtension(path.Ext(name)), mediaType)
	}
	where := u.uploadPath + "/" + name
	return &uploadData{
		FileName: name, FilePath: where, FileSize: size, MimeType: mediaType,
		DownloadURL: p.api.Host(where, u.file, mediaType, 0),
		UploadedAt:  time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
	}, nil
}
