package blackbox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

const replayOf = "X-Sluice-Idempotent-Replay"

// named is the header of a caller's request that may be sent again.
func named(key, name string) []string { return append(bearer(key), "Idempotency-Key", name) }

const twoKeys = "keys: [{name: one, key: " + keyOne + "}, {name: two, key: " + keyTwo + "}]\n"

func TestFault94IdempotencyKey(t *testing.T) {
	t.Parallel()
	t.Run("a hundred at once", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		v := newVendor(t, func(c *call) {
			<-release
			c.whole(fmt.Sprintf("answer %d", c.n))
		})
		g := serve(t, "providers:\n"+v.provider("a", "k")+"models:\n  a: {targets: [{target: a/m, price: {input: 1, output: 2}}]}\n"+twoKeys)
		const n = 100
		var wg sync.WaitGroup
		replies := make([]*reply, n)
		for i := range n {
			wg.Go(func() { replies[i] = g.chat("a", named(keyOne, "order-1")...) })
		}
		v.call(1)
		var other *reply
		wg.Go(func() { other = g.chat("a", named(keyTwo, "order-1")...) })
		v.call(2) // another caller's is another request
		close(release)
		wg.Wait()
		first := ""
		for i, r := range replies {
			if r.status != 200 || !bytes.Equal(r.body, replies[0].body) {
				t.Fatalf("answer %d: got %s, want that of all others: %s", i, r, replies[0])
			}
			if r.header.Get(replayOf) == "" {
				if first != "" {
					t.Errorf("two answers are no replays: %s and %s", first, r.id())
				}
				first = r.id()
			}
		}
		for i, r := range replies {
			if of := r.header.Get(replayOf); of != "" && (of != first || r.header.Get("X-Sluice-Cost-Usd") != "0" && r.header.Get("X-Sluice-Cost-Usd") != "0.000000000" || r.header.Get("X-Sluice-Attempts") != "0") {
				t.Errorf("answer %d: %s: want a replay of %s without attempts that costs nothing", i, r, first)
			}
		}
		if n := v.count(); n != 2 {
			t.Errorf("calls to the vendor: got %d, want 2: one for each caller", n)
		}
		if other.status != 200 || other.header.Get(replayOf) != "" || bytes.Equal(other.body, replies[0].body) {
			t.Errorf("the other caller: got %s, want an answer of its own", other)
		}
		g.stop()
		rep := usageOf(t, g)
		// 2 × (5 tokens at 1 USD + 7 at 2 USD per million)
		if rep.Total.Requests != n+1 || rep.Total.Tokens["output"] != 14 || rep.Total.Nano != 38000 {
			t.Errorf("ledger: got %+v, want %d requests, 14 tokens out and 38000 nano-USD", rep.Total, n+1)
		}
	})
	t.Run("streams", func(t *testing.T) {
		t.Parallel()
		v := newHeld(t)
		g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n"+twoKeys)
		body := `{"model":"a","stream":true,` + hello + `}`
		req, err := http.NewRequest(http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+keyOne)
		req.Header.Set("Idempotency-Key", "s")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		r := bufio.NewReader(resp.Body)
		var got bytes.Buffer
		for !strings.Contains(got.String(), "first ") {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString(line)
		}
		dup := g.post("/v1/chat/completions", body, named(keyOne, "s")...)
		if dup.status != 409 || dup.code() != "idempotency_key_in_use" || dup.header.Get("Retry-After") == "" {
			t.Errorf("a duplicate of a running stream: got %s, want 409 with Retry-After", dup)
		}
		close(v.release)
		if _, err := got.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the replay", func() bool {
			dup = g.post("/v1/chat/completions", body, named(keyOne, "s")...)
			return dup.status == 200
		})
		if !bytes.Equal(dup.body, got.Bytes()) || dup.header.Get(replayOf) != resp.Header.Get("X-Request-Id") {
			t.Errorf("the stream again: got %s, want a replay of %s:\n%s", dup, resp.Header.Get("X-Request-Id"), got.String())
		}
		if k := dup.header.Get("Content-Type"); !strings.HasPrefix(k, "text/event-stream") {
			t.Errorf("its content type: got %q", k)
		}
		if n := v.count(); n != 1 {
			t.Errorf("calls to the vendor: got %d, want 1", n)
		}
	})
	t.Run("other endpoints", func(t *testing.T) {
		t.Parallel()
		v := newVendor(t, func(c *call) {
			if strings.Contains(c.path, "transcriptions") {
				c.answer(200, fmt.Sprintf(`{"text":"Hello %d"}`, c.n))
				return
			}
			c.answer(200, fmt.Sprintf(`{"n":%d}`, c.n))
		})
		g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n"+twoKeys)
		form := func(boundary string) *reply { // SDKs draw a new boundary when they send a form again
			var b bytes.Buffer
			w := multipart.NewWriter(&b)
			_ = w.SetBoundary(boundary)
			f, _ := w.CreateFormFile("file", "a.wav")
			_, _ = f.Write([]byte("RIFF"))
			_ = w.WriteField("model", "a")
			_ = w.Close()
			req, err := http.NewRequest(http.MethodPost, g.url+"/v1/audio/transcriptions", &b)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", w.FormDataContentType())
			req.Header.Set("Authorization", "Bearer "+keyOne)
			req.Header.Set("X-Idempotency-Key", "form")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			r := &reply{status: resp.StatusCode, header: resp.Header}
			var out bytes.Buffer
			_, r.err = out.ReadFrom(resp.Body)
			r.body = out.Bytes()
			return r
		}
		one, two := form("one-boundary"), form("another-boundary")
		if one.status != 200 || one.header.Get(replayOf) != "" || !bytes.Equal(one.body, two.body) || two.header.Get(replayOf) != one.id() {
			t.Errorf("a form, twice: got %s, then %s; want a replay", one, two)
		}
		one, two = g.post("/p/a/v1/things", `{"model":"m"}`, named(keyOne, "form")...), g.post("/p/a/v1/things", `{"model":"m"}`, named(keyOne, "form")...)
		if one.status != 200 || !bytes.Equal(one.body, two.body) || two.header.Get(replayOf) != one.id() {
			t.Errorf("the vendor's own path, twice: got %s, then %s; want a replay", one, two)
		}
		if other := g.post("/p/a/v1/others", `{"model":"m"}`, named(keyOne, "form")...); other.status != 200 || other.header.Get(replayOf) != "" {
			t.Errorf("another path: got %s, want an answer of its own", other)
		}
		if n := v.count(); n != 3 {
			t.Errorf("calls to the vendor: got %d, want 3", n)
		}
	})
}

