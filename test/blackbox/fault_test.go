package blackbox

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The numbers are those of the project's fault catalogue. A is the first
// target of model "m", B the second; model "a" has A alone.

// quick are limits that make faults visible soon; a binary with the race
// detector gets more time, so that only vendors that are silent seem so.
var quick = func() string {
	if raced() {
		return "timeouts: {connect: 1500ms, first_token: 4s, idle: 3s, total: 16s, stream: 60s}\n"
	}
	return "timeouts: {connect: 300ms, first_token: 600ms, idle: 400ms, total: 2400ms, stream: 20s}\n"
}()

// pair is a gateway in front of two vendors.
type pair struct {
	*gateway
	a, b *vendor
}

func newPair(t *testing.T, a func(*call), extra string) *pair {
	t.Helper()
	t.Parallel()
	p := &pair{a: newVendor(t, a), b: newVendor(t, func(c *call) { c.whole("from B") })}
	p.gateway = serve(t, pairConfig(p.a.provider("a", "key-of-a"), p.b.provider("b", "key-of-b"), extra))
	return p
}

func pairConfig(a, b, extra string) string {
	if !strings.Contains(extra, "timeouts:") {
		extra = quick + extra
	}
	return extra + "providers:\n" + a + b + "models:\n  m: [a/vendor-m, b/vendor-m]\n  a: a/vendor-m\n"
}

// fromB checks that B answered whole, once, and nothing of A is seen.
func (p *pair) fromB(t *testing.T, r *reply, calls int) {
	t.Helper()
	got := string(r.body)
	if events := datas(r.body); len(events) > 0 {
		got = text(events)
		if last := events[len(events)-1]; last != "[DONE]" {
			t.Errorf("last event: got %s, want [DONE]", last)
		}
	}
	if r.status != 200 || !strings.Contains(got, "from B") || strings.Contains(string(r.body), "from A") {
		t.Errorf("answer: got %s, want B's, whole", r)
	}
	if x := r.header.Get("X-Sluice-Target"); x != "b/vendor-m" {
		t.Errorf("x-sluice-target: got %q, want b/vendor-m", x)
	}
	if n := p.a.count(); n != calls {
		t.Errorf("calls to A: got %d, want %d", n, calls)
	}
	if n := p.b.count(); n != 1 {
		t.Errorf("calls to B: got %d, want 1", n)
	}
	if x := r.header.Get("X-Sluice-Attempts"); x != "2" {
		t.Errorf("x-sluice-attempts: got %q, want 2", x)
	}
}

// broken checks that a stream ended with one error event, as its last, and
// without [DONE].
func broken(t *testing.T, r *reply, wantText string) {
	t.Helper()
	events := datas(r.body)
	if r.status != 200 || len(events) == 0 {
		t.Fatalf("answer: got %s, want a stream that ends with an error event", r)
	}
	if got := text(events); got != wantText {
		t.Errorf("content before the error: got %q, want %q", got, wantText)
	}
	errors := 0
	for _, e := range events {
		if e == "[DONE]" {
			t.Errorf("[DONE] in a broken stream: %s", r)
		}
		if strings.HasPrefix(e, `{"error":{"message":`) {
			errors++
		}
	}
	if errors != 1 || !strings.HasPrefix(events[len(events)-1], `{"error"`) {
		t.Errorf("error events: got %d, want 1, the last: %s", errors, r)
	}
	if r.err != nil {
		t.Errorf("end of the body: got %v, want a clean end after the error event", r.err)
	}
}

