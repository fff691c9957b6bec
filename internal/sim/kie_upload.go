package sim

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// maxBase64 bounds the body of a base64 upload, which the provider calls fit for small files only.
const maxBase64 = 32 << 20

// kieFile is a stored upload that has no name yet.
type kieFile struct {
	disk       string
	uploadPath string
	fileName   string
}

// kieUploadEnvelope is the frame of the upload API, which has a success flag of its own.
type kieUploadEnvelope struct {
	Success bool           `json:"success"`
	Code    int            `json:"code"`
	Msg     string         `json:"msg"`
	Data    *kieUploadData `json:"data"`
}

type kieUploadData struct {
	FileName    string `json:"fileName"`
	FilePath    string `json:"filePath"`
	DownloadURL string `json:"downloadUrl"`
	FileSize    int64  `json:"fileSize"`
	MimeType    string `json:"mimeType"`
	UploadedAt  string `json:"uploadedAt"`
}

// uploadStream is POST /api/file-stream-upload, a multipart form.
func (k *kie) uploadStream(w http.ResponseWriter, r *http.Request) {
	k.upload(w, r, func() (kieFile, error) {
		parts, err := r.MultipartReader()
		if err != nil {
			return kieFile{}, fmt.Errorf("want a multipart form: %w", err)
		}
		return k.readForm(parts)
	})
}

// readForm stores the file of a form; its fields may come in any order.
func (k *kie) readForm(parts *multipart.Reader) (kieFile, error) {
	var f kieFile
	for range 16 { // Far more parts than the API knows.
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, fmt.Errorf("read form: %w", err)
		}
		switch part.FormName() {
		case "file":
			f.fileName = cmp.Or(f.fileName, part.FileName())
			f.disk, err = save(k.sim.dir, part, k.sim.cfg.MaxFile)
		case "uploadPath":
			f.uploadPath, err = readField(part)
		case "fileName":
			f.fileName, err = readField(part)
		}
		if err != nil {
			return f, err
		}
	}
	return f, errors.New("the form has too many parts")
}

func readField(part io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(part, 4096))
	return string(text), err
}

// uploadURL is POST /api/file-url-upload: the provider fetches the file, for at most 30 s.
func (k *kie) uploadURL(w http.ResponseWriter, r *http.Request) {
	k.upload(w, r, func() (kieFile, error) { //nolint:contextcheck // The request carries it.
		var req struct {
			FileURL    string `json:"fileUrl"`
			UploadPath string `json:"uploadPath"`
			FileName   string `json:"fileName"`
		}
		if no := k.decode(w, r, maxJSON, &req); no != nil {
			return kieFile{}, errors.New(no.msg)
		}
		disk, err := k.fetchUpload(r.Context(), req.FileURL)
		name := req.FileName
		if u, err := url.Parse(req.FileURL); err == nil && name == "" {
			name = path.Base(u.Path)
		}
		return kieFile{disk, req.UploadPath, name}, err
	})
}

func (k *kie) fetchUpload(ctx context.Context, from string) (string, error) {
	return k.sim.studio.fetch(ctx, from, 30*time.Second)
}

// uploadBase64 is POST /api/file-base64-upload; the data is raw base64 or a data URL.
func (k *kie) uploadBase64(w http.ResponseWriter, r *http.Request) {
	k.upload(w, r, func() (kieFile, error) {
		var req struct {
			Base64Data string `json:"base64Data"`
			UploadPath string `json:"uploadPath"`
			FileName   string `json:"fileName"`
		}
		if no := k.decode(w, r, maxBase64, &req); no != nil {
			return kieFile{}, errors.New(no.msg)
		}
		data := req.Base64Data
		if strings.HasPrefix(data, "data:") {
			_, data, _ = strings.Cut(data, ",")
		}
		disk, err := save(k.sim.dir, base64.NewDecoder(base64.StdEncoding, strings.NewReader(data)), k.sim.cfg.MaxFile)
		return kieFile{disk, req.UploadPath, req.FileName}, err
	})
}

// upload is what the three upload calls have in common: credentials, a stored file, a public link, the ledger.
func (k *kie) upload(w http.ResponseWriter, r *http.Request, receive func() (kieFile, error)) {
	entry := newEntry(r, ProfileKie, ResultServed, http.StatusOK)
	answer := kieUploadEnvelope{Success: true, Code: http.StatusOK, Msg: "File uploaded successfully"}
	key, no := k.sim.enter(r, k)
	entry.Key = key
	if no == nil {
		var err error
		if answer.Data, err = k.store(receive); err != nil {
			no = refuse(http.StatusBadRequest, "%v", err)
		}
	}
	if no != nil {
		entry.Result, entry.Code = ResultRefused, no.code
		answer = kieUploadEnvelope{Code: no.code, Msg: no.msg}
	}
	k.sim.record(entry)
	status := answer.Code
	if k.sim.cfg.Errors == ErrorsInBody {
		status = http.StatusOK
	}
	k.sim.write(w, status, toJSON(answer))
}

// store receives a file and gives it a link.
func (k *kie) store(receive func() (kieFile, error)) (*kieUploadData, error) {
	f, err := receive()
	switch {
	case err != nil:
	case f.disk == "":
		return nil, errors.New("file is required")
	case f.uploadPath == "" || path.Clean("/"+f.uploadPath) != "/"+f.uploadPath:
		err = errors.New("uploadPath is required, without leading or trailing slash")
	}
	if err != nil {
		_ = os.Remove(f.disk) // There may be none; what is left goes with the folder.
		return nil, err
	}
	name := path.Base(filepath.ToSlash(f.fileName))
	if name == "." || name == "/" || name == ".." {
		name = randomHex()
	}
	stored := content{path: f.disk}
	size, mediaType, err := stored.sniff()
	if err != nil {
		return nil, err
	}
	if mediaType == "application/octet-stream" {
		mediaType = cmp.Or(mime.TypeByExtension(path.Ext(name)), mediaType)
	}
	where := f.uploadPath + "/" + name
	return &kieUploadData{
		FileName: name, FilePath: where, FileSize: size, MimeType: mediaType,
		DownloadURL: k.sim.host.put("/files/"+where, link{content: stored, ttl: k.sim.cfg.LinkTTL, mediaType: mediaType}),
		UploadedAt:  time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
	}, nil
}
