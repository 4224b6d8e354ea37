package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestFaultsStreamed(t *testing.T) {
	for _, tc := range []struct {
		fault    Fault
		status   int // 0: no answer
		events   int // whole content events
		broken   bool
		problem  bool
		contains string
	}{
		{Fault{Kind: FaultRefuse}, 0, 0, true, false, ""},
		{Fault{Kind: FaultReset}, 0, 0, true, false, ""},
		{Fault{Kind: FaultCut, After: 3}, 200, 3, true, false, ""},
		{Fault{Kind: FaultCut, After: 3000}, 200, 10, true, false, ""},
		{Fault{Kind: FaultError200}, 200, 0, false, true, ""},
		{Fault{Kind: FaultErrorMid, After: 2}, 200, 2, false, true, ""},
		{Fault{Kind: FaultHTML}, 200, 0, false, false, "<html>"},
		{Fault{Kind: FaultStatus, Status: 529, Headers: map[string]string{"retry-after": "7"}}, 529, 0, false, true, "overloaded"},
		{Fault{Kind: FaultMalformed, After: 1}, 200, 10, false, false, "no JSON\ndata: {"},
		{Fault{Kind: FaultSlowBody, Every: time.Microsecond}, 200, 10, false, false, "[DONE]"},
	} {
		name := string(tc.fault.Kind)
		r := start(t, Config{Models: []Model{{Name: "m", Tokens: 10, Fault: &tc.fault}}})
		resp, body, err := r.post("/v1/chat/completions", streamed(hello))
		if (err != nil) != tc.broken || (resp == nil) != (tc.status == 0) || resp != nil && resp.StatusCode != tc.status {
			t.Errorf("%s: got %v, %v", name, resp, err)
		}
		if tc.status == 0 && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: got %v, want a connection reset", name, err)
		}
		if !strings.Contains(body, tc.contains) || strings.Contains(body, `"error":{`) != tc.problem {
			t.Errorf("%s: got %s", name, body)
		}
		if got := strings.Count(body, `"delta":{"content":"`); got != tc.events {
			t.Errorf("%s: got %d content events, want %d", name, got, tc.events)
		}
		if tc.broken || tc.problem {
			if strings.Contains(body, "[DONE]") {
				t.Errorf("%s: ends with [DONE]", name)
			}
		}
		if tc.fault.Kind == FaultStatus && resp.Header.Get("Retry-After") != "7" {
			t.Errorf("got headers %v", resp.Header)
		}
		last, want := r.settled(), OutcomeFault
		if tc.fault.Kind == FaultSlowBody {
			want = OutcomeOK
		}
		if last.Outcome != want || last.Fault != tc.fault.Kind || last.Status != tc.status {
			t.Errorf("%s: got journal %+v, want %s", name, last, want)
		}
		if r.sim.Close(); t.Failed() {
			return
		}
	}
}

func TestFaultsUnary(t *testing.T) {
	for _, tc := range []struct {
		kind    FaultKind
		broken  bool
		valid   bool
		problem bool
	}{
		{FaultReset, true, false, false},
		{FaultCut, true, false, false},
		{FaultError200, false, true, true},
		{FaultErrorMid, false, true, true},
		{FaultMalformed, false, false, false},
		{FaultSlowBody, false, true, false},
	} {
		r := start(t, Config{Models: []Model{{Name: "m", Fault: &Fault{Kind: tc.kind, Every: time.Microsecond}}}})
		_, body, err := r.post("/v1/chat/completions", hello)
		if (err != nil) != tc.broken || json.Valid([]byte(body)) != tc.valid || strings.Contains(body, `"error":{`) != tc.problem {
			t.Errorf("%s: got %q, %v", tc.kind, body, err)
		}
	}
}

// TestRefuseUnread: the reset comes though most of the body was never sent.
func TestRefuseUnread(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", Fault: &Fault{Kind: FaultRefuse, Count: 1}}}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\nContent-Length: 1000000\r\n\r\n"+`{"model":"m","messages":[`)
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %d bytes, %v, want a connection reset", n, err)
	}
	if resp, _, err := r.post("/v1/chat/completions", hello); err != nil || resp.StatusCode != 200 {
		t.Errorf("healed: got %v, %v", resp, err)
	}
}

