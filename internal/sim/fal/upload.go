package fal

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/refract-video/refract/internal/sim"
)

// The paths of the two calls that begin an upload, and the folder of the addresses that they return. fal's client uses the
// second call for files of more than 90 MiB, in parts of 10 MiB.
const (
	initiatePath  = RestPath + "/storage/upload/initiate"
	multipartPath = RestPath + "/storage/upload/initiate-multipart"
	uploadFolder  = RestPath + "/upload/"
)

// uploads are the uploads that began.
type uploads struct {
	*protocol

	mu   sync.Mutex
	byID map[string]*upload
}

// upload is a file that a client brings, at once or in parts.
type upload struct {
	signature string
	name      string
	mediaType string
	ttl       time.Duration
	multipart bool

	mu    sync.Mutex
	parts map[int]part
}

// part of an upload, as the answer to its PUT describes it.
type part struct {
	Number int    `json:"partNumber"`
	ETag   string `json:"etag"`
	file   sim.File
}

func (u *uploads) register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+initiatePath, u.initiate(false))
	mux.HandleFunc("POST "+multipartPath, u.initiate(true))
	mux.HandleFunc("PUT "+uploadFolder+"{id}", u.bare(u.putFile))
	mux.HandleFunc("PUT "+uploadFolder+"{id}/{part}", u.bare(u.putPart))
	mux.HandleFunc("POST "+uploadFolder+"{id}/complete", u.bare(u.complete))
}

// initiate begins an upload. The file is served at file_url after the bytes came to upload_url.
func (u *uploads) initiate(multipart bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]string{}
		no := u.api.Serve(r, sim.ResultServed, http.StatusOK, func(*sim.Entry) *sim.Refusal {
			id := sim.RandomHex()
			file, no := readInitiate(w, r, id)
			if no != nil {
				return no
			}
			file.multipart = multipart
			u.mu.Lock()
			u.byID[id] = file
			u.mu.Unlock()
			answer["file_url"] = u.api.FileURL(file.name)
			answer["upload_url"] = u.api.Server() + uploadFolder + id + "?" + url.Values{"signature": {file.signature}}.Encode()
			return nil
		})
		if no != nil {
			u.Refuse(w, no)
			return
		}
		u.api.Write(w, http.StatusOK, sim.JSON(answer))
	}
}

// readInitiate returns the upload that a call begins.
func readInitiate(w http.ResponseWriter, r *http.Request, id string) (*upload, *sim.Refusal) {
	var req struct {
		FileName    string `json:"file_name"`
		ContentType string `json:"content_type"`
	}
	var lifecycle struct {
		Seconds int64 `json:"expiration_duration_seconds"`
	}
	life := cmp.Or(r.Header.Get("X-Fal-Object-Lifecycle"), "{}")
	switch no := sim.ReadJSON(w, r, sim.MaxJSON, &req); {
	case no != nil:
		return nil, no
	case r.URL.Query().Get("storage_type") != "fal-cdn-v3": // The only one whose answer has the form below.
		return nil, sim.Refuse(http.StatusUnprocessableEntity, "storage_type: want fal-cdn-v3")
	case req.FileName == "" || req.ContentType == "":
		return nil, sim.Refuse(http.StatusUnprocessableEntity, "want a file_name and a content_type")
	case json.Unmarshal([]byte(life), &lifecycle) != nil || lifecycle.Seconds < 0:
		return nil, sim.Refuse(http.StatusUnprocessableEntity, "X-Fal-Object-Lifecycle: want expiration_duration_seconds")
	}
	return &upload{
		signature: sim.RandomHex(), name: id + "/" + path.Base(req.FileName), mediaType: req.ContentType,
		ttl: time.Duration(lifecycle.Seconds) * time.Second, parts: map[int]part{},
	}, nil
}

