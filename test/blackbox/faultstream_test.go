package blackbox

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

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

// An event that is no JSON: between two of the same protocol it is the
// vendor's word, passed on as it came; where answers are translated it is an
// error, and nothing of it is passed on.
func TestFault26InvalidJSON(t *testing.T) {
	bad := []string{`{"choices":[{"index":0,"delta":{"content":"torn`, `{"choices":[{]}`, `not JSON torn`, "\x00torn"}
	p := newPair(t, func(c *call) {
		c.begin()
		c.events(contentChunk("good "), bad[row(c)], contentChunk("later"), stopChunk, "[DONE]")
		c.end()
	}, calm)
	for n, bad := range bad {
		r := p.stream("m", atRow(n)...)
		if want := "data: " + contentChunk("good ") + "\n\ndata: " + bad + "\n\ndata: " + contentChunk("later") + "\n\ndata: " + stopChunk + "\n\ndata: [DONE]\n\n"; string(r.body) != want || r.err != nil {
			t.Errorf("%q passed: got %s, want A's bytes", bad, r)
		}
		r = p.claude("m", atRow(n)...)
		brokenClaude(t, r, "good ")
		if strings.Contains(string(r.body), "torn") || strings.Contains(string(r.body), "later") {
			t.Errorf("%q translated: got %s, want nothing from the bad event on", bad, r)
		}
	}
	if n := p.b.count(); n != 0 {
		t.Errorf("calls to B: got %d, want 0", n)
	}
}

// What is strange in a text stays as it is between two of the same protocol,
// wherever a TCP segment ends; translated, it is the same text with U+FFFD for
// what no text can hold.
func TestFault27StrangeText(t *testing.T) {
	t.Parallel()
	texts := []struct{ name, wire, want string }{
		{"invalid UTF-8", "a\xff\xfeb\xc3(", "a\ufffd\ufffdb\ufffd("},
		{"NUL as an escape", `a\u0000b`, "a\x00b"},
		{"line separators", "a\u2028b\u2029c", "a\u2028b\u2029c"},
		{"lone surrogate", `a\ud800b`, "a\ufffdb"},
		{"surrogates in the wrong order", `\udc00\ud800`, "\ufffd\ufffd"},
		{"emoji", "👩‍🚀\u00e9", "👩‍🚀\u00e9"},
		{"emoji as escapes", `\ud83d\ude80`, "🚀"},
	}
	v := newVendor(t, func(c *call) {
		var n, at int
		_, _ = fmt.Sscanf(c.header.Get("X-Test-Text"), "%d %d", &n, &at)
		event := "data: " + contentChunk(texts[n].wire) + "\n\n"
		c.begin()
		c.raw(event[:at])
		time.Sleep(time.Millisecond) // lets the first part be a read of its own
		c.raw(event[at:])
		c.events(stopChunk, "[DONE]")
		c.end()
	})
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/vendor-m}\n")
	for n, x := range texts {
		event := "data: " + contentChunk(x.wire) + "\n\n"
		from := strings.Index(event, x.wire)
		for at := from; at <= from+len(x.wire); at++ {
			cut := fmt.Sprintf("%d %d", n, at)
			r := g.stream("a", "X-Test-Text", cut)
			if want := event + "data: " + stopChunk + "\n\ndata: [DONE]\n\n"; string(r.body) != want || r.err != nil {
				t.Errorf("%s, cut at %d: got %q, want A's bytes", x.name, at, r.body)
			}
			r = g.claude("a", "X-Test-Text", cut)
			got := ""
			for _, data := range datas(r.body) {
				var e struct{ Delta struct{ Text string } }
				if err := json.Unmarshal([]byte(data), &e); err != nil || !utf8.ValidString(data) {
					t.Errorf("%s, cut at %d, translated: %v in %q", x.name, at, err, data)
				}
				got += e.Delta.Text
			}
			if got != x.want || !strings.Contains(string(r.body), "message_stop") {
				t.Errorf("%s, cut at %d, translated: got %q, want %q", x.name, at, got, x.want)
			}
		}
	}
}

func TestFault28EndlessLine(t *testing.T) {
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
	p.a.ended(1)
	if after := peakRSS(p.process); before > 0 && !raced() {
		t.Logf("memory grew by %d MiB at a line of 64 MiB", (after-before)>>20)
		if after-before > 48<<20 {
			t.Errorf("memory grew by %d MiB at a line of 64 MiB, want less than 48", (after-before)>>20)
		}
	}
}

