package httpapi

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/refract-video/refract/internal/cookie"
	"github.com/refract-video/refract/internal/publicerr"
	"github.com/refract-video/refract/internal/tracing"
)

// maxBody bounds the bodies of REST requests in bytes, as the gRPC server bounds its own.
const maxBody = 3 << 20

// requestGuard checks requests before the router. It reads no body: a request needs credentials and a route before its body
// is read.
type requestGuard struct {
	refuser
	sites   *crossSiteGuard // Nil where callers need credentials.
	uploads http.Handler
	routes  *routes
	console http.Handler   // Nil without pages for people.
	cookies *cookie.Policy // Nil where no session is a credential.
}

func (a *requestGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if problem := malformed(r.URL); problem != "" {
		a.invalid(closing(w, r), "", problem)
		return
	}
	if a.sites != nil {
		if problem := a.sites.violation(r); problem != "" {
			a.refuse(closing(w, r), crossSite, problem)
			return
		}
	}
	if a.console != nil && forPeople(r) {
		setRoute(r.Context(), "console")
		a.console.ServeHTTP(w, r)
		return
	}
	if err := a.checkSession(r); err != nil {
		a.refuse(closing(w, r), crossSite, err.Error())
		return
	}
	if r.ContentLength != 0 && !a.checkBody(w, r) {
		return
	}
	if strings.HasPrefix(r.URL.Path, sourcesPath) {
		tracing.Route(r, sourcesPath+"{upload_id}")
		a.uploads.ServeHTTP(w, r)
		return
	}
	a.routes.ServeHTTP(w, forGateway(r))
}

// checkSession returns an error for a request to the API with a session of the console that another site may have made. Who has a signed
// link needs no session, and other sites may embed it.
func (a *requestGuard) checkSession(r *http.Request) error {
	link := strings.HasPrefix(r.URL.Path, linksPath) && (r.Method == http.MethodGet || r.Method == http.MethodHead)
	if link || !strings.HasPrefix(r.URL.Path, "/v1/") {
		return nil
	}
	return a.cookies.CheckAPI(r)
}

// forPeople reports whether a request is for a page of the console. Programs that ask for / get the text that lists what is served.
func forPeople(r *http.Request) bool {
	switch path := r.URL.Path; {
	case path == "/":
		return strings.Contains(r.Header.Get("Accept"), "text/html")
	case strings.HasPrefix(path, "/v1/"):
		return false
	default:
		return path != "/openapi.json" && path != "/healthz" && path != "/readyz" && path != "/metrics"
	}
}

// forGateway returns a copy of a request without what the gateway treats by rules of its own, whatever its header matcher
// returns, and without some more headers.
func forGateway(r *http.Request, without ...string) *http.Request {
	r = r.WithContext(r.Context())
	r.Host, r.RemoteAddr = "", "" // The gateway forwards these as x-forwarded-host and x-forwarded-for.
	r.Header = r.Header.Clone()
	r.Header.Del("X-Forwarded-For")
	r.Header.Del("X-Forwarded-Host")
	r.Header.Del("Content-Type") // It was judged, and there is one way to read a body.
	for _, name := range without {
		r.Header.Del(name)
	}
	return r
}

// checkBody reports whether the body of a request may be read. When it returns false it has sent the answer.
func (a *requestGuard) checkBody(w http.ResponseWriter, r *http.Request) bool {
	if caller := callerOf(r.Context()); caller != nil {
		if err := caller.Authenticate(r.Context()); err != nil {
			a.fail(r.Context(), closing(w, r), err)
			return false
		}
	}
	if encoding := encodingOf(r.Header); encoding != "" {
		a.refuseEncoding(closing(w, r), encoding)
		return false
	}
	if strings.HasPrefix(r.URL.Path, sourcesPath) {
		return true // A file is of any type.
	}
	if !isJSON(r.Header.Get("Content-Type"), a.sites == nil) {
		a.refuse(closing(w, r), notJSON)
		return false
	}
	return true
}

// encodingOf returns the Content-Encoding of a body, from one or several headers; empty where it does not change the bytes.
func encodingOf(header http.Header) string {
	var encodings []string
	for encoding := range strings.SplitSeq(strings.Join(header.Values("Content-Encoding"), ","), ",") {
		if encoding = strings.TrimSpace(encoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
			encodings = append(encodings, encoding)
		}
	}
	return strings.Join(encodings, ", ")
}

// refuseEncoding answers a request whose body is compressed.
func (f refuser) refuseEncoding(w http.ResponseWriter, encoding string) {
	w.Header().Set("Accept-Encoding", "identity")
	f.refuse(w, unsupportedEncoding, publicerr.Echo(encoding))
}

// isJSON reports whether a Content-Type is that of JSON in UTF-8. A lenient check, where callers need credentials, also
// accepts a missing type and the type that curl and other tools send by default.
func isJSON(contentType string, lenient bool) bool {
	if contentType == "" {
		return lenient
	}
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	switch kind {
	case "application/json":
		return true
	case "application/x-www-form-urlencoded":
		return lenient
	default:
		return strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")
	}
}

// closing makes the answer the last of its connection where a body is left unread, since the body may still arrive.
func closing(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	return w
}

// malformed returns what is wrong with path and query, or an empty string. Both must be valid UTF-8, as strings in messages
// must be. The whole query must be readable: the router ignores parameters that it can't read.
func malformed(u *url.URL) string {
	query, err := url.QueryUnescape(u.RawQuery)
	if err != nil || !utf8.ValidString(query) || !utf8.ValidString(u.Path) {
		return "the URL is not UTF-8 text"
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return "the query is malformed: separate its parameters by &, and write a semicolon in a value as %3B"
	}
	return ""
}

// errBodyTooLarge means that a body is over its bound.
var errBodyTooLarge = errors.New("the body is too large")

// readBody returns the whole body, or errBodyTooLarge.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errBodyTooLarge // Before "100 Continue", so that a client that waits for it sends nothing.
	}
	var buffer bytes.Buffer
	buffer.Grow(bytes.MinRead + int(min(max(r.ContentLength, 0), maxGuess)))
	_, err := buffer.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, errBodyTooLarge
	}
	return buffer.Bytes(), err
}

// maxGuess bounds the memory in bytes that a body gets by its Content-Length, before its bytes are there.
const maxGuess = 4 << 10

// refuseBody answers a request whose body could not be read, and ends the connection, since the rest of the body may still
// arrive.
func (f refuser) refuseBody(w http.ResponseWriter, err error) {
	w.Header().Set("Connection", "close")
	switch {
	case errors.Is(err, errBodyTooLarge):
		f.refuse(w, bodyTooLarge)
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.refuse(w, bodyTimeout)
	default:
		f.refuse(w, bodyIncomplete)
	}
}

// byteOrderMark may begin a text in UTF-8 and is ignored.
var byteOrderMark = []byte("\xef\xbb\xbf")
