// Package luma simulates Luma's Dream Machine API, version 1. A job moves from queued to dreaming, and then to completed or
// failed. No answer shows that the delivery of a callback failed for good. Callbacks are not signed. They come at the
// beginning and at the end of a generation. Result links are valid for 24 h, and are never renewed.
//
// A source that can't be fetched, or that ffmpeg can't read, fails the generation.
package luma

import (
	"net/http"

	"github.com/refract-video/refract/internal/sim"
	"github.com/refract-video/refract/internal/sim/lumalabs"
)

// path is the base path of the API, as on Luma's own host.
const path = "/dream-machine/v1"

// protocol is the wire format of the API.
type protocol struct{ lumalabs.Protocol }

// Register implements [sim.Protocol].
func (p *protocol) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+path+"/generations/video/modify", p.modify)
	mux.HandleFunc("GET "+path+"/generations/{id}", p.Get(render))
	mux.HandleFunc("GET "+path+"/generations", p.Query(p.list))
	mux.HandleFunc("DELETE "+path+"/generations/{id}", p.remove)
	mux.HandleFunc("GET "+path+"/credits", p.Query(p.credits))
	mux.HandleFunc("GET "+path+"/ping", p.Query(p.ping))
}

// credits is GET /credits: the balance in US cents.
func (p *protocol) credits(*http.Request) (any, *sim.Refusal) {
	return map[string]int{"credit_balance": p.Balance()}, nil
}

// ping is GET /ping.
func (p *protocol) ping(*http.Request) (any, *sim.Refusal) {
	return map[string]string{"message": "pong"}, nil
}
