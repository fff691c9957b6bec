package sim

import (
	"encoding/json"
	"net/http"
)

// registerInspection serves what a test in another process wants to know. It is not part of any provider.
func (s *Server) registerInspection(mux *http.ServeMux) {
	mux.HandleFunc("GET /sim/health", func(w http.ResponseWriter, _ *http.Request) {
		s.show(w, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /sim/ledger", func(w http.ResponseWriter, _ *http.Request) { s.show(w, s.summary()) })
	mux.HandleFunc("GET /sim/deliveries", func(w http.ResponseWriter, _ *http.Request) { s.show(w, s.Deliveries()) })
	mux.HandleFunc("GET /sim/downloads", func(w http.ResponseWriter, _ *http.Request) { s.show(w, s.Downloads()) })
	mux.HandleFunc("GET /sim/limits", func(w http.ResponseWriter, _ *http.Request) { s.show(w, s.Limits()) })
	mux.HandleFunc("GET /sim/directives", func(w http.ResponseWriter, _ *http.Request) {
		var terms []Terms
		for _, a := range s.apis {
			terms = append(terms, a.terms)
		}
		s.show(w, mergeDirectives(terms))
	})
}

// LedgerSummary is the answer of GET /sim/ledger.
type LedgerSummary struct {
	Entries           []Entry        `json:"entries"`
	Paid              int            `json:"paid"`
	PaidByCallbackURL map[string]int `json:"paid_by_callback_url"`
	PaidByPrompt      map[string]int `json:"paid_by_prompt"`
	PaidByProfile     map[string]int `json:"paid_by_profile"`
	PaidByVideoURL    map[string]int `json:"paid_by_video_url"`
	Credits           int            `json:"credits"`
}

func (s *Server) summary() LedgerSummary {
	entries := s.Ledger()
	sum := LedgerSummary{
		Entries: entries, Credits: s.Credits(),
		PaidByCallbackURL: CountPaid(entries, ByCallbackURL),
		PaidByPrompt:      CountPaid(entries, ByPrompt),
		PaidByProfile:     CountPaid(entries, ByProfile),
		PaidByVideoURL:    CountPaid(entries, ByVideoURL),
	}
	for _, n := range sum.PaidByPrompt {
		sum.Paid += n
	}
	return sum
}

// show answers v as JSON.
func (s *Server) show(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.cfg.Logger.Debug("write answer", "error", err)
	}
}
