package blackbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// limited answers the first calls with status and headers, later ones whole.
func limited(times, status int, body string, header ...string) func(*call) {
	return func(c *call) {
		if c.n <= times {
			c.answer(status, body, header...)
		} else {
			c.whole("recovered A")
		}
	}
}

const rateLimited = `{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}`

// rests checks that A is asked again, and not before rest has passed.
func (p *pair) rests(t *testing.T, rest time.Duration) {
	t.Helper()
	first := p.a.call(1).at
	eventually(t, "A's return", func() bool {
		p.chat("m")
		return p.a.count() > 1
	})
	if got := p.a.call(2).at.Sub(first); got < rest {
		t.Errorf("A was asked again after %v, want at least %v", got, rest)
	}
}

func TestFault43RetryAfter(t *testing.T) {
	t.Run("43 seconds", func(t *testing.T) {
		p := newPair(t, limited(1, 429, rateLimited, "Retry-After: 1"), "")
		p.fromB(t, p.chat("m"), 1)
		if x := p.target("a/vendor-m"); x.State != "cooldown" || x.ErrorRate != 0 {
			t.Errorf("A: got %+v, want cooldown and no breaker failure", x)
		}
		p.rests(t, time.Second)
	})
	t.Run("44 date", func(t *testing.T) {
		until := time.Now().Add(3 * time.Second).UTC().Truncate(time.Second)
		p := newPair(t, limited(1, 429, rateLimited, "Retry-After: "+until.Format(http.TimeFormat)), "")
		p.fromB(t, p.chat("m"), 1)
		p.rests(t, until.Sub(p.a.call(1).at))
	})
	t.Run("45 date in the past", func(t *testing.T) {
		p := newPair(t, limited(1, 429, rateLimited, "Retry-After: Mon, 02 Jan 2006 15:04:05 GMT"), "")
		p.fromB(t, p.chat("m"), 1)
		p.rests(t, 0)
	})
}

// The wait that a vendor asks for is what status tells.
func TestFault46Waits(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name   string
		status int
		header []string
		want   time.Duration
	}{
		{"46 fraction", 429, []string{"Retry-After: 20.5"}, 20500 * time.Millisecond},
		{"46 milliseconds", 429, []string{"Retry-After-Ms: 15500"}, 15500 * time.Millisecond},
		{"46 reset of requests", 429, []string{"X-Ratelimit-Reset-Requests: 6m0s"}, 6 * time.Minute},
		{"46 reset in seconds", 429, []string{"X-Ratelimit-Reset-Tokens: 21s"}, 21 * time.Second},
		{"46 RFC 3339", 429, []string{"X-Ratelimit-Reset: RFC 3339"}, 0},
		{"46 epoch", 429, []string{"X-Ratelimit-Reset: epoch"}, 0},
		{"47 a day", 429, []string{"Retry-After: 86400"}, 10 * time.Minute},
		{"47 negative", 429, []string{"Retry-After: -5"}, time.Second},
		{"47 no number", 429, []string{"Retry-After: abc"}, time.Second},
		{"47 huge", 429, []string{"Retry-After: 100000000000000000000"}, 10 * time.Minute},
		{"47 two values", 429, []string{"Retry-After: 10", "Retry-After: 30"}, 30 * time.Second},
		{"50 529", 529, []string{"Retry-After: 20"}, 20 * time.Second},
		{"50 529 without", 529, nil, time.Second},
		{"50 503", 503, []string{"Retry-After: 20"}, 20 * time.Second},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := newPair(t, func(c *call) {
				header := slices.Clone(x.header)
				if x.want == 0 { // a time two minutes ahead
					at := time.Now().Add(2 * time.Minute).UTC()
					header[0] = strings.NewReplacer("RFC 3339", at.Format(time.RFC3339), "epoch", strconv.FormatInt(at.Unix(), 10)).Replace(header[0])
				}
				limited(99, x.status, rateLimited, header...)(c)
			}, "")
			before := time.Now()
			p.fromB(t, p.chat("m"), 1)
			got := p.target("a/vendor-m")
			if got.CooldownUntil == nil && x.want == time.Second { // it may be over by now
				return
			}
			if got.State != "cooldown" || got.CooldownUntil == nil {
				t.Fatalf("A: got %+v, want cooldown", got)
			}
			if br := p.status().CircuitBreakers["a/vendor-m"]; br != "closed" {
				t.Errorf("breaker: got %s, want closed", br)
			}
			low, high := before.Add(x.want), time.Now().Add(x.want)
			if x.want == 0 { // written as a time two minutes ahead, in whole seconds
				low, high = before.Add(110*time.Second), time.Now().Add(121*time.Second)
			}
			if at := *got.CooldownUntil; at.Before(low.Add(-20*time.Millisecond)) || at.After(high.Add(20*time.Millisecond)) {
				t.Errorf("cooldown until %v, want from %v to %v", at, low, high)
			}
		})
	}
}

