package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
)

// maxForm bounds a form in bytes. Files are not part of it.
const maxForm = 256 << 10

// formField is the hidden field of a form that proves that the form is from a page of this console.
const formField = "form_token"

var (
	errForged  = errors.New("the form is not from this console, or was made before you signed in: reload the page and send it again")
	errTooLong = errors.New("the form is too long")
)

// formToken returns the token of forms for a visitor. Other sites can make a browser send a form with its cookies, but can't know the
// secret from which the token is made.
func formToken(key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("refract.console.form"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkForm reads a form and returns errForged unless it has the visitor's token.
func (v *visit) checkForm() error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return errTooLong
		}
		return errForged
	}
	if !hmac.Equal([]byte(v.r.PostForm.Get(formField)), []byte(formToken(v.caller.FormKey))) {
		return errForged
	}
	return nil
}