func TestFaultConnect(t *testing.T) {
	t.Run("1 refused", func(t *testing.T) {
		p := newPair(t, nil, "")
		p.a.close()
		r := p.chat("m")
		p.fromB(t, r, 0)
		if rec := p.record(r.id()); len(rec.Attempts) != 2 || rec.Attempts[0].Outcome != "connect" || rec.Attempts[1].Outcome != "ok" {
			t.Errorf("attempts: got %+v, want connect at A and ok at B", rec.Attempts)
		}
		if x := p.target("a/vendor-m"); x.ErrorRate != 1 {
			t.Errorf("A's error rate: got %v, want 1: the refusal counts once", x.ErrorRate)
		}
	})
	t.Run("2 blackholed", func(t *testing.T) {
		t.Parallel()
		addr := blackhole(t)
		b := newVendor(t, func(c *call) { c.whole("from B") })
		g := serve(t, pairConfig(fmt.Sprintf("  a: {kind: openai-compatible, base_url: \"http://%s/v1\"}\n", addr), b.provider("b", "kb"), ""))
		r := g.chat("m")
		if r.status != 200 || r.header.Get("X-Sluice-Target") != "b/vendor-m" || b.count() != 1 {
			t.Errorf("answer: got %s, want B's", r)
		}
		if rec := g.record(r.id()); len(rec.Attempts) != 2 || rec.Attempts[0].Outcome != "connect" {
			t.Errorf("attempts: got %+v, want connect at A first", rec.Attempts)
		}
	})
	for _, stream := range []bool{true, false} {
		ask := func(p *pair, model string) *reply {
			if stream {
				return p.stream(model)
			}
			return p.chat(model)
		}
		kind := fmt.Sprintf(" stream=%v", stream)
		t.Run("3 silent"+kind, func(t *testing.T) {
			p := newPair(t, (*call).hang, "")
			p.fromB(t, ask(p, "m"), 1)
			closed(t, "the close of A's connection", p.a.call(1).left)
		})
		t.Run("4 reset"+kind, func(t *testing.T) {
			p := newPair(t, (*call).reset, "")
			p.fromB(t, ask(p, "m"), 1)
		})
		t.Run("13 status line then silence"+kind, func(t *testing.T) {
			p := newPair(t, func(c *call) { c.write("HTTP/1.1 200 OK\r\n"); c.hang() }, "")
			p.fromB(t, ask(p, "m"), 1)
			closed(t, "the close of A's connection", p.a.call(1).left)
		})
		t.Run("14 dripped headers"+kind, func(t *testing.T) {
			p := newPair(t, func(c *call) {
				c.write("HTTP/1.1 200 OK\r\nX-Long: ")
				for c.pause(20 * time.Millisecond) {
					c.write("x")
				}
			}, "")
			p.fromB(t, ask(p, "m"), 1)
			closed(t, "the close of A's connection", p.a.call(1).left)
		})
		t.Run("34 web page"+kind, func(t *testing.T) {
			p := newPair(t, func(c *call) { c.answer(200, "<html>Sign in, from A</html>", "Content-Type: text/html") }, "")
			p.fromB(t, ask(p, "m"), 1)
		})
		t.Run("33 compressed unasked"+kind, func(t *testing.T) {
			p := newPair(t, func(c *call) {
				var z bytes.Buffer
				w := gzip.NewWriter(&z)
				_, _ = w.Write([]byte(completion("from A")))
				_ = w.Close()
				kind := "Content-Type: application/json"
				if c.stream {
					kind = "Content-Type: text/event-stream"
				}
				c.answer(200, z.String(), kind, "Content-Encoding: gzip")
			}, "")
			p.fromB(t, ask(p, "m"), 1)
			if x := p.a.call(1).header.Get("Accept-Encoding"); x != "" && x != "identity" {
				t.Errorf("Accept-Encoding to the vendor: got %q, want none or identity", x)
			}
		})
		t.Run("40 redirect"+kind, func(t *testing.T) {
			second := newVendor(t, nil)
			p := newPair(t, func(c *call) {
				c.answer(307, "{}", "Location: http://"+second.addr()+"/v1/chat/completions")
			}, "")
			p.fromB(t, ask(p, "m"), 1)
			if n := second.count(); n != 0 {
				t.Errorf("calls to the second host: got %d, want 0: redirects are not followed", n)
			}
		})
	}
	t.Run("5 idempotency key", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			if c.n == 1 {
				c.whole("from A")
			} else {
				c.reset()
			}
		}, "retry: {attempts: 1}\n")
		if r := p.chat("a"); r.status != 200 {
			t.Fatalf("first request: got %s, want 200", r)
		}
		r := p.chat("a", "Idempotency-Key", "once-only", "X-Idempotency-Key", "once-only")
		if r.status != http.StatusBadGateway || r.code() != "upstream_error" {
			t.Errorf("second request: got %s, want 502 upstream_error", r)
		}
		if rec := p.record(r.id()); len(rec.Attempts) != p.a.count()-1 {
			t.Errorf("attempts told %d, calls seen by the vendor %d, want the same: nothing is replayed in secret", len(rec.Attempts), p.a.count()-1)
		}
		c := p.a.call(2)
		if c.peer != p.a.call(1).peer {
			t.Errorf("the second call came over a new connection; this test needs the old one")
		}
		if c.header.Get("Idempotency-Key") != "" || c.header.Get("X-Idempotency-Key") != "" {
			t.Errorf("idempotency keys travelled: %v", c.header)
		}
	})
}

