package kie

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/refract-video/refract/internal/provider/wire"
)

// errUpload means that an answer of the upload API holds no file.
var errUpload = errors.New("the provider did not take the file")

// UploadedURL reads the body of an answer of the upload API: the address under which the provider finds the
// file that was sent. The provider's pages disagree about the name of the field [D].
func UploadedURL(body []byte) (string, error) {
	envelope, ok := wire.DecodeObject(body)
	if !ok {
		return "", fmt.Errorf("%w: the answer is not a JSON object", errUpload)
	}
	if code, ok := envelope.Integer("code"); !ok || code != http.StatusOK {
		return "", fmt.Errorf("%w: code %d", errUpload, code)
	}
	data := envelope.Object("data")
	for _, key := range []string{"downloadUrl", "fileUrl"} {
		if address := data.Text(key); wire.IsLink(address) {
			return address, nil
		}
	}
	return "", fmt.Errorf("%w: the answer holds no address", errUpload)
}
