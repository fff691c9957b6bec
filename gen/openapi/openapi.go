// Package openapi carries the OpenAPI description of the REST surface.
//
// This file and files.json are kept by hand: a Go package can embed only what lies in its own folder, and files travel by routes
// that the contract does not have. The description beside them is generated.
package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

//go:embed refract.swagger.json
var contract []byte

//go:embed files.json
var files []byte

// JSON returns the OpenAPI 2.0 document: what is generated from the comments and HTTP rules of the contract, and the uploads and
// downloads of files. The first call makes it. Callers must not change it, and may call JSON concurrently.
var JSON = sync.OnceValues(compose)

func compose() ([]byte, error) {
	var document, more map[string]any
	if err := json.Unmarshal(contract, &document); err != nil {
		return nil, fmt.Errorf("read the description of the contract: %w", err)
	}
	if err := json.Unmarshal(files, &more); err != nil {
		return nil, fmt.Errorf("read the description of files: %w", err)
	}
	for _, part := range []string{"paths", "definitions"} {
		to, _ := document[part].(map[string]any)
		from, _ := more[part].(map[string]any)
		maps.Copy(to, from)
		delete(more, part)
	}
	maps.Copy(document, more)
	return json.Marshal(document)
}