// bare handles a call to an upload_url, which carries its own signature. The key of an account does not belong there: fal's
// client sends none, and stores of this kind refuse two signatures.
func (u *uploads) bare(handle func(w http.ResponseWriter, r *http.Request, file *upload) (any, *sim.Refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		file := u.byID[r.PathValue("id")]
		u.mu.Unlock()
		var answer any
		var no *sim.Refusal
		switch {
		case file == nil:
			no = sim.Refuse(http.StatusNotFound, "No such upload")
		case r.URL.Query().Get("signature") != file.signature:
			no = sim.Refuse(http.StatusForbidden, "The signature does not match")
		case r.Header.Get("Authorization") != "":
			no = sim.Refuse(http.StatusBadRequest, "Only one signature is allowed")
		default:
			answer, no = handle(w, r, file)
		}
		if no != nil {
			u.api.Record(r, sim.ResultRefused, no.Code)
			u.Refuse(w, no)
			return
		}
		u.api.Record(r, sim.ResultServed, http.StatusOK)
		if answer == nil {
			return // 200 without a body.
		}
		u.api.Write(w, http.StatusOK, sim.JSON(answer))
	}
}

// putFile is PUT upload_url with the whole file.
func (u *uploads) putFile(_ http.ResponseWriter, r *http.Request, file *upload) (any, *sim.Refusal) {
	if file.multipart {
		return nil, sim.Refuse(http.StatusBadRequest, "The upload has parts")
	}
	content, no := u.save(r.Body)
	if no == nil {
		u.api.Host(file.name, content, file.mediaType, file.ttl)
	}
	return nil, no
}

// putPart is PUT upload_url/N with a part of the file.
func (u *uploads) putPart(_ http.ResponseWriter, r *http.Request, file *upload) (any, *sim.Refusal) {
	n, err := strconv.Atoi(r.PathValue("part"))
	if err != nil || n < 1 || !file.multipart {
		return nil, sim.Refuse(http.StatusBadRequest, "No part of this upload")
	}
	sum := sha256.New()
	content, no := u.save(io.TeeReader(r.Body, sum))
	if no != nil {
		return nil, no
	}
	p := part{Number: n, ETag: etag(sum), file: content}
	file.mu.Lock()
	old := file.parts[n]
	file.parts[n] = p
	file.mu.Unlock()
	old.file.Remove()
	return p, nil
}

func etag(h hash.Hash) string { return strconv.Quote(hex.EncodeToString(h.Sum(nil))[:32]) }

// complete is POST upload_url/complete with the list of the parts. It wants all parts, in their order.
func (u *uploads) complete(w http.ResponseWriter, r *http.Request, file *upload) (any, *sim.Refusal) {
	var req struct {
		Parts []part `json:"parts"`
	}
	if no := sim.ReadJSON(w, r, sim.MaxJSON, &req); no != nil {
		return nil, no
	}
	content, err := u.join(file, req.Parts)
	if err != nil {
		return nil, sim.Refuse(http.StatusBadRequest, "%v", err)
	}
	u.api.Host(file.name, content, file.mediaType, file.ttl)
	return nil, nil
}

func (u *uploads) join(file *upload, listed []part) (sim.File, error) {
	file.mu.Lock()
	defer file.mu.Unlock()
	if len(listed) == 0 || len(listed) != len(file.parts) {
		return sim.File{}, fmt.Errorf("%d parts came, and %d are listed", len(file.parts), len(listed))
	}
	var all []sim.File
	for i, p := range listed {
		came := file.parts[p.Number]
		if p.Number != i+1 || came.ETag != p.ETag {
			return sim.File{}, fmt.Errorf("part %d is not as it came", p.Number)
		}
		all = append(all, came.file)
	}
	content, err := u.api.Join(all)
	if err != nil {
		return sim.File{}, err
	}
	for _, f := range all {
		f.Remove()
	}
	clear(file.parts)
	return content, nil
}

// save stores the body of a request.
func (u *uploads) save(from io.Reader) (sim.File, *sim.Refusal) {
	content, err := u.api.Save(from)
	switch {
	case errors.Is(err, sim.ErrTooLarge):
		return content, sim.Refuse(http.StatusRequestEntityTooLarge, "The file is too large")
	case err != nil:
		return content, sim.Refuse(http.StatusBadRequest, "The file could not be read")
	}
	return content, nil
}