func TestFault48SingleTarget(t *testing.T) {
	t.Run("short wait", func(t *testing.T) {
		p := newPair(t, limited(1, 429, rateLimited, "Retry-After: 1"), "")
		r := p.chat("a")
		if r.status != 200 || p.a.count() != 2 {
			t.Fatalf("answer: got %s after %d calls, want 200 after 2", r, p.a.count())
		}
		if got := p.a.call(2).at.Sub(p.a.call(1).at); got < time.Second {
			t.Errorf("second call after %v, want at least 1s", got)
		}
	})
	t.Run("long wait", func(t *testing.T) {
		p := newPair(t, limited(99, 429, rateLimited, "Retry-After: 30"), "")
		for range 2 {
			r := p.chat("a")
			after, _ := strconv.Atoi(r.header.Get("Retry-After"))
			if r.status != 429 || r.code() != "rate_limit_exceeded" || after < 20 || after > 30 {
				t.Errorf("answer: got %s, want 429 rate_limit_exceeded with the vendor's Retry-After", r)
			}
			if x := r.header.Get("X-Should-Retry"); x == "false" {
				t.Error("x-should-retry: false at a rate limit; trying later helps")
			}
		}
		if n := p.a.count(); n != 1 {
			t.Errorf("calls: got %d, want 1", n)
		}
	})
}

// keyed answers by credential: refuse for key-1, whole for others.
func keyed(status int, body string) func(*call) {
	return func(c *call) {
		if c.header.Get("Authorization") == "Bearer key-1" {
			c.answer(status, body)
		} else {
			c.whole("from key 2")
		}
	}
}

func TestFault49Credentials(t *testing.T) {
	const secret = "org-canary-4711"
	for _, x := range []struct {
		name   string
		status int
		body   string
	}{
		{"49 insufficient_quota", 429, `{"error":{"message":"` + secret + ` exceeded its quota","type":"insufficient_quota","code":"insufficient_quota"}}`},
		{"49 402", 402, `{"error":{"message":"` + secret + ` must pay","type":"billing","code":null}}`},
		{"54 401", 401, `{"error":{"message":"Incorrect API key: ` + secret + `","type":"invalid_request_error","code":"invalid_api_key"}}`},
		{"54 403", 403, `{"error":{"message":"` + secret + ` has no access","type":"permission","code":null}}`},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, keyed(x.status, x.body))
			g := serve(t, quick+fmt.Sprintf("providers:\n  a: {kind: openai-compatible, base_url: \"http://%s/v1\", api_keys: [key-1, key-2]}\nmodels: {a: a/m}\n", v.addr()))
			for range 6 {
				if r := g.chat("a"); r.status != 200 || !strings.Contains(string(r.body), "from key 2") {
					t.Errorf("answer: got %s, want that of the second key", r)
				}
			}
			one := 0
			for _, c := range v.journal() {
				if c.header.Get("Authorization") == "Bearer key-1" {
					one++
				}
			}
			if one != 1 {
				t.Errorf("calls with the refused key: got %d, want 1: it is in quarantine", one)
			}
		})
		t.Run(x.name+", no other", func(t *testing.T) {
			p := newPair(t, func(c *call) { c.answer(x.status, x.body) }, "")
			r := p.chat("a")
			if r.status == 401 || r.status == 402 || r.status == 403 || r.status == 200 || strings.Contains(r.String(), secret) {
				t.Errorf("answer: got %s; a vendor's 401, 402, 403 and its words never reach the caller", r)
			}
			p.chat("a")
			if n := p.a.count(); n != 1 {
				t.Errorf("calls: got %d, want 1: the credential is in quarantine", n)
			}
			if s := p.target("a/vendor-m").State; s != "quarantined" && s != "cooldown" {
				t.Errorf("state: got %s", s)
			}
		})
	}
}

