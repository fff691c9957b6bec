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
	"sync"
	"time"
)

//go:embed assets
var assetFiles embed.FS

// stylesheet is the name of the one stylesheet, which is made of all files of styles in the order of their names.
const stylesheet = "console.css"

// asset is a file as it is served.
type asset struct {
	content, packed []byte
	tag             string // It changes with the content.
}

// assets has the stylesheet, the script modules and the pictures, by name. They are prepared when the first is asked for.
var assets = sync.OnceValue(readAssets)

func readAssets() map[string]asset {
	names, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		panic(err) //nolint:forbidigo // The pattern is a constant, so every test would find this.
	}
	files := map[string][]byte{}
	for _, name := range names {
		content, err := assetFiles.ReadFile(name)
		if err != nil {
			panic(err) //nolint:forbidigo // The file is embedded.
		}
		base := path.Base(name)
		if path.Ext(name) == ".css" {
			base = stylesheet
		}
		files[base] = append(files[base], content...)
	}
	all := map[string]asset{}
	for name, content := range files {
		sum := sha256.Sum256(content)
		all[name] = asset{content: content, packed: compress(content), tag: base64.RawURLEncoding.EncodeToString(sum[:12])}
	}
	return all
}

// serveAsset serves one of the assets, which need no credentials.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	a, ok := assets()[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		a.content, a.tag = a.packed, a.tag+"-gzip"
	}
	w.Header().Set("Cache-Control", "no-cache") // A browser asks whether the release has changed it, by the tag.
	w.Header().Set("ETag", `"`+a.tag+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.content))
}

// compress returns a file as browsers accept it, which is a quarter of its size.
func compress(content []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(content) // A buffer takes everything.
	_ = w.Close()
	return packed.Bytes()
}