func TestFaultResponse(t *testing.T) {
	t.Run("15 huge headers", func(t *testing.T) {
		p := newPair(t, func(c *call) { c.answer(200, completion("from A"), "X-Huge: "+strings.Repeat("x", 100<<10)) }, "retry: {attempts: 1}\n")
		if r := p.chat("a"); r.status != http.StatusBadGateway || r.code() != "upstream_error" {
			t.Errorf("answer: got %s, want 502 upstream_error", r)
		}
		closed(t, "the close of A's connection", p.a.call(1).left)
	})
	t.Run("16 dripped body", func(t *testing.T) {
		body := "data: " + contentChunk("drip") + "\n\ndata: " + stopChunk + "\n\ndata: [DONE]\n\n"
		p := newPair(t, func(c *call) {
			c.begin()
			for i := range len(body) {
				if !c.pause(500 * time.Microsecond) {
					return
				}
				c.raw(body[i : i+1])
			}
			c.end()
		}, "timeouts: {first_token: 15s, idle: 10s}\n")
		r := p.stream("m")
		if string(r.body) != body || r.err != nil {
			t.Errorf("stream: got %s, want A's bytes", r)
		}
	})
	t.Run("17 cut before content", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk)
			c.write("ff\r\ndata: {")
			c.cut()
		}, "")
		p.fromB(t, p.stream("m"), 1)
	})
	t.Run("18 cut after content", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk)
			for i := range 5 {
				c.events(contentChunk(strconv.Itoa(i) + " "))
			}
			c.write("ff\r\ndata: {\"id\":")
			c.cut()
		}, "")
		r := p.stream("m")
		broken(t, r, "0 1 2 3 4 ")
		if n := p.b.count(); n != 0 {
			t.Errorf("calls to B: got %d, want 0: content was sent", n)
		}
		if l := p.logged(r.id()); l["outcome"] != "upstream_error" {
			t.Errorf("access log: got %v, want outcome upstream_error", l)
		}
		if rec := p.record(r.id()); rec.Usage.Output < 1 || !rec.Usage.Estimated {
			t.Errorf("usage: got %+v, want an estimate of what was delivered", rec.Usage)
		}
	})
	t.Run("18 clean end after content", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk, contentChunk("half "))
			c.end()
		}, "")
		broken(t, p.stream("m"), "half ")
	})
	t.Run("19 shorter than its length", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			body := completion("from A")
			c.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body)+10, body))
			c.cut()
		}, "")
		p.fromB(t, p.chat("m"), 1)
	})
	t.Run("20 error as first event", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(`{"error":{"message":"from A: overloaded","type":"server_error","code":null}}`)
			c.end()
		}, "")
		p.fromB(t, p.stream("m"), 1)
	})
	t.Run("20 error in a unary 200", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.answer(200, `{"error":{"message":"from A: overloaded","type":"server_error","code":null}}`)
		}, "")
		p.fromB(t, p.chat("m"), 1)
	})
	t.Run("21 error after content", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk, contentChunk("some "), `{"error":{"message":"it broke","type":"server_error","code":null}}`)
			c.events(contentChunk("more"), "[DONE]")
			c.end()
		}, "")
		broken(t, p.stream("m"), "some ")
		if n := p.b.count(); n != 0 {
			t.Errorf("calls to B: got %d, want 0", n)
		}
		if x := p.target("a/vendor-m"); x.ErrorRate != 1 {
			t.Errorf("A's error rate: got %v, want 1", x.ErrorRate)
		}
	})
	t.Run("22 stall after content", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk, contentChunk("begun "))
			c.hang()
		}, "")
		r := p.stream("m")
		broken(t, r, "begun ")
		closed(t, "the close of A's connection", p.a.call(1).left)
		if a, b := p.a.count(), p.b.count(); a != 1 || b != 0 {
			t.Errorf("calls: got %d and %d, want 1 and 0", a, b)
		}
		if l := p.logged(r.id()); l["outcome"] != "timeout" {
			t.Errorf("outcome: got %v, want timeout", l["outcome"])
		}
	})
	t.Run("23 comments only", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk, contentChunk("begun "))
			for c.pause(50 * time.Millisecond) {
				c.raw(": still here\n\n")
			}
		}, "")
		broken(t, p.stream("m"), "begun ")
		closed(t, "the close of A's connection", p.a.call(1).left)
	})
	t.Run("24 role then stall", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk)
			c.raw(": ping\n\n")
			c.hang()
		}, "")
		p.fromB(t, p.stream("m"), 1)
		closed(t, "the close of A's connection", p.a.call(1).left)
	})
	t.Run("28 endless line", testHugeLine)
	t.Run("29 endless stream", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			for c.pause(20 * time.Millisecond) {
				c.events(contentChunk("x"))
			}
		}, "timeouts: {stream: 1s}\n")
		r := p.stream("a")
		if events := datas(r.body); len(events) < 2 || !strings.Contains(events[len(events)-1], `"code":"timeout"`) {
			t.Errorf("stream: got %s, want content and a timeout", r)
		}
		closed(t, "the close of A's connection", p.a.call(1).left)
	})
	t.Run("41 headers that stay behind", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.answer(200, completion("from A"), "Set-Cookie: a=b", "Connection: x-secret", "X-Secret: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic",
				"Server: vendor", "X-Sluice-Target: forged", "X-Request-Id: vendors-own", "Access-Control-Allow-Origin: *")
		}, "")
		r := p.chat("m")
		for _, h := range []string{"Set-Cookie", "X-Secret", "Keep-Alive", "Proxy-Authenticate", "Connection"} {
			if v := r.header.Values(h); len(v) > 0 {
				t.Errorf("%s of the vendor reached the client: %q", h, v)
			}
		}
		if r.status != 200 || r.header.Get("X-Sluice-Target") != "a/vendor-m" || r.header.Get("X-Sluice-Vendor-Request-Id") != "vendors-own" || r.id() == "vendors-own" {
			t.Errorf("answer: got %s, want the gateway's own headers, and the vendor's id as x-sluice-vendor-request-id", r)
		}
	})
}

