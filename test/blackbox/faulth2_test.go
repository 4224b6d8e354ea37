package blackbox

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/test/faultlab"
	"golang.org/x/net/http2"
)

// newH2Pair is newPair with an A that speaks HTTP/2 and answers by script.
func newH2Pair(t *testing.T, script func(*faultlab.Stream), cfg faultlab.Config, extra string) *pair {
	t.Helper()
	t.Parallel()
	ca := newAuthority(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	write(t, roots, string(ca.pem))
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{ca.pair("", time.Now().Add(time.Hour))}, NextProtos: []string{"h2"}}
	cfg.Stream = script
	p := &pair{a: vendorOf(t, cfg, nil), b: newVendor(t, func(c *call) { c.whole("from B") })}
	p.gateway = serve(t, pairConfig(p.a.secure("a", "ka", roots), p.b.provider("b", "kb"), extra))
	return p
}

// h2Events sends data events.
func h2Events(s *faultlab.Stream, data ...string) {
	for _, d := range data {
		s.Data("data: " + d + "\n\n")
	}
}

// h2Whole answers in the form that was asked for.
func h2Whole(s *faultlab.Stream, text string) {
	if !strings.Contains(string(s.Body), `"stream":true`) {
		s.Answer(200, completion(text))
		return
	}
	s.Head(200)
	h2Events(s, roleChunk, contentChunk(text), stopChunk, usageChunk, "[DONE]")
	s.Finish()
}

// fromA checks that A alone answered, whole.
func (p *pair) fromA(t *testing.T, r *reply) {
	t.Helper()
	if r.status != 200 || !strings.Contains(string(r.body), "from A") || r.err != nil || r.header.Get("X-Sluice-Target") != "a/vendor-m" || p.b.count() != 0 {
		t.Errorf("answer: got %s after %d calls to B, want A's alone", r, p.b.count())
	}
}

// A vendor that says goodbye finishes what it has begun; what it has not is
// asked again, on another connection, and told.
func TestFault36GoAway(t *testing.T) {
	t.Parallel()
	t.Run("before the stream", func(t *testing.T) {
		p := newH2Pair(t, func(s *faultlab.Stream) {
			if s.Call.N == 1 {
				s.H2.GoAway(s.ID-1, http2.ErrCodeNo)
				s.Hang()
				return
			}
			h2Whole(s, "from A")
		}, faultlab.Config{}, "")
		r := p.stream("a")
		p.fromA(t, r)
		if rec := p.record(r.id()); len(rec.Attempts) != p.a.count() || p.a.count() != 2 || len(p.a.Conns()) != 2 {
			t.Errorf("attempts told %d, calls %d, connections %d; want 2 each: nothing is replayed in secret", len(rec.Attempts), p.a.count(), len(p.a.Conns()))
		}
	})
	t.Run("behind the stream", func(t *testing.T) {
		p := newH2Pair(t, func(s *faultlab.Stream) {
			s.Head(200)
			h2Events(s, roleChunk, contentChunk("from "))
			s.H2.GoAway(s.ID, http2.ErrCodeNo)
			h2Events(s, contentChunk("A"), stopChunk, usageChunk, "[DONE]")
			s.Finish()
		}, faultlab.Config{}, "")
		for n := 1; n <= 2; n++ {
			r := p.stream("m")
			if got := text(datas(r.body)); got != "from A" || r.status != 200 || p.b.count() != 0 {
				t.Errorf("answer %d: got %s, want A's", n, r)
			}
			if p.a.count() != n || len(p.a.Conns()) != n {
				t.Errorf("after %d answers: %d calls over %d connections, want one call on each", n, p.a.count(), len(p.a.Conns()))
			}
		}
	})
	t.Run("always", func(t *testing.T) {
		p := newH2Pair(t, func(s *faultlab.Stream) {
			s.H2.GoAway(s.ID-1, http2.ErrCodeNo)
			s.Hang()
		}, faultlab.Config{}, "")
		r := p.stream("a")
		if r.status != http.StatusBadGateway && r.status != http.StatusServiceUnavailable {
			t.Errorf("answer: got %s, want 502 or 503", r)
		}
		if rec := p.record(r.id()); len(rec.Attempts) != p.a.count() || p.a.count() > 3 {
			t.Errorf("attempts told %d, calls %d, want the same and at most 3", len(rec.Attempts), p.a.count())
		}
		for range 30 {
			p.stream("m")
		}
		if n := p.a.count(); n > 12 || p.b.count() != 30 {
			t.Errorf("calls to A: got %d, to B %d; want few, and 30", n, p.b.count())
		}
	})
}

