package sim

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ask calls the Server in this goroutine, inside a bubble of virtual time.
func ask(s *Server, key, body string) *httptest.ResponseRecorder {
	return askAt(s, "POST", "/v1/chat/completions", body, "Authorization", "Bearer "+key)
}

func askAt(s *Server, method, path, body string, head ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w
}

func must(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := must(t, Config{Speed: 2, Models: []Model{{Name: "m", Latency: time.Second, TokensPerSecond: 10, Tokens: 20}}})
		for _, tc := range []struct {
			body string
			want time.Duration
		}{
			{hello, 1500 * time.Millisecond},           // (1 s + 20 tokens) / 2
			{streamed(hello), 1450 * time.Millisecond}, // the last of 20 events, 19 steps after the first
			{`{"max_tokens":1,` + hello[1:], 550 * time.Millisecond},
		} {
			begin := time.Now()
			if w := ask(s, "k", tc.body); w.Code != 200 {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			if got := time.Since(begin); got != tc.want {
				t.Errorf("%s: took %v, want %v", tc.body, got, tc.want)
			}
		}
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := must(t, Config{Models: []Model{{Name: "m", RPM: 2}}})
		head := func(w *httptest.ResponseRecorder) string {
			h := w.Header()
			return strings.Join([]string{h.Get("x-ratelimit-limit-requests"), h.Get("x-ratelimit-remaining-requests"), h.Get("x-ratelimit-reset-requests"), h.Get("retry-after"), h.Get("retry-after-ms")}, " ")
		}
		for i, tc := range []struct {
			wait   time.Duration
			key    string
			status int
			head   string
		}{
			{0, "sk-a", 200, "2 1 30s  "},
			{0, "sk-a", 200, "2 0 1m0s  "},
			{0, "sk-a", 429, "2 0 1m0s 30 30000"},
			{0, "sk-b", 200, "2 1 30s  "},
			{10500 * time.Millisecond, "sk-a", 429, "2 0 49.5s 20 19500"},
			{20 * time.Second, "sk-a", 200, "2 0 59.5s  "},
		} {
			time.Sleep(tc.wait)
			w := ask(s, tc.key, hello)
			if w.Code != tc.status || head(w) != tc.head {
				t.Errorf("%d: got %d %q, want %d %q", i, w.Code, head(w), tc.status, tc.head)
			}
		}
		if n, _ := s.Counters("m"); n.Limited != 2 || n.Errors != 2 || n.Calls != 6 {
			t.Errorf("got %+v", n)
		}
	})
}

func TestPromptCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := must(t, Config{Models: []Model{{Name: "m", Cache: time.Minute}, {Name: "n", Cache: time.Minute}, {Name: "off"}}})
		long := strings.Repeat("0123456789abcdef", 400) // 1,600 tokens
		body := func(model, tail string) string {
			return `{"model":"` + model + `","messages":[{"role":"system","content":"` + long + `"},{"role":"user","content":"` + tail + `"}]}`
		}
		cached := func(key, body string) int {
			var c chunk
			if err := json.Unmarshal(ask(s, key, body).Body.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			return c.Usage.PromptPart.Cached
		}
		for i, tc := range []struct {
			wait      time.Duration
			key, body string
			want      int
		}{
			{0, "a", body("m", "one"), 0},
			{0, "a", body("m", "two"), 1600},
			{0, "b", body("m", "two"), 0},
			{0, "a", body("n", "two"), 0},
			{0, "a", body("off", "two"), 0},
			{0, "a", body("off", "two"), 0},
			{0, "a", hello, 0},
			{0, "a", hello, 0},
			{50 * time.Second, "a", body("m", "three"), 1600},
			{50 * time.Second, "a", body("m", "four"), 1600},
			{time.Minute, "a", body("m", "five"), 0},
		} {
			time.Sleep(tc.wait)
			if got := cached(tc.key, tc.body); got != tc.want {
				t.Errorf("%d: got %d cached tokens, want %d", i, got, tc.want)
			}
		}
	})
}

