package kie

import (
	"net/http"

	"github.com/refract-video/refract/internal/sim"
)

// downloadURL is POST /api/v1/common/download-url: a fresh link for a file that the provider gave out.
func (p *protocol) downloadURL(w http.ResponseWriter, r *http.Request) {
	var fresh string
	no := p.api.Serve(r, sim.ResultServed, http.StatusOK, func(*sim.Entry) (no *sim.Refusal) {
		var req struct {
			URL string `json:"url"`
		}
		if no := p.decode(w, r, sim.MaxJSON, &req); no != nil {
			return no
		}
		fresh, no = p.renew(req.URL)
		return no
	})
	if no != nil {
		p.Refuse(w, no)
		return
	}
	p.accept(w, fresh)
}

func (p *protocol) renew(old string) (string, *sim.Refusal) {
	fresh, code := p.api.Renew(old, p.cfg.DownloadTTL)
	switch code {
	case http.StatusOK:
		return fresh, nil
	case http.StatusNotFound:
		return "", p.Refusal(code)
	default:
		return "", sim.Refuse(code, "The url is not one of ours")
	}
}

// credit is GET /api/v1/chat/credit: the remaining credits. It is not part of any rate window.
func (p *protocol) credit(w http.ResponseWriter, r *http.Request) {
	if _, no := p.api.Authenticate(r); no != nil {
		p.Refuse(w, no)
		return
	}
	p.accept(w, p.api.Balance())
}