func TestFault37ResetStream(t *testing.T) {
	t.Parallel()
	for _, code := range []http2.ErrCode{http2.ErrCodeRefusedStream, http2.ErrCodeInternal, http2.ErrCodeEnhanceYourCalm} {
		t.Run(fmt.Sprintf("%v at once", code), func(t *testing.T) {
			p := newH2Pair(t, func(s *faultlab.Stream) { s.Refuse(code) }, faultlab.Config{}, "")
			p.fromB(t, p.stream("m"), 1)
		})
		t.Run(fmt.Sprintf("%v before content", code), func(t *testing.T) {
			p := newH2Pair(t, func(s *faultlab.Stream) {
				s.Head(200)
				h2Events(s, roleChunk)
				s.Refuse(code)
			}, faultlab.Config{}, "")
			p.fromB(t, p.stream("m"), 1)
		})
		t.Run(fmt.Sprintf("%v after content", code), func(t *testing.T) {
			seen := make(chan struct{}) // a reset may overtake what came before it
			p := newH2Pair(t, func(s *faultlab.Stream) {
				if s.Call.N > 1 {
					h2Whole(s, "from A")
					return
				}
				s.Head(200)
				h2Events(s, roleChunk, contentChunk("half "))
				s.Until(seen)
				s.Refuse(code)
			}, faultlab.Config{}, "")
			broken(t, p.follow("m", "half ", func() { close(seen) }), "half ")
			if n := p.b.count(); n != 0 {
				t.Errorf("calls to B: got %d, want 0: content was sent", n)
			}
			if r := p.stream("a"); r.status != 200 || len(p.a.Conns()) != 1 {
				t.Errorf("after it: got %s over %d connections, want A's answer over the same one", r, len(p.a.Conns()))
			}
		})
	}
}

// A body that the vendor does not take ends at the request's bounds; streams
// beside it on the same connection do not wait for it.
func TestFault38WindowNeverOpened(t *testing.T) {
	stuck := make(chan *faultlab.Stream, 1)
	p := newH2Pair(t, func(s *faultlab.Stream) { h2Whole(s, "from A") }, faultlab.Config{
		Withhold: func(s *faultlab.Stream) bool {
			if s.Header.Get("X-Test-Row") != "1" {
				return false
			}
			stuck <- s
			return true
		},
	}, "")
	if r := p.stream("m"); r.status != 200 { // the connection is there
		t.Fatalf("first request: got %s", r)
	}
	big := make(chan *reply, 1)
	go func() {
		r, err := try(http.MethodPost, p.url+"/v1/chat/completions", `{"model":"m","stream":true,"messages":[{"role":"user","content":"`+strings.Repeat("x", 200<<10)+`"}]}`, atRow(1)...)
		if err != nil {
			t.Error(err)
		}
		big <- r
	}()
	s := <-stuck
	p.fromA(t, p.stream("m"))
	r := <-big
	if r == nil || r.status != 200 || r.header.Get("X-Sluice-Target") != "b/vendor-m" || p.b.count() != 1 {
		t.Errorf("the stuck request: got %v, want B's answer", r)
	}
	closed(t, "the end of the stuck stream", s.Gone)
	if _, was := s.WasReset(); !was {
		t.Errorf("the stuck stream was not reset: %v", s.H2.Frames())
	}
	p.stream("a")
	if n := len(p.a.Conns()); n != 1 {
		t.Errorf("connections to A: got %d, want 1: the others are not disturbed", n)
	}
}

// A path that has died is found by PINGs, long before the request's bounds.
func TestFault39DeadPath(t *testing.T) {
	p := newH2Pair(t, func(s *faultlab.Stream) {
		s.H2.Mute()
		s.Hang()
	}, faultlab.Config{}, "timeouts: {first_token: 3m, total: 3m}\n")
	r := p.stream("m") // its header went out with the keep-alives
	if got := outcomes(p.record(r.id())); text(datas(r.body)) != "from B" || len(got) != 2 || p.a.count() != 1 || p.b.count() != 1 {
		t.Errorf("answer: got %s, attempts %v, want B's at the second", r, got)
	}
	p.a.ended(1)
	c := p.a.Conns()[0]
	_, at := c.End()
	t.Logf("the connection was left after %v", at.Sub(c.Accepted))
	if frames := c.H2().Frames(); !slices.ContainsFunc(frames, func(f string) bool { return strings.HasPrefix(f, "PING") && !strings.HasSuffix(f, "ACK") }) {
		t.Errorf("frames: got %v, want a PING", frames)
	}
}