func TestFault29EndlessStream(t *testing.T) {
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
	p.a.ended(1)
}

func TestFault30EndlessAnswer(t *testing.T) {
	t.Parallel()
	piece := strings.Repeat("x", 1<<20)
	for _, x := range []struct {
		name   string
		script func(*call)
		most   int64 // bytes that the vendor could write
	}{
		{"by its length", func(c *call) {
			c.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n{\"a\":\"")
			for c.Write(piece) {
			}
		}, 16 << 20}, // what fits the sockets
		{"in chunks", func(c *call) {
			c.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.raw(`{"a":"`)
			for range 1000 {
				if !c.Chunk(piece) {
					return
				}
			}
		}, 96 << 20},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := newPair(t, x.script, "timeouts: {total: 60s}\nretry: {attempts: 1}\n")
			before := peakRSS(p.process)
			if r := p.chat("a"); r.status != http.StatusBadGateway || r.code() != "upstream_error" {
				t.Errorf("answer: got %s, want 502 upstream_error", r)
			}
			p.a.ended(1)
			if _, wrote := p.a.call(1).Count(); wrote > x.most {
				t.Errorf("the vendor wrote %d MiB before it was left, want at most %d", wrote>>20, x.most>>20)
			}
			if after := peakRSS(p.process); before > 0 && !raced() {
				t.Logf("memory grew by %d MiB", (after-before)>>20)
				if after-before > 100<<20 {
					t.Errorf("memory grew by %d MiB, want less than 100", (after-before)>>20)
				}
			}
		})
	}
}

// squeezed is b in a content coding.
func squeezed(t *testing.T, coding, b string) string {
	t.Helper()
	var z bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&z)
	case "deflate":
		w = zlib.NewWriter(&z)
	case "raw deflate":
		w, _ = flate.NewWriter(&z, flate.BestCompression)
	default:
		return b
	}
	_, _ = io.WriteString(w, b)
	_ = w.Close()
	return z.String()
}

// Codings are asked for by nobody. An answer in one is read or refused; what
// reaches the client is whole, and a bomb stays one.
func TestFault33Compressed(t *testing.T) {
	const bomb = 512 << 20
	zeros := sync.OnceValue(func() string {
		var z bytes.Buffer
		w, _ := gzip.NewWriterLevel(&z, gzip.BestSpeed)
		b := make([]byte, 1<<20)
		for range bomb / len(b) {
			_, _ = w.Write(b)
		}
		_ = w.Close()
		return z.String()
	})
	gzipped := func(s string) string { return squeezed(t, "gzip", s) }
	rows := []struct {
		name, encoding string
		body           func(plain string) string
	}{
		{"gzip", "gzip", gzipped},
		{"deflate", "deflate", func(s string) string { return squeezed(t, "deflate", s) }},
		{"raw deflate", "deflate", func(s string) string { return squeezed(t, "raw deflate", s) }},
		{"br", "br", func(string) string { return "\x0b\x02\x80from A\x03" }},
		{"zstd", "zstd", func(string) string { return "(\xb5/\xfd\x04\x00from A" }},
		{"gzip that is none", "gzip", func(s string) string { return s }},
		{"gzip unsaid", "", gzipped},
		{"gzip twice", "gzip, gzip", func(s string) string { return gzipped(gzipped(s)) }},
		{"gzip cut", "gzip", func(s string) string { z := gzipped(s); return z[:len(z)-9] }},
		{"a bomb", "gzip", func(string) string { return zeros() }},
	}
	p := newPair(t, func(c *call) {
		kind, plain := "application/json", completion("from A")
		if c.stream {
			kind, plain = "text/event-stream", "data: "+contentChunk("from A")+"\n\ndata: "+stopChunk+"\n\ndata: [DONE]\n\n"
		}
		header := []string{"Content-Type: " + kind}
		x := rows[row(c)]
		if x.encoding != "" {
			header = append(header, "Content-Encoding: "+x.encoding)
		}
		c.answer(200, x.body(plain), header...)
	}, calm+"timeouts: {first_token: 30s, total: 30s}\n")
	before := peakRSS(p.process)
	for n, x := range rows {
		for _, r := range []*reply{p.chat("m", atRow(n)...), p.stream("m", atRow(n)...)} {
			got, want := string(r.body), "from B"
			if r.header.Get("X-Sluice-Target") == "a/vendor-m" { // decoded
				want = "from A"
			}
			if events := datas(r.body); len(events) > 0 {
				if got = text(events); events[len(events)-1] != "[DONE]" {
					t.Errorf("%s: got %s, want [DONE] at its end", x.name, r)
				}
			}
			if r.status != 200 || !strings.Contains(got, want) || r.header.Get("Content-Encoding") != "" || want == "from A" && strings.Contains(x.name, "cut") {
				t.Errorf("%s: got %s, want A's answer, decoded and whole, or B's", x.name, r)
			}
		}
	}
	for _, c := range p.a.journal() {
		if x := c.header.Get("Accept-Encoding"); x != "" && x != "identity" {
			t.Errorf("Accept-Encoding to the vendor: got %q, want none or identity", x)
		}
	}
	if after := peakRSS(p.process); before > 0 && !raced() {
		t.Logf("memory grew by %d MiB", (after-before)>>20)
		if after-before > 192<<20 {
			t.Errorf("memory grew by %d MiB, want less than 192", (after-before)>>20)
		}
	}
}