func TestFault52Storm(t *testing.T) {
	p := newPair(t, func(c *call) { c.answer(500, `{"error":{"message":"boom"}}`) }, "")
	p.b.script = func(c *call) { c.answer(500, `{"error":{"message":"boom"}}`) }
	const requests = 400
	start := time.Now()
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range requests / 8 {
				r, err := try(http.MethodPost, p.url+"/v1/chat/completions", `{"model":"m",`+hello+`}`)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[fmt.Sprintf("%d %s after=%v final=%s", r.status, r.code(), r.header.Get("Retry-After") != "", r.header.Get("X-Should-Retry"))]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	calls := p.a.count() + p.b.count()
	if most := requests*12/10 + int(3*time.Since(start).Seconds()) + 30; calls > most {
		t.Errorf("calls to vendors: got %d for %d requests, want at most %d", calls, requests, most)
	}
	if r := p.chat("m"); r.status != 503 || r.code() != "overloaded" || r.header.Get("Retry-After") == "" || r.header.Get("X-Should-Retry") != "false" {
		// half-open probes are asked now and then
		if r = p.chat("m"); r.status != 503 || r.header.Get("Retry-After") == "" || r.header.Get("X-Should-Retry") != "false" {
			t.Errorf("with all targets open: got %s, want 503 overloaded, Retry-After, x-should-retry: false", r)
		}
	}
	for k := range seen {
		if !strings.HasPrefix(k, "503 overloaded after=true final=false") && !strings.HasPrefix(k, "502 upstream_error") {
			t.Errorf("answers in the storm: got %v", seen)
			break
		}
	}
	t.Logf("calls %d for %d requests; %v", calls, requests, seen)
}

func TestFault51OneTargetStorm(t *testing.T) {
	p := newPair(t, func(c *call) { c.answer(500, `{"error":{"message":"boom"}}`) }, "")
	for range 100 {
		if r := p.chat("m"); r.status != 200 {
			t.Fatalf("answer: got %s, want B's", r)
		}
	}
	if n := p.a.count(); n > 5+3 {
		t.Errorf("calls to A: got %d, want 5 and a probe or two", n)
	}
	if s := p.status().CircuitBreakers["a/vendor-m"]; s == "closed" {
		t.Errorf("A's breaker: got %s, want open", s)
	}
}

func TestFault53Callers(t *testing.T) {
	for _, x := range []struct {
		status int
		body   string
	}{
		{400, `{"error":{"message":"bad temperature","type":"invalid_request_error","param":"temperature","code":null}}`},
		{404, `{"error":{"message":"no such thing","type":"invalid_request_error","param":null,"code":"not_here"}}`},
		{413, `{"error":{"message":"too big","type":"invalid_request_error","param":null,"code":null}}`},
		{422, `{"error":{"message":"unprocessable","type":"invalid_request_error","param":"n","code":null}}`},
		{400, `{"error":{"message":"filtered","type":"invalid_request_error","param":"prompt","code":"content_filter"}}`},
	} {
		t.Run(strconv.Itoa(x.status), func(t *testing.T) {
			p := newPair(t, func(c *call) { c.answer(x.status, x.body) }, "")
			for _, r := range []*reply{p.chat("m"), p.stream("m")} {
				if r.status != x.status || string(r.body) != x.body {
					t.Errorf("answer: got %s, want the vendor's status %d and body", r, x.status)
				}
			}
			if a, b := p.a.count(), p.b.count(); a != 2 || b != 0 {
				t.Errorf("calls: got %d and %d, want 2 and 0", a, b)
			}
			if x := p.target("a/vendor-m"); x.ErrorRate != 0 || x.State != "closed" {
				t.Errorf("A: got %+v; the caller's errors are no failures", x)
			}
		})
	}
}

func TestFault55Deadline(t *testing.T) {
	for _, stream := range []string{"false", "true"} {
		t.Run("stream="+stream, func(t *testing.T) {
			p := newPair(t, (*call).hang, "timeouts: {first_token: 30s, total: 60s}\n")
			r := p.post("/v1/chat/completions", `{"model":"a","stream":`+stream+`,`+hello+`}`, "X-Sluice-Timeout-Ms", "700")
			if r.status != http.StatusGatewayTimeout || r.code() != "timeout" {
				t.Errorf("answer: got %s, want 504 timeout", r)
			}
			closed(t, "the close of A's connection", p.a.call(1).left)
			if n := p.a.count(); n != 1 {
				t.Errorf("calls: got %d, want 1", n)
			}
		})
	}
	t.Run("may only shorten", func(t *testing.T) {
		p := newPair(t, (*call).hang, "timeouts: {total: 700ms}\n")
		r := p.chat("a", "X-Sluice-Timeout-Ms", "600000")
		if r.status != http.StatusGatewayTimeout {
			t.Errorf("answer: got %s, want 504", r)
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		p := newPair(t, nil, "")
		for _, v := range []string{"0", "-1", "abc", "1.5", "99999999999999999999"} {
			if r := p.chat("a", "X-Sluice-Timeout-Ms", v); r.status != 400 || r.code() != "invalid_request" {
				t.Errorf("x-sluice-timeout-ms %s: got %s, want 400", v, r)
			}
		}
		if n := p.a.count(); n != 0 {
			t.Errorf("calls: got %d, want 0", n)
		}
	})
}

func TestFault56CancelDuringBackoff(t *testing.T) {
	p := newPair(t, limited(99, 429, rateLimited, "Retry-After: 2"), "")
	ctx, cancel := context.WithCancel(context.Background())
	gone := leave(t, ctx, p.url, `{"model":"a",`+hello+`}`)
	p.a.call(1)
	eventually(t, "the wait", func() bool { return p.target("a/vendor-m").State == "cooldown" })
	cancel()
	closed(t, "the client's end", gone)
	p.line(`"outcome":"canceled"`)
	eventually(t, "the end of the cooldown", func() bool { return p.target("a/vendor-m").State == "closed" })
	if n := p.a.count(); n != 1 {
		t.Errorf("calls: got %d, want 1: nobody waits for a second", n)
	}
}

// leave asks and reads until ctx ends; the channel is closed when the client
// has gone.
func leave(t *testing.T, ctx context.Context, url, body string) <-chan struct{} {
	t.Helper()
	gone := make(chan struct{})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(gone)
		resp, err := client.Do(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
	return gone
}

// A client that leaves ends the vendor's call, wherever it stands.
func TestFault74Cancel(t *testing.T) {
	for _, x := range []struct {
		name   string
		script func(*call)
		stream string
	}{
		{"before the headers, unary", (*call).hang, "false"},
		{"before the headers, streamed", (*call).hang, "true"},
		{"before the first token", func(c *call) { c.begin(); c.events(roleChunk); c.hang() }, "true"},
		{"amid the stream", func(c *call) { c.begin(); c.events(roleChunk, contentChunk("begun")); c.hang() }, "true"},
		{"amid a unary body", func(c *call) {
			c.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{")
			c.hang()
		}, "false"},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := newPair(t, x.script, "timeouts: {first_token: 60s, idle: 60s, total: 120s}\n")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			gone := leave(t, ctx, p.url, `{"model":"m","stream":`+x.stream+`,`+hello+`}`)
			c := p.a.call(1)
			cancel()
			closed(t, "the client's end", gone)
			closed(t, "the close of A's connection", c.left)
			p.line(`"outcome":"canceled"`)
			if n := p.b.count(); n != 0 {
				t.Errorf("calls to B: got %d, want 0", n)
			}
			eventually(t, "nothing in flight", func() bool { return p.target("a/vendor-m").InFlight == 0 })
			if s := p.target("a/vendor-m"); s.ErrorRate != 0 {
				t.Errorf("A's error rate: got %v, want 0: the client left, the vendor did nothing", s.ErrorRate)
			}
			if n := p.requests(); n != 1 {
				t.Errorf("access log lines: got %d, want 1", n)
			}
		})
	}
}

// 18, 21: bytes are on the way while the vendor still works.
func TestStreamFlushesPerRead(t *testing.T) {
	next := make(chan struct{})
	p := newPair(t, func(c *call) {
		c.begin()
		c.events(roleChunk, contentChunk("one "))
		<-next
		c.events(contentChunk("two"), stopChunk, "[DONE]")
		c.end()
	}, "timeouts: {idle: 30s}\n")
	resp, err := client.Post(p.url+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m","stream":true,`+hello+`}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("reading the first word: %v", err)
		}
		if strings.Contains(line, "one ") {
			break // it came though the vendor is not done
		}
	}
	close(next)
	rest, _ := io.ReadAll(r)
	if !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("rest: got %q, want [DONE] at its end", rest)
	}
}