func TestPromptCacheBound(t *testing.T) {
	c := newPromptCache(20)
	a, b := strings.Repeat("a", 17*256), strings.Repeat("b", 17*256)
	now := time.Now()
	c.keep(c.split("k", "m", a), time.Hour, now)
	c.keep(c.split("k", "m", b), time.Hour, now)
	if got := c.order.Len(); got != 20 || len(c.blocks) != 20 {
		t.Errorf("got %d blocks, want 20", got)
	}
	if got := c.hit(c.split("k", "m", b), now); got != 17*64 {
		t.Errorf("got %d tokens of the latest prompt, want %d", got, 17*64)
	}
	if got := c.hit(c.split("k", "m", a), now); got != 0 { // 3 blocks of its beginning: below the minimum
		t.Errorf("got %d tokens of the evicted prompt, want 0", got)
	}
}

func TestRepeatable(t *testing.T) {
	run := func(seed uint64, together bool) []string {
		synctestRun := make([]string, 40)
		synctest.Test(t, func(t *testing.T) {
			s := must(t, Config{Seed: seed, Models: []Model{{
				Name: "m", Latency: time.Second, Sigma: 0.5, Tokens: 20, Spread: 8, Errors: 0.3, Fault: &Fault{Kind: FaultStatus, Status: 503, Share: 0.2},
			}}})
			var wg sync.WaitGroup
			for range synctestRun {
				call := func() { ask(s, "k", hello) }
				if together {
					wg.Go(call)
				} else {
					call()
				}
			}
			wg.Wait()
			for _, c := range s.Journal() {
				b, err := json.Marshal(struct {
					Status int
					Bytes  int64
					Took   time.Duration
				}{c.Status, c.Bytes, c.End.Sub(c.Start)})
				if err != nil {
					t.Fatal(err)
				}
				synctestRun[c.Number-1] = string(b)
			}
		})
		return synctestRun
	}
	one, two, other := run(1, false), run(1, true), run(2, false)
	same := 0
	kinds := make(map[string]bool)
	for i := range one {
		if one[i] != two[i] {
			t.Errorf("call %d: got %s, then %s", i+1, one[i], two[i])
		}
		if one[i] == other[i] {
			same++
		}
		kinds[one[i][:13]] = true
	}
	if same > 20 || len(kinds) != 3 {
		t.Errorf("got %d calls the same under another seed, and statuses %v", same, kinds)
	}
}

func TestDraws(t *testing.T) {
	m := Model{Latency: time.Second, Sigma: 0.5, Tokens: 100, Spread: 30}
	const n = 20000
	below, failed, tokens := 0, 0, 0
	for i := range uint64(n) {
		d := newDraw(3, "m", i)
		if d.latency(&m) < time.Second {
			below++
		}
		if d.failure < 0.05 {
			failed++
		}
		tokens += d.tokens(&m)
	}
	if below < n*48/100 || below > n*52/100 {
		t.Errorf("got %d of %d below the median", below, n)
	}
	if failed < n*4/100 || failed > n*6/100 {
		t.Errorf("got %d of %d failures, want 5 %%", failed, n)
	}
	if mean := tokens / n; mean < 98 || mean > 102 {
		t.Errorf("got %d tokens on average, want 100", mean)
	}
}

func TestJournalBound(t *testing.T) {
	s := must(t, Config{Journal: 3, Models: []Model{{Name: "m"}}})
	for range 5 {
		ask(s, "sk-secret-1234", hello)
	}
	j := s.Journal()
	if len(j) != 3 || j[0].Number != 3 || j[2].Number != 5 || j[2].Credential != "1234" || j[2].BytesIn != int64(len(hello)) || j[2].Bytes == 0 {
		t.Errorf("got %+v", j)
	}
}

// TestManyStreams: every event of many paced streams arrives.
func TestManyStreams(t *testing.T) {
	const streams, tokens = 200, 25
	r := start(t, Config{Models: []Model{{Name: "m", TokensPerSecond: 50, Tokens: tokens}}})
	var wg sync.WaitGroup
	for range streams {
		wg.Go(func() {
			_, body, err := r.post("/v1/chat/completions", streamed(hello))
			if n := strings.Count(body, `{"content":"`); err != nil || n != tokens || !strings.HasSuffix(body, "data: [DONE]\n\n") {
				t.Errorf("got %d events, %v, want %d", n, err, tokens)
			}
		})
	}
	wg.Wait()
}
