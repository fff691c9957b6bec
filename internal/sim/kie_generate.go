package sim

import (
	"cmp"
	"net/http"
	"unicode"
)

// kieRequest is the body of generate; the echo spells watermark in another way and is sorted by name.
type kieRequest struct {
	Prompt      string `json:"prompt"`
	VideoURL    string `json:"videoUrl"`
	CallBackURL string `json:"callBackUrl"`
	Watermark   string `json:"watermark"`
}

// generate is POST /api/v1/modify/generate.
func (k *kie) generate(w http.ResponseWriter, r *http.Request) {
	var req kieRequest
	badBody := k.decode(w, r, maxJSON, &req)
	k.sim.submit(w, r, k, Submission{
		Prompt: req.Prompt, VideoURL: req.VideoURL, CallbackURL: req.CallBackURL, Watermark: req.Watermark,
	}, cmp.Or(badBody, k.checkRequest(req)))
}

// created tells the task id.
func (k *kie) created(_ http.ResponseWriter, j *job) (status int, body []byte) {
	return http.StatusOK, k.success(map[string]string{"taskId": j.id})
}

func (k *kie) checkRequest(req kieRequest) *refusal {
	switch {
	case req.Prompt == "":
		return refuse(http.StatusUnprocessableEntity, "prompt is required")
	case req.VideoURL == "":
		return refuse(http.StatusUnprocessableEntity, "videoUrl is required")
	case !isURI(req.VideoURL):
		return refuse(http.StatusUnprocessableEntity, "videoUrl is not a valid URL")
	case req.CallBackURL != "" && !isURI(req.CallBackURL):
		return refuse(http.StatusUnprocessableEntity, "callBackUrl is not a valid URL")
	}
	for _, c := range req.Prompt {
		if k.sim.cfg.RejectNonASCII && c > unicode.MaxASCII {
			return refuse(http.StatusUnprocessableEntity, "Only English prompts are supported")
		}
	}
	return nil
}
