package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets
var assetFiles embed.FS

// stylesheet is the name of the one stylesheet, which is made of all files of styles in the order of their names.
const stylesheet = "console.css"

// assets serves the stylesheet, the script module and the pictures. They need no credentials.
func assets() http.Handler {
	files := map[string][]byte{}
	names, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		panic(err) //nolint:forbidigo // The pattern is a constant, so every test would find this.
	}
	for _, name := range names {
		content, err := assetFiles.ReadFile(name)
		if err != nil {
			panic(err) //nolint:forbidigo // The file is embedded.
		}
		if base := path.Base(name); path.Ext(name) == ".css" {
			files[stylesheet] = append(files[stylesheet], content...)
		} else {
			files[base] = content
		}
	}
	tags, packed := map[string]string{}, map[string][]byte{}
	for name, content := range files {
		sum := sha256.Sum256(content)
		tags[name] = base64.RawURLEncoding.EncodeToString(sum[:12])
		packed[name] = compress(content)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("file")
		content, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		tag := tags[name]
		w.Header().Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			content, tag = packed[name], tag+"-gzip"
		}
		w.Header().Set("Cache-Control", "no-cache") // A browser asks whether the release has changed it, by the tag.
		w.Header().Set("ETag", `"`+tag+`"`)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

// compress returns a file as browsers accept it, which is a quarter of its size.
func compress(content []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(content) // A buffer takes everything.
	_ = w.Close()
	return packed.Bytes()
}
