package blackbox

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// descriptors is how many files and sockets a process has open.
func descriptors(t testing.TB, p *process) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// goroutines is what the gateway's metrics say.
func (g *gateway) goroutines() int {
	g.t.Helper()
	_, rest, _ := strings.Cut(string(g.get("/metrics").body), "\ngo_goroutines ")
	n := 0
	if _, err := fmt.Sscan(rest, &n); err != nil {
		g.t.Fatalf("no go_goroutines in the metrics: %v", err)
	}
	return n
}

// More clients than there are descriptors for: those that are too many wait, some
// descriptors stay for vendors and files, what runs goes on, and when there is
// room again so does everybody.
func TestFault118NoDescriptors(t *testing.T) {
	t.Parallel()
	const most = 64
	v := newHeld(t)
	g := serve(t, "log: {level: debug}\ntimeouts: {idle: 60s}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n", withFiles(most))
	rest := begun(t, g.url, "a")
	var crowd []net.Conn
	for range 2 * most {
		crowd = append(crowd, dial(t, g.addr)) // by the kernel, if not by the gateway
	}
	g.line("all connections are taken")
	time.Sleep(2 * time.Second) // a loop that spins says so thousands of times
	if n := g.said("all connections are taken", "Accept error"); n > 3 {
		t.Errorf("said %d times that there is no room, want it to wait in silence", n)
	}
	if n := descriptors(t, g.process); n > most-8 {
		t.Errorf("%d of %d descriptors are taken, want some left for vendors", n, most)
	}
	close(v.release)
	if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the running stream: got %q, %v, want it whole", got, err)
	}
	for _, c := range crowd {
		_ = c.Close()
	}
	if r := g.chat("a"); r.status != 200 {
		t.Errorf("when there is room again: got %s, want 200", r)
	}
}

// Streams that all end at once leave nothing behind.
func TestFault146AllEndAtOnce(t *testing.T) {
	t.Parallel()
	const streams = 300
	v := newHeld(t)
	g := serve(t, "limits: {in_flight: 4000}\ntimeouts: {idle: 60s}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	if r := g.chat("a"); r.status != 200 {
		t.Fatalf("warming up: %s", r)
	}
	client.CloseIdleConnections()
	files, routines := descriptors(t, g.process), g.goroutines()
	rests := make([]func() (string, error), streams)
	for i := range rests {
		rests[i] = begun(t, g.url, "a")
	}
	if n := descriptors(t, g.process); n < files+2*streams-5 {
		t.Errorf("descriptors with %d streams: got %d, want two for each", streams, n)
	}
	close(v.release)
	var wg sync.WaitGroup
	for _, rest := range rests {
		wg.Go(func() {
			if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
				t.Errorf("a stream: got %q, %v, want it whole", got, err)
			}
		})
	}
	wg.Wait()
	v.Break()
	eventually(t, "descriptors as before", func() bool { return descriptors(t, g.process) <= files+5 })
	eventually(t, "goroutines as before", func() bool { client.CloseIdleConnections(); return g.goroutines() <= routines+5 })
	eventually(t, "nothing in flight", func() bool { return g.target("a/m").InFlight == 0 })
}