func TestFault35Informational(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, before string
		n            int
		fromA        bool
	}{
		{"100 before the answer", "HTTP/1.1 100 Continue\r\n\r\n", 1, true},
		{"103 before the answer", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", 2, true},
		{"1,000 of them", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", 1000, false},
		{"1,000 large ones", "HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("x", 8<<10) + "\r\n\r\n", 1000, false},
	}
	t.Run("before the answer", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			x := rows[row(c)]
			for range x.n {
				if !c.Write(x.before) {
					return
				}
			}
			c.whole("from A")
		}, calm)
		for n, x := range rows {
			for _, r := range []*reply{p.chat("m", atRow(n)...), p.stream("m", atRow(n)...)} {
				want := map[bool]string{true: "a/vendor-m", false: "b/vendor-m"}[x.fromA]
				if r.status != 200 || r.header.Get("X-Sluice-Target") != want || r.header.Get("Link") != "" {
					t.Errorf("%s: got %s, want the answer of %s", x.name, r, want)
				}
				if !x.fromA {
					p.a.ended(p.a.count())
				}
			}
		}
	})
	t.Run("no 100 is waited for", func(t *testing.T) { // a vendor that never sends it has the body at once
		p := newPair(t, nil, "")
		r := p.chat("m", "Expect", "100-continue")
		if c := p.a.call(1); r.status != 200 || c.header.Get("Expect") != "" || len(c.body) == 0 {
			t.Errorf("got %s; the vendor was asked with %v and %d bytes", r, c.header, len(c.body))
		}
	})
}

// Half a tool's arguments are never told as whole ones.
func TestFault42HalfToolCall(t *testing.T) {
	t.Parallel()
	call1 := chunk(`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"pay","arguments":""}}]}`, "null")
	call2 := chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"amount\": 1"}}]}`, "null")
	for _, x := range []struct {
		name string
		end  func(*call)
	}{
		{"cut", func(c *call) { c.write("ff\r\ndata: {"); c.cut() }},
		{"clean end", func(c *call) { c.end() }},
		{"stall", (*call).hang},
	} {
		t.Run(x.name, func(t *testing.T) {
			script := func(c *call) {
				c.begin()
				c.events(roleChunk, call1, call2)
				x.end(c)
			}
			p := newPair(t, script, "")
			broken(t, p.stream("m"), "")
			r := p.claude("m")
			brokenClaude(t, r, "pay")
			if strings.Contains(string(r.body), "content_block_stop") {
				t.Errorf("translated: got %s, want the block left open", r)
			}
			if n := p.b.count(); n != 0 {
				t.Errorf("calls to B: got %d, want 0: a call's name was sent", n)
			}
		})
	}
	t.Run("unary", func(t *testing.T) {
		whole := `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"pay","arguments":"{\"amount\": 100}"}}]},"finish_reason":"tool_calls"}]}`
		p := newPair(t, func(c *call) {
			c.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.raw(whole[:strings.Index(whole, "00}")])
			c.end()
		}, "")
		p.fromB(t, p.chat("m"), 1)
		if r := p.post("/v1/messages", `{"model":"a","max_tokens":50,`+hello+`}`, "Anthropic-Version", "2023-06-01"); r.status != http.StatusBadGateway || strings.Contains(string(r.body), "pay") {
			t.Errorf("translated: got %s, want an error", r)
		}
	})
}
