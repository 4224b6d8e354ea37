package blackbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// claudeEvents answers as Anthropic streams; each event is a name and data.
func claudeEvents(c *call, events ...[2]string) {
	for _, e := range events {
		c.raw("event: " + e[0] + "\ndata: " + e[1] + "\n\n")
	}
}

var (
	claudeStart = [2]string{"message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}}`}
	claudeBlock = [2]string{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`}
	claudeError = [2]string{"error", `{"type":"error","error":{"type":"overloaded_error","message":"from A: overloaded"}}`}
)

func claudeText(s string) [2]string {
	return [2]string{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + s + `"}}`}
}

// claudeWhole is a stream of Anthropic's that says text.
func claudeWhole(c *call, text string) {
	c.begin()
	claudeEvents(c, claudeStart, claudeBlock, claudeText(text),
		[2]string{"content_block_stop", `{"type":"content_block_stop","index":0}`},
		[2]string{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}`},
		[2]string{"message_stop", `{"type":"message_stop"}`})
	c.end()
}

// claude asks in Anthropic's protocol for a stream.
func (g *gateway) claude(model string, header ...string) *reply {
	g.t.Helper()
	return g.post("/v1/messages", `{"model":"`+model+`","stream":true,"max_tokens":50,`+hello+`}`, append(header, "Anthropic-Version", "2023-06-01")...)
}

// brokenClaude checks that a stream in Anthropic's protocol said text and ended
// with one error event.
func brokenClaude(t *testing.T, r *reply, text string) {
	t.Helper()
	body := string(r.body)
	if r.status != 200 || !strings.Contains(body, text) || strings.Contains(body, "message_stop") || strings.Contains(body, "[DONE]") {
		t.Errorf("answer: got %s, want %q and no clean end", r, text)
	}
	at := strings.LastIndex(body, "event: error\n")
	if at < 0 || strings.Count(body, "event: error\n") != 1 || strings.Count(body[at:], "\n\n") != 1 || r.err != nil {
		t.Errorf("answer: got %s, want one error event, the last, and a clean end of the body", r)
	}
}

func TestFault13StatusLineThenHang(t *testing.T) {
	ways(t, func(t *testing.T, ask func(*pair, string) *reply) {
		p := newPair(t, func(c *call) { c.write("HTTP/1.1 200 OK\r\n"); c.hang() }, "")
		p.fromB(t, ask(p, "m"), 1)
		p.a.ended(1)
	})
}

func TestFault14DrippedHeader(t *testing.T) {
	ways(t, func(t *testing.T, ask func(*pair, string) *reply) {
		p := newPair(t, func(c *call) {
			c.write("HTTP/1.1 200 OK\r\nX-Long: ")
			c.Drip(strings.Repeat("x", 10000), 1, 20*time.Millisecond)
		}, "")
		p.fromB(t, ask(p, "m"), 1)
		p.a.ended(1)
	})
}

func TestFault15HugeHeader(t *testing.T) {
	p := newPair(t, func(c *call) { c.answer(200, completion("from A"), "X-Huge: "+strings.Repeat("x", 100<<10)) }, "retry: {attempts: 1}\n")
	if r := p.chat("a"); r.status != http.StatusBadGateway || r.code() != "upstream_error" {
		t.Errorf("answer: got %s, want 502 upstream_error", r)
	}
	p.a.ended(1)
}

// An event may take longer than a stream may be silent, as long as its bytes
// come.
func TestFault16DrippedBody(t *testing.T) {
	t.Parallel()
	event := "data: " + contentChunk(strings.Repeat("drip ", 40)) + "\n\n"
	rest := "data: " + stopChunk + "\n\ndata: [DONE]\n\n"
	for _, client := range []string{"OpenAI", "Anthropic"} {
		t.Run(client, func(t *testing.T) {
			p := newPair(t, func(c *call) {
				c.begin()
				c.events(contentChunk("first "))
				for piece := range slices.Chunk([]byte(event), len(event)/20) { // in all one and a half times the silence that is allowed
					if !c.pause(quickIdle * 3 / 2 / 20) {
						return
					}
					c.raw(string(piece))
				}
				c.raw(rest)
				c.end()
			}, "")
			if client == "Anthropic" {
				r := p.claude("m")
				if n := strings.Count(string(r.body), "drip "); n != 40 || !strings.Contains(string(r.body), "message_stop") || r.err != nil {
					t.Errorf("stream: got %s, want A's, whole", r)
				}
				return
			}
			if r := p.stream("m"); string(r.body) != "data: "+contentChunk("first ")+"\n\n"+event+rest || r.err != nil {
				t.Errorf("stream: got %s, want A's bytes", r)
			}
		})
	}
}

func TestFault17CutBeforeContent(t *testing.T) {
	p := newPair(t, func(c *call) {
		c.begin()
		c.events(roleChunk)
		c.write("ff\r\ndata: {")
		c.cut()
	}, "")
	p.fromB(t, p.stream("m"), 1)
}

func TestFault18CutAfterContent(t *testing.T) {
	t.Parallel()
	t.Run("in a chunk", func(t *testing.T) {
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
		if rec := p.record(r.id()); rec.Usage.Output < 1 || rec.Usage.Output > 10 || !rec.Usage.Estimated {
			t.Errorf("usage: got %+v, want an estimate of what was delivered", rec.Usage)
		}
	})
	t.Run("by a clean end", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk, contentChunk("half "))
			c.end()
		}, "")
		broken(t, p.stream("m"), "half ")
	})
	t.Run("by a reset", func(t *testing.T) {
		seen := make(chan struct{}) // a reset takes what was not yet read with it
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk, contentChunk("half "))
			c.Until(seen)
			c.reset()
		}, "")
		broken(t, p.follow("m", "half ", func() { close(seen) }), "half ")
	})
	t.Run("translated", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			c.begin()
			c.events(roleChunk, contentChunk("half "))
			c.write("ff\r\ndata: {")
			c.cut()
		}, "")
		brokenClaude(t, p.claude("m"), "half ")
		if n := p.b.count(); n != 0 {
			t.Errorf("calls to B: got %d, want 0: content was sent", n)
		}
	})
}

func TestFault19ShorterThanItsLength(t *testing.T) {
	p := newPair(t, func(c *call) {
		body := completion("from A")
		c.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body)+10, body))
		c.cut()
	}, "")
	p.fromB(t, p.chat("m"), 1)
}

func TestFault20ErrorFirst(t *testing.T) {
	t.Parallel()
	const failed = `{"error":{"message":"from A: overloaded","type":"server_error","code":null}}`
	t.Run("as first event", func(t *testing.T) {
		p := newPair(t, func(c *call) { c.begin(); c.events(failed); c.end() }, "")
		p.fromB(t, p.stream("m"), 1)
	})
	t.Run("after the role", func(t *testing.T) {
		p := newPair(t, func(c *call) { c.begin(); c.events(roleChunk, failed); c.end() }, "")
		p.fromB(t, p.stream("m"), 1)
	})
	t.Run("in a unary 200", func(t *testing.T) {
		p := newPair(t, func(c *call) { c.answer(200, failed) }, "")
		p.fromB(t, p.chat("m"), 1)
	})
	t.Run("Anthropic", func(t *testing.T) {
		t.Parallel()
		for _, events := range [][][2]string{{claudeError}, {claudeStart, {"ping", `{"type":"ping"}`}, claudeBlock, claudeError}} {
			a := newVendor(t, func(c *call) { c.begin(); claudeEvents(c, events...); c.end() })
			b := newVendor(t, func(c *call) { claudeWhole(c, "from B") })
			g := serve(t, pairConfig(a.of("anthropic", "a", "ka"), b.of("anthropic", "b", "kb"), "cooldown: {max: 0s}\n"))
			for _, r := range []*reply{g.claude("m"), g.stream("m")} {
				if r.status != 200 || !strings.Contains(string(r.body), "from B") || strings.Contains(string(r.body), "from A") || r.header.Get("X-Sluice-Target") != "b/vendor-m" {
					t.Errorf("answer: got %s, want B's, and no byte of A's", r)
				}
			}
			if a.count() != 2 || b.count() != 2 {
				t.Errorf("calls: got %d and %d, want 2 each", a.count(), b.count())
			}
		}
	})
}

func TestFault21ErrorAfterContent(t *testing.T) {
	t.Parallel()
	script := func(c *call) {
		c.begin()
		c.events(roleChunk, contentChunk("some "), `{"error":{"message":"it broke","type":"server_error","code":null}}`)
		c.events(contentChunk("more"), "[DONE]")
		c.end()
	}
	once := func(t *testing.T, p *pair) {
		t.Helper()
		if n := p.b.count(); n != 0 {
			t.Errorf("calls to B: got %d, want 0", n)
		}
		if x := p.target("a/vendor-m"); x.ErrorRate != 1 {
			t.Errorf("A's error rate: got %v, want 1", x.ErrorRate)
		}
	}
	t.Run("as it came", func(t *testing.T) {
		p := newPair(t, script, "")
		broken(t, p.stream("m"), "some ")
		once(t, p)
	})
	t.Run("OpenAI's for an Anthropic client", func(t *testing.T) {
		p := newPair(t, script, "")
		r := p.claude("m")
		brokenClaude(t, r, "some ")
		if strings.Contains(string(r.body), "more") {
			t.Errorf("something follows the error: %s", r)
		}
		once(t, p)
	})
	t.Run("Anthropic's for an OpenAI client", func(t *testing.T) {
		t.Parallel()
		p := &pair{a: newVendor(t, func(c *call) {
			c.begin()
			claudeEvents(c, claudeStart, claudeBlock, claudeText("some "),
				[2]string{"error", `{"type":"error","error":{"type":"api_error","message":"it broke"}}`}, claudeText("more"))
			c.end()
		}), b: newVendor(t, nil)}
		p.gateway = serve(t, pairConfig(p.a.of("anthropic", "a", "ka"), p.b.provider("b", "kb"), ""))
		broken(t, p.stream("m"), "some ")
		once(t, p)
	})
}

func TestFault22StallAfterContent(t *testing.T) {
	p := newPair(t, func(c *call) {
		c.begin()
		c.events(roleChunk, contentChunk("begun "))
		c.hang()
	}, "")
	goroutines, files := p.held()
	r := p.stream("m")
	broken(t, r, "begun ")
	p.a.ended(1)
	c := p.a.call(1)
	if _, at := c.End(); at.Sub(c.at) < quickIdle {
		t.Errorf("A was left %v after its call, want the idle timeout of %v first", at.Sub(c.at), quickIdle)
	} else {
		t.Logf("A was left %v after its call, idle timeout %v", at.Sub(c.at), quickIdle)
	}
	if a, b := p.a.count(), p.b.count(); a != 1 || b != 0 {
		t.Errorf("calls: got %d and %d, want 1 and 0", a, b)
	}
	if l := p.logged(r.id()); l["outcome"] != "timeout" {
		t.Errorf("outcome: got %v, want timeout", l["outcome"])
	}
	p.settles(goroutines, files)
}

func TestFault23CommentsOnly(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"OpenAI", "Anthropic"} {
		t.Run(client, func(t *testing.T) {
			p := newPair(t, func(c *call) {
				c.begin()
				c.events(roleChunk, contentChunk("begun "))
				for c.pause(50 * time.Millisecond) {
					c.raw(": still here\n\n")
				}
			}, "")
			if client == "OpenAI" {
				broken(t, p.stream("m"), "begun ")
			} else {
				brokenClaude(t, p.claude("m"), "begun ")
			}
			p.a.ended(1)
			c := p.a.call(1)
			if _, at := c.End(); at.Sub(c.at) < 2*quickIdle {
				t.Errorf("A was left %v after its call: comments are a sign of life, for a while", at.Sub(c.at))
			}
		})
	}
}

func TestFault24RoleThenStall(t *testing.T) {
	p := newPair(t, func(c *call) {
		c.begin()
		c.events(roleChunk)
		c.raw(": ping\n\n")
		c.hang()
	}, "")
	p.fromB(t, p.stream("m"), 1)
	p.a.ended(1)
}

func TestFault34WebPage(t *testing.T) {
	ways(t, func(t *testing.T, ask func(*pair, string) *reply) {
		p := newPair(t, func(c *call) { c.answer(200, "<html>Sign in, from A</html>", "Content-Type: text/html") }, "")
		r := ask(p, "m")
		p.fromB(t, r, 1)
		if rec := p.record(r.id()); rec.Attempts[0].Outcome != "upstream_error" || !strings.Contains(rec.Attempts[0].Detail, "text/html") {
			t.Errorf("attempts: got %+v, want upstream_error with the content type", rec.Attempts)
		}
	})
}

func TestFault40Redirect(t *testing.T) {
	ways(t, func(t *testing.T, ask func(*pair, string) *reply) {
		second := newVendor(t, nil)
		p := newPair(t, func(c *call) {
			c.answer(307, "{}", "Location: http://"+second.addr()+"/v1/chat/completions")
		}, "")
		p.fromB(t, ask(p, "m"), 1)
		if n := len(second.Conns()); n != 0 {
			t.Errorf("connections to the second host: got %d, want 0: redirects are not followed", n)
		}
	})
}

func TestFault41HopByHop(t *testing.T) {
	t.Parallel()
	t.Run("headers stay behind", func(t *testing.T) {
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
	t.Run("transfer encoding twice", func(t *testing.T) {
		ways(t, func(t *testing.T, ask func(*pair, string) *reply) {
			p := newPair(t, func(c *call) {
				c.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")
				c.raw(completion("from A"))
				c.end()
			}, "")
			p.fromB(t, ask(p, "m"), 1)
			p.a.ended(1)
		})
	})
}