func TestFault95OtherBody(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n"+twoKeys)
	for path, envelope := range map[string]func(b []byte) string{
		"/v1/chat/completions": func(b []byte) string {
			var e struct{ Error struct{ Code string } }
			_ = json.Unmarshal(b, &e)
			return e.Error.Code
		},
		"/v1/messages": func(b []byte) string {
			var e struct {
				Type  string
				Error struct {
					Type    string
					Details struct {
						Code string `json:"error_code"`
					}
				}
			}
			_ = json.Unmarshal(b, &e)
			if e.Type != "error" || e.Error.Type != "invalid_request_error" {
				return string(b)
			}
			return e.Error.Details.Code
		},
		"/v1beta/models/a:generateContent": func(b []byte) string {
			var e struct {
				Error struct {
					Code   int
					Status string
				}
			}
			_ = json.Unmarshal(b, &e)
			if e.Error.Code != 422 || e.Error.Status != "INVALID_ARGUMENT" {
				return string(b)
			}
			return "idempotency_key_reused"
		},
	} {
		body := func(text string) string {
			if strings.Contains(path, "generate") {
				return `{"contents":[{"role":"user","parts":[{"text":"` + text + `"}]}]}`
			}
			return `{"model":"a","max_tokens":9,"messages":[{"role":"user","content":"` + text + `"}]}`
		}
		before := v.count()
		if r := g.post(path, body("Hello"), named(keyOne, "k")...); r.status != 200 || r.header.Get(replayOf) != "" {
			t.Fatalf("%s: got %s, want an answer: a key is one route's", path, r)
		}
		r := g.post(path, body("Goodbye"), named(keyOne, "k")...)
		if code := envelope(r.body); r.status != 422 || code != "idempotency_key_reused" {
			t.Errorf("%s with another body: got %s (%s), want 422 idempotency_key_reused", path, r, code)
		}
		if again := g.post(path, body("Hello"), named(keyOne, "k")...); again.status != 200 || again.header.Get(replayOf) == "" {
			t.Errorf("%s, the first body again: got %s, want a replay", path, again)
		}
		if n := v.count() - before; n != 1 {
			t.Errorf("%s: calls to the vendor: got %d, want 1", path, n)
		}
	}
}

// The connection over which the vendor is asked breaks when it is used again:
// nothing but the attempts that are told of reaches the vendor, by TLS and
// without.
func TestFault5IdempotencyKey(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	write(t, roots, string(ca.pem))
	for _, secure := range []bool{false, true} {
		script := func(c *call) {
			if c.n == 1 {
				c.whole("ok")
			} else {
				c.reset()
			}
		}
		var v *vendor
		entry := ""
		if secure {
			v = newTLSVendor(t, &tls.Config{Certificates: []tls.Certificate{ca.pair("", time.Now().Add(time.Hour))}}, script)
			entry = fmt.Sprintf("  a: {kind: openai-compatible, base_url: \"https://%s/v1\", api_key: k, ca: %s}\n", v.addr(), roots)
		} else {
			v = newVendor(t, script)
			entry = v.provider("a", "k")
		}
		g := serve(t, "retry: {attempts: 1}\nproviders:\n"+entry+"models: {a: a/m}\n")
		if r := g.chat("a"); r.status != 200 {
			t.Fatalf("TLS %v, the first request: got %s, want 200", secure, r)
		}
		r := g.chat("a", "Idempotency-Key", "k", "X-Idempotency-Key", "k")
		if r.status != http.StatusBadGateway {
			t.Errorf("TLS %v, the second: got %s, want 502", secure, r)
		}
		if rec := g.record(r.id()); len(rec.Attempts) != 1 || v.count() != 2 {
			t.Errorf("TLS %v: told of %d attempts, the vendor saw %d; want 1", secure, len(rec.Attempts), v.count()-1)
		}
		for _, c := range v.journal() {
			if c.header.Get("Idempotency-Key") != "" || c.header.Get("X-Idempotency-Key") != "" {
				t.Errorf("TLS %v: the key travelled: %v", secure, c.header)
			}
		}
	}
}

