package wire

import (
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// TestNewClient_TheKernelGivesUpOnASubmissionToo reads back the option of the connections of submissions.
//
// It fails when newHTTPClients dials without boundUnacknowledged.
func TestNewClient_TheKernelGivesUpOnASubmissionToo(t *testing.T) {
	t.Parallel()
	address := listen(t).Addr().String()
	orders, ok := untraced(t, newClient(t, "http://"+address, nil).submits).(*http.Transport)
	if !ok {
		t.Fatal("submissions have another transport")
	}
	conn, err := orders.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if ctrl := raw.Control(func(fd uintptr) {
		got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout)
	}); ctrl != nil || err != nil {
		t.Fatal(ctrl, err)
	}
	if time.Duration(got)*time.Millisecond != SubmitTimeout {
		t.Errorf("the kernel gives up after %d ms, want %v", got, SubmitTimeout)
	}
}