func TestCancel(t *testing.T) {
	for _, tc := range []struct {
		name   string
		m      Model
		stream bool
		events int
	}{
		{"thinking", Model{Latency: time.Hour}, false, 0},
		{"hang", Model{Fault: &Fault{Kind: FaultHang}}, true, 0},
		{"hang_mid", Model{Fault: &Fault{Kind: FaultHangMid, After: 2}}, true, 2},
		{"hang_mid unary", Model{Fault: &Fault{Kind: FaultHangMid}}, false, 0},
		{"between tokens", Model{TokensPerSecond: 0.001}, true, 1},
		{"slow_body", Model{Fault: &Fault{Kind: FaultSlowBody, Every: time.Minute}}, true, 0},
	} {
		tc.m.Name = "m"
		r := start(t, Config{Models: []Model{tc.m}})
		ctx, cancel := context.WithCancel(t.Context())
		body := hello
		if tc.stream {
			body = streamed(hello)
		}
		req, err := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			resp, err := r.hc.Do(req)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			sc := bufio.NewScanner(resp.Body)
			for n := 0; n < tc.events && sc.Scan(); {
				if strings.Contains(sc.Text(), `{"content":"`) {
					n++
				}
			}
			if tc.events > 0 {
				cancel()
			}
			io.Copy(io.Discard, resp.Body)
		})
		if tc.events == 0 {
			r.until("the call is in flight", func() bool { n, _ := r.sim.Counters("m"); return n.InFlight == 1 })
			cancel()
		}
		wg.Wait()
		last := r.settled()
		if !last.Canceled() || last.Events != tc.events {
			t.Errorf("%s: got %+v, want it canceled after %d events", tc.name, last, tc.events)
		}
		if n, _ := r.sim.Counters("m"); n.Canceled != 1 || n.InFlight != 0 || n.Errors != 0 {
			t.Errorf("%s: got %+v", tc.name, n)
		}
		cancel()
	}
}

func TestClose(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", Fault: &Fault{Kind: FaultHang}}}})
	done := make(chan error)
	go func() { _, _, err := r.post("/v1/chat/completions", hello); done <- err }()
	r.until("the call is in flight", func() bool { n, _ := r.sim.Counters("m"); return n.InFlight == 1 })
	r.sim.Close()
	if err := <-done; err == nil {
		t.Error("got an answer, want a broken connection")
	}
	if last := r.settled(); last.Outcome != OutcomeClosed {
		t.Errorf("got %+v, want it closed", last)
	}
}

func TestFaultShareAndCount(t *testing.T) {
	s := must(t, Config{Models: []Model{{Name: "m", Fault: &Fault{Kind: FaultStatus, Status: 503, Share: 0.5, Count: 3}}}})
	bad := 0
	for range 40 {
		if ask(s, "k", hello).Code == 503 {
			bad++
		}
	}
	if bad != 3 {
		t.Errorf("got %d faults, want 3", bad)
	}
	if err := s.Set("m", func(m *Model) { m.Fault = &Fault{Kind: FaultStatus, Status: 418, Share: 0.25} }); err != nil {
		t.Fatal(err)
	}
	bad = 0
	for range 400 {
		if ask(s, "k", hello).Code == 418 {
			bad++
		}
	}
	if bad < 60 || bad > 140 {
		t.Errorf("got %d faults of 400, want about 100", bad)
	}
	if err := s.Set("m", func(m *Model) { m.Errors = 2 }); err == nil {
		t.Error("got no error for errors: 2")
	}
	if err := s.Set("x", func(*Model) {}); err == nil {
		t.Error("got no error for an unknown model")
	}
}

// TestResetHTTP2: a reset takes one stream with it, not the connection.
func TestResetHTTP2(t *testing.T) {
	s := must(t, Config{Models: []Model{{Name: "m", Fault: &Fault{Kind: FaultReset, Count: 1}}}})
	srv := httptest.NewUnstartedServer(s)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	r := &rig{t, s, srv.URL, srv.Client()}
	if resp, _, err := r.post("/v1/chat/completions", hello); err == nil {
		t.Errorf("got %v, want a reset", resp)
	}
	if resp, _, err := r.post("/v1/chat/completions", hello); err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("healed: got %v, %v", resp, err)
	}
}