// An SDK that sends the key with its retries: what failed is asked again, what
// succeeded is told again.
func TestIdempotencyKeySDK(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) {
		if c.n <= 2 {
			c.answer(500, `{"error":{"message":"no","type":"server_error"}}`)
			return
		}
		c.whole("after retries")
	})
	g := serve(t, "retry: {attempts: 1}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n"+twoKeys)
	c := openai.NewClient(option.WithBaseURL(g.url+"/v1"), option.WithAPIKey(keyOne), option.WithMaxRetries(3), option.WithHTTPClient(client))
	ask := func(opts ...option.RequestOption) (string, string) {
		var resp *http.Response
		r, err := c.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{Model: "a", Messages: user("Hello")},
			append(opts, option.WithHeader("Idempotency-Key", "order-7"), option.WithResponseInto(&resp))...)
		if err != nil {
			t.Fatal(err)
		}
		return r.Choices[0].Message.Content, resp.Header.Get(replayOf)
	}
	if text, of := ask(); text != "after retries" || of != "" || v.count() != 3 {
		t.Errorf("got %q, replay of %q, %d calls; want the third call's answer", text, of, v.count())
	}
	if text, of := ask(); text != "after retries" || of == "" || v.count() != 3 {
		t.Errorf("again: got %q, replay of %q, %d calls; want a replay", text, of, v.count())
	}
	st := c.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{Model: "a", Messages: user("Hello")}, option.WithHeader("Idempotency-Key", "stream-7"))
	var first, second openai.ChatCompletionAccumulator
	for st.Next() {
		first.AddChunk(st.Current())
	}
	st = c.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{Model: "a", Messages: user("Hello")}, option.WithHeader("Idempotency-Key", "stream-7"))
	for st.Next() {
		second.AddChunk(st.Current())
	}
	if st.Err() != nil || len(second.Choices) != 1 || second.Choices[0].Message.Content != first.Choices[0].Message.Content || v.count() != 4 {
		t.Errorf("a stream again: got %+v, %v, %d calls; want a replay of %+v", second.Choices, st.Err(), v.count(), first.Choices)
	}
}

// A client that left before the answer finds nothing when it asks again, and
// one that waits with it is served in its place.
func TestIdempotencyKeyLeft(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) {
		if c.n == 1 {
			c.hang()
			return
		}
		c.whole("second call")
	})
	g := serve(t, "retry: {attempts: 1}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n"+twoKeys)
	ctx, leave := context.WithCancel(t.Context())
	ask := func(ctx context.Context) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader(`{"model":"a",`+hello+`}`))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+keyOne)
		req.Header.Set("Idempotency-Key", "k")
		return client.Do(req)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = ask(ctx) })
	v.call(1)
	var ok atomic.Int32
	for range 5 {
		wg.Go(func() {
			resp, err := ask(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if _ = resp.Body.Close(); resp.StatusCode == 200 {
				ok.Add(1)
			}
		})
	}
	leave()
	wg.Wait()
	if ok.Load() != 5 || v.count() != 2 {
		t.Errorf("got %d answers in %d calls, want 5 in 2", ok.Load(), v.count())
	}
}

// An answer that is too large to be kept is made again.
func TestIdempotencyKeyLarge(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) { c.whole(strings.Repeat("x", 1<<20)) })
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n"+twoKeys)
	one, two := g.chat("a", named(keyOne, "k")...), g.chat("a", named(keyOne, "k")...)
	if one.status != 200 || two.status != 200 || two.header.Get(replayOf) != "" || v.count() != 2 || len(two.body) < 1<<20 {
		t.Errorf("got %d and %d, %d calls, replay of %q; want two answers", one.status, two.status, v.count(), two.header.Get(replayOf))
	}
	if missing := slices.DeleteFunc([]string{"X-Sluice-Model", "X-Sluice-Target"}, func(h string) bool { return two.header.Get(h) != "" }); len(missing) > 0 {
		t.Errorf("headers that are missing: %v", missing)
	}
}
