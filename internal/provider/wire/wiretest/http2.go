package wiretest

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// The HTTP/2 frame types that tests use, and their flags.
const (
	frameData     = 0
	frameReset    = 3
	frameSettings = 4
	frameGoAway   = 7

	flagAck       = 1
	flagEndStream = 1
)

// frame is one frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := []byte{0, 0, byte(len(payload)), kind, flags} //nolint:gosec // The payloads of tests are short.
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// serveHTTP2 starts a server that reads every request to its end, counts it, and answers with a frame.
// The server of net/http can't send such a frame.
func serveHTTP2(answer func(stream uint32) []byte) (*httptest.Server, *atomic.Int32) {
	bodies := new(atomic.Int32)
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.EnableHTTP2 = true
	srv.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
			defer func() { _ = conn.Close() }()
			_, _ = conn.Write(frame(frameSettings, 0, 0, nil))
			_, _ = io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
			var head [9]byte
			for {
				if _, err := io.ReadFull(conn, head[:]); err != nil {
					return
				}
				_, _ = io.CopyN(io.Discard, conn, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
				switch kind, flags := head[3], head[4]; {
				case kind == frameSettings && flags&flagAck == 0:
					_, _ = conn.Write(frame(frameSettings, flagAck, 0, nil))
				case kind == frameData && flags&flagEndStream != 0:
					bodies.Add(1)
					_, _ = conn.Write(answer(binary.BigEndian.Uint32(head[5:])))
				}
			}
		},
	}
	srv.StartTLS()
	return srv, bodies
}
