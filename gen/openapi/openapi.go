// Package openapi carries the OpenAPI description of the REST surface.
//
// This file is kept by hand, since a Go package can embed only what lies in its own folder; the
// description beside it is generated.
package openapi

import _ "embed"

// JSON is the OpenAPI 2.0 document, generated from the comments and HTTP rules of the contract.
//
//go:embed refract.swagger.json
var JSON []byte
