package sim

import "net/http"

// downloadURL is POST /api/v1/common/download-url: a fresh link for a file that the provider gave out.
func (k *kie) downloadURL(w http.ResponseWriter, r *http.Request) {
	entry := newEntry(r, ProfileKie, ResultServed, http.StatusOK)
	var req struct {
		URL string `json:"url"`
	}
	badBody := k.decode(w, r, maxJSON, &req)
	fresh, no := "", badBody
	if key, denied := k.sim.enter(r, k); denied != nil {
		entry.Key, no = key, denied
	} else if entry.Key = key; no == nil {
		fresh, no = k.renew(req.URL)
	}
	if no != nil {
		entry.Result, entry.Code = ResultRefused, no.code
		k.sim.record(entry)
		k.refuse(w, no)
		return
	}
	k.sim.record(entry)
	k.accept(w, fresh)
}

func (k *kie) renew(old string) (string, *refusal) {
	fresh, code := k.sim.host.renew(old)
	switch code {
	case http.StatusOK:
		return fresh, nil
	case http.StatusNotFound:
		return "", k.scripted(code)
	default:
		return "", refuse(code, "The url is not one of ours")
	}
}

// credit is GET /api/v1/chat/credit: the remaining credits.
func (k *kie) credit(w http.ResponseWriter, r *http.Request) {
	if _, no := k.sim.enter(r, k); no != nil {
		k.refuse(w, no)
		return
	}
	k.accept(w, k.sim.purse.balance())
}
