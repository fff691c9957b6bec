package faults_test

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// balancer is one address in front of changing listeners, like the load balancer of a fleet. It passes a connection to
// any listener that accepts it.
type balancer struct {
	listener net.Listener
	address  string

	mu       sync.Mutex
	backends map[string]bool
	conns    map[net.Conn]bool
	work     sync.WaitGroup
}

// newBalancer returns a balancer without backends. It is closed when the test ends.
func newBalancer(t *testing.T) *balancer {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: lis, address: lis.Addr().String(), backends: map[string]bool{}, conns: map[net.Conn]bool{}}
	b.work.Go(b.serve)
	t.Cleanup(b.close)
	return b
}

func (b *balancer) set(address string, living bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if living {
		b.backends[address] = true
	} else {
		delete(b.backends, address)
	}
}

func (b *balancer) serve() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return // Closed.
		}
		b.work.Go(func() { b.join(client) })
	}
}

// join copies bytes both ways until one end closes.
func (b *balancer) join(client net.Conn) {
	defer client.Close()
	backend := b.dial()
	if backend == nil {
		return
	}
	defer backend.Close()
	if !b.keep(client, backend) {
		return
	}
	defer b.forget(client, backend)
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{client: backend, backend: client} {
		both.Go(func() {
			_, _ = io.Copy(to, from)
			_ = to.Close()
			_ = from.Close()
		})
	}
	both.Wait()
}

// dial connects to a backend that accepts, or returns nil.
func (b *balancer) dial() net.Conn {
	b.mu.Lock()
	addresses := make([]string, 0, len(b.backends))
	for a := range b.backends {
		addresses = append(addresses, a)
	}
	b.mu.Unlock()
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	for _, a := range addresses {
		if conn, err := net.DialTimeout("tcp", a, time.Second); err == nil { //nolint:noctx // An address of this machine.
			return conn
		}
	}
	return nil
}

func (b *balancer) keep(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		return false
	}
	for _, c := range conns {
		b.conns[c] = true
	}
	return true
}

func (b *balancer) forget(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		delete(b.conns, c)
	}
}

func (b *balancer) close() {
	_ = b.listener.Close()
	b.mu.Lock()
	for c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	b.work.Wait()
}