func testHugeLine(t *testing.T) {
	line := strings.Repeat("x", 1<<20)
	p := newPair(t, func(c *call) {
		c.begin()
		c.events(roleChunk, contentChunk("begun "))
		c.raw("data: ")
		for range 64 {
			c.raw(line)
		}
		c.raw("\n\n")
		c.hang()
	}, "timeouts: {first_token: 15s, idle: 15s}\n")
	before := peakRSS(p.process)
	broken(t, p.stream("m"), "begun ")
	closed(t, "the close of A's connection", p.a.call(1).left)
	if after := peakRSS(p.process); before > 0 && !raced() && after-before > 48<<20 {
		t.Errorf("memory grew by %d MiB at a line of 64 MiB, want less than 48", (after-before)>>20)
	}
}

// peakRSS is the process's largest resident set in bytes, 0 where it cannot be
// read.
func peakRSS(p *process) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int64
	_, _ = fmt.Sscanf(rest, "%d kB", &kib)
	return kib << 10
}

// Any way to cut a stream into reads gives the client the same events, however
// the vendor frames them.
func TestFault25Framing(t *testing.T) {
	t.Parallel()
	one, two := contentChunk("αβ "), contentChunk("γ")
	frames := map[string]string{
		"plain":     "data: " + one + "\n\ndata: " + two + "\n\ndata: " + stopChunk + "\n\ndata: [DONE]\n\n",
		"no space":  "data:" + one + "\n\ndata:" + two + "\n\ndata:" + stopChunk + "\n\ndata:[DONE]\n\n",
		"crlf":      "data: " + one + "\r\n\r\ndata: " + two + "\r\n\r\ndata: " + stopChunk + "\r\n\r\ndata: [DONE]\r\n\r\n",
		"cr":        "data: " + one + "\r\rdata: " + two + "\r\rdata: " + stopChunk + "\r\rdata: [DONE]\r\r",
		"bom":       "\ufeffdata: " + one + "\n\ndata: " + two + "\n\ndata: " + stopChunk + "\n\ndata: [DONE]\n\n",
		"fields":    "id: 1\nevent: x\nretry: 5\ndata: " + one + "\n\nid: 2\ndata: " + two + "\n\n: c\n\ndata: " + stopChunk + "\n\ndata: [DONE]\n\n",
		"multiline": "data: " + strings.Replace(one, ",", ",\ndata: ", 1) + "\n\ndata: " + two + "\n\ndata: " + stopChunk + "\n\ndata: [DONE]\n\n",
		"unended":   "data: " + one + "\n\ndata: " + two + "\n\ndata: " + stopChunk + "\n\ndata: [DONE]\n",
	}
	v := newVendor(t, func(c *call) {
		var name string
		var at int
		_, _ = fmt.Sscanf(c.header.Get("X-Test-Cut"), "%d %s", &at, &name)
		body := frames[strings.ReplaceAll(name, "_", " ")]
		c.begin()
		c.raw(body[:at])
		time.Sleep(time.Millisecond) // lets the first part be a read of its own
		c.raw(body[at:])
		c.end()
	})
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/vendor-m}\n")
	for name, body := range frames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := strings.Join(datas([]byte(body)), "\n---\n")
			var wg sync.WaitGroup
			for from := range 4 {
				wg.Go(func() {
					for at := from; at <= len(body); at += 4 {
						r, err := try(http.MethodPost, g.url+"/v1/chat/completions", `{"model":"a","stream":true,`+hello+`}`,
							"X-Test-Cut", fmt.Sprintf("%d %s", at, strings.ReplaceAll(name, " ", "_")))
						if err != nil {
							t.Errorf("cut at %d: %v", at, err)
							return
						}
						if got := strings.Join(datas(r.body), "\n---\n"); got != want {
							t.Errorf("cut at %d: got\n%s\nwant\n%s", at, got, want)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestFault31Done(t *testing.T) {
	content := contentChunk("text")
	for _, x := range []struct {
		name   string
		events []string
		done   int // 0: an error event instead
	}{
		{"twice", []string{content, stopChunk, "[DONE]", "[DONE]"}, 1},
		{"data after it", []string{content, stopChunk, "[DONE]", contentChunk("late")}, 1},
		{"missing after a finish reason", []string{content, stopChunk}, 1},
		{"missing, usage last", []string{content, stopChunk, usageChunk}, 1},
		{"neither", []string{content}, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := newPair(t, func(c *call) {
				c.begin()
				c.events(x.events...)
				c.end()
			}, "")
			r := p.stream("m")
			if x.done == 0 {
				broken(t, r, "text")
				return
			}
			events := datas(r.body)
			if n := strings.Count(string(r.body), "[DONE]"); n != x.done || events[len(events)-1] != "[DONE]" || text(events) != "text" {
				t.Errorf("stream: got %s, want one [DONE] at its end and nothing else changed", r)
			}
		})
	}
}

func TestFault32Usage(t *testing.T) {
	with := func(in, out string) string {
		return strings.NewReplacer(`"prompt_tokens":5`, `"prompt_tokens":`+in, `"completion_tokens":7`, `"completion_tokens":`+out).Replace(usageChunk)
	}
	each := func(in, out string) string {
		return strings.TrimSuffix(contentChunk("x "), "}") + `,"usage":{"prompt_tokens":` + in + `,"completion_tokens":` + out + `}}`
	}
	for _, x := range []struct {
		name      string
		events    []string
		in, out   int64 // -1: any sane number
		estimated bool
	}{
		{"missing", []string{contentChunk("some words here "), stopChunk, "[DONE]"}, -1, -1, true},
		{"last chunk only", []string{contentChunk("x"), stopChunk, with("5", "7"), "[DONE]"}, 5, 7, false},
		{"cumulative in every chunk", []string{each("5", "1"), each("5", "2"), each("5", "3"), stopChunk, "[DONE]"}, 5, 3, false},
		{"explicit zero", []string{contentChunk("x"), stopChunk, with("0", "0"), "[DONE]"}, 0, 0, false},
		{"negative", []string{contentChunk("x"), stopChunk, with("-5", "-7"), "[DONE]"}, -1, -1, true},
		{"absurd", []string{contentChunk("x"), stopChunk, with("1000000000000000000", "1000000000000000000"), "[DONE]"}, -1, -1, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := newPair(t, func(c *call) {
				c.begin()
				c.events(x.events...)
				c.end()
			}, "")
			r := p.stream("m")
			u := p.record(r.id()).Usage
			sane := func(n int64) bool { return n >= 0 && n < 1e9 }
			if x.in < 0 && (!sane(u.Input) || !sane(u.Output)) || x.in >= 0 && (u.Input != x.in || u.Output != x.out) || u.Estimated != x.estimated {
				t.Errorf("usage: got %+v, want input %d, output %d, estimated %v (-1: sane)", u, x.in, x.out, x.estimated)
			}
		})
	}
}

// A vendor that says it counted is believed; what it is asked is seen in its
// journal.
func TestUsageIsAskedFor(t *testing.T) {
	p := newPair(t, nil, "")
	r := p.stream("m")
	if got, want := string(p.a.call(1).body), `"stream_options":{"include_usage":true}`; !strings.Contains(got, want) {
		t.Errorf("body to the vendor: got %s, want %s in it", got, want)
	}
	if strings.Contains(string(r.body), `"usage"`) {
		t.Errorf("the client did not ask for usage: %s", r)
	}
	if u := p.record(r.id()).Usage; u.Input != 5 || u.Output != 7 || u.Estimated {
		t.Errorf("usage: got %+v, want the vendor's 5 and 7", u)
	}
	with := p.post("/v1/chat/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},`+hello+`}`)
	if n := strings.Count(string(with.body), `"choices":[],"usage"`); n != 1 {
		t.Errorf("usage events for a client that asked: got %d, want 1", n)
	}
}

// blackhole returns an address that accepts no connection and refuses none:
// its backlog is full.
func blackhole(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("a full accept queue is made in Linux's way")
	}
	addr := fullBacklog(t)
	for range 4 { // fill the queue; those that do not fit stay in the handshake
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	if c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond); err == nil {
		_ = c.Close()
		t.Skip("this kernel still accepts with a full queue")
	}
	return addr
}
