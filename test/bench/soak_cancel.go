//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

const (
	leavings  = 60 // in each window
	cancelMax = 1000
)

// A window is a state in which a client may leave: how far the vendor has
// come. It has sent sent and is silent.
type window struct {
	name   string
	chunks int // as of ask
	sent   []byte
}

func windows() []window {
	r := render(script{Chunks: 64, Body: 600})
	role := frameOf(chunkLead + `[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n")
	return []window{
		{"unary, before the headers", 0, nil},
		{"unary, amid the body", 0, r.unary[:len(r.unary)-10]},
		{"stream, before the headers", 64, nil},
		{"stream, before the first token", 64, append(append([]byte(nil), streamHead...), role...)},
		{"stream, amid the stream", 64, r.lead},
	}
}

// A sink is a vendor in this process that answers the beginning of an answer
// and tells when the caller hung up.
type sink struct {
	ln    net.Listener
	sent  []byte
	asked chan struct{}
	left  chan time.Time
}

func newSink(sent []byte) (*sink, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &sink{ln: ln, sent: sent, asked: make(chan struct{}, leavings), left: make(chan time.Time, leavings)}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go k.serve(nc)
		}
	}()
	return k, nil
}

func (k *sink) serve(nc net.Conn) {
	defer nc.Close()
	rd := &reader{src: nc, buf: make([]byte, mockBuffer)}
	c, err := readCall(rd)
	if err != nil || rd.each(c.length, func([]byte) {}) != nil {
		return
	}
	if _, err := nc.Write(k.sent); err != nil {
		return
	}
	k.asked <- struct{}{}
	var b [1]byte
	_, _ = nc.Read(b[:])
	k.left <- time.Now()
}

// cancel leaves at a random moment after the vendor was asked, in each window.
func (s *soak) cancel() error {
	var rows [][]string
	var worst time.Duration
	for _, w := range windows() {
		took, err := s.leave(w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		worst = max(worst, quantile(took, 1))
		rows = append(rows, append(append([]string{w.name, fmt.Sprint(len(took))}, quantiles(took)...), fmt.Sprintf("%.2f", ms(quantile(took, 1)))))
		s.put("cancel", w.name, "p99_ms", ms(quantile(took, 0.99)))
		s.put("cancel", w.name, "max_ms", ms(quantile(took, 1)))
	}
	s.conclude([]bound{{"the vendor's call ends after the client left, longest, ms", "%.1f", ms(worst), cancelMax}},
		"from the client's close to the vendor seeing its own closed, ms", []string{"the client leaves", "times", "p50", "p99", "max"}, rows)
	return nil
}

func (s *soak) leave(w window) ([]time.Duration, error) {
	m, mock, err := s.startMock("mock") // answers the first request, which shows that the gateway serves
	if err != nil {
		return nil, err
	}
	defer m.stop(0)
	k, err := newSink(w.sent)
	if err != nil {
		return nil, err
	}
	defer k.ln.Close()
	g, err := s.gate("", "  sink: b/"+modelName+"\n", mock, k.ln.Addr().String())
	if err != nil {
		return nil, err
	}
	defer g.stop()
	req := ask{bytes: 200, chunks: w.chunks, model: "sink"}.request(g.addr, clientKey)
	var took []time.Duration
	for range leavings {
		nc, err := net.Dial("tcp", g.addr)
		if err != nil {
			return nil, err
		}
		if _, err := nc.Write(req); err != nil {
			nc.Close()
			return nil, err
		}
		select {
		case <-k.asked:
		case <-time.After(patience):
			nc.Close()
			return nil, fmt.Errorf("the vendor was not asked: %s", g.proc.logTail())
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		begin := time.Now()
		nc.Close()
		select {
		case at := <-k.left:
			took = append(took, at.Sub(begin))
		case <-time.After(patience):
			return nil, fmt.Errorf("the vendor's call goes on %v after the client left", patience)
		}
	}
	slices.Sort(took)
	return took, nil
}
