package console

import (
	"errors"
	"net/http"

	"github.com/refract-video/refract/internal/cookie"
)

// maxForm bounds a form in bytes. Files are not part of it.
const maxForm = 256 << 10

// formField is the hidden field of a form that proves that the form is from a page of this console.
const formField = "form_token"

var (
	errForged  = errors.New("the form is not from this console, or was made before you signed in: reload the page and send it again")
	errTooLong = errors.New("the form is too long")
)

// checkForm reads a form and returns errForged unless it has the visitor's token.
func (v *visit) checkForm() error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return errTooLong
		}
		return errForged
	}
	if !cookie.HasFormToken(v.r.PostForm.Get(formField), v.caller.FormKey) {
		return errForged
	}
	return nil
}
