package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// asker is a line to a scripted vendor.
type asker func(context.Context, *llm.Request) (*llm.Response, error)

// lineTo opens a line of a vendor's row to a script.
func lineTo(t *testing.T, row, model string, script http.HandlerFunc, change ...func(*Settings)) asker {
	t.Helper()
	srv := httptest.NewServer(script)
	t.Cleanup(srv.Close)
	v, ok := VendorByName(row)
	if !ok {
		t.Fatalf("no vendor %q", row)
	}
	set := Settings{Name: "acc", Vendor: v, BaseURL: srv.URL, Connect: time.Second}
	for _, c := range change {
		c(&set)
	}
	transports := &Transports{}
	t.Cleanup(transports.Close)
	acc, err := NewAccount(set, transports)
	if err != nil {
		t.Fatal(err)
	}
	key := "vendor-key"
	if set.Client {
		key = ""
	}
	send, err := acc.Line(Model{Name: model}, key)
	if err != nil {
		t.Fatal(err)
	}
	return send
}

// request is a client's, in its protocol; header is name, value, …
func request(t *testing.T, p llm.Proto, op llm.Op, body string, header ...string) *llm.Request {
	t.Helper()
	req := &llm.Request{ID: "req-1", Trail: llm.NewTrail("req-1", time.Now(), func(*llm.Trail) {}), Header: http.Header{}}
	if e := protocol.Of(p).Decode(op, &wire.Buffer{B: []byte(body)}, req); e != nil {
		t.Fatal(e)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	t.Cleanup(req.Body.Release)
	return req
}

// settle waits until no more goroutines run than before.
func settle(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

const claude = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"%s"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":7}}`

func said(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, strings.Replace(claude, "%s", text, 1))
}

// streamed writes an answer as Anthropic's events, word by word; between is
// called before each.
func streamed(w http.ResponseWriter, stop string, between func() bool, words ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(s string) {
		name, _, _ := strings.Cut(s[len(`{"type":"`):], `"`)
		_, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, s)
		w.(http.Flusher).Flush()
	}
	event(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1}}}`)
	event(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
	for _, word := range words {
		if !between() {
			return
		}
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + word + `"}}`)
	}
	event(`{"type":"content_block_stop","index":0}`)
	event(`{"type":"message_delta","delta":{"stop_reason":"` + stop + `","stop_sequence":null},"usage":{"output_tokens":7}}`)
	event(`{"type":"message_stop"}`)
}

// lawful checks the order of events and returns what they make.
func lawful(t *testing.T, s llm.Stream) (*llm.Reply, llm.Usage, error) {
	t.Helper()
	var c llm.Collector
	var usage llm.Usage
	starts := 0
	open, next, stopped := map[[2]int]bool{}, map[int]int{}, map[int]bool{}
	for {
		chunk, err := s.Next()
		if err != nil {
			if err == io.EOF && (starts != 1 || len(open) > 0) {
				t.Errorf("%d starts, %d blocks are open at the end", starts, len(open))
			}
			return c.Reply(), usage, err
		}
		if chunk.Usage != nil {
			usage = *chunk.Usage
		}
		for _, e := range chunk.Events {
			at := [2]int{e.Answer, e.Index}
			switch e.Kind {
			case llm.EventStart:
				starts++
			case llm.EventBlock:
				if e.Index != next[e.Answer] || stopped[e.Answer] {
					t.Errorf("block %v begins where %d is next", at, next[e.Answer])
				}
				next[e.Answer]++
				open[at] = true
			case llm.EventDelta:
				if !open[at] {
					t.Errorf("a delta of block %v, which is not open", at)
				}
			case llm.EventBlockEnd:
				delete(open, at)
			case llm.EventStop:
				stopped[e.Answer] = true
			}
		}
		c.Add(chunk.Events...)
	}
}

const three = `{"model":"m","n":3,"messages":[{"role":"user","content":"Hello"}]`

// Three answers of a vendor that gives one at a time: three calls, one answer
// of three, each with its number, all of it counted.
func TestSeveralAnswers(t *testing.T) {
	for _, stream := range []bool{false, true} {
		var calls atomic.Int32
		send := lineTo(t, "anthropic", "claude-x", func(w http.ResponseWriter, r *http.Request) {
			n := calls.Add(1)
			if stream {
				streamed(w, "end_turn", func() bool { return true }, "one ", "two ", fmt.Sprint(n))
				return
			}
			said(w, fmt.Sprint("one two ", n))
		})
		before := runtime.NumGoroutine()
		body := three + `}`
		if stream {
			body = three + `,"stream":true}`
		}
		resp, err := send(context.Background(), request(t, llm.ProtoOpenAI, llm.OpChat, body))
		if err != nil {
			t.Fatal(err)
		}
		r, u, err := lawful(t, resp)
		if err != io.EOF || calls.Load() != 3 || len(r.Answers) != 3 {
			t.Fatalf("stream %v: %d calls, %d answers, end %v", stream, calls.Load(), len(r.Answers), err)
		}
		var texts []string
		for _, a := range r.Answers {
			if a.Stop != llm.StopEnd || len(a.Blocks) != 1 {
				t.Errorf("answer %+v", a)
				continue
			}
			texts = append(texts, a.Blocks[0].Text)
		}
		slices.Sort(texts)
		if strings.Join(texts, "; ") != "one two 1; one two 2; one two 3" {
			t.Errorf("texts %q", texts)
		}
		if u.Input != 15 || u.Output != 21 || u.Estimated || r.Usage == nil || r.Usage.Output != 21 {
			t.Errorf("stream %v: usage %+v, the client's %+v", stream, u, r.Usage)
		}
		_ = resp.Close()
		_ = resp.Close()
		http.DefaultClient.CloseIdleConnections()
		settle(t, before+3) // connections that the vendor's server keeps
	}
}

// One that fails fails all, and the others are called off.
func TestSeveralFail(t *testing.T) {
	var calls, left atomic.Int32
	send := lineTo(t, "anthropic", "claude-x", func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 2 {
			w.WriteHeader(500)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		left.Add(1)
	})
	before := runtime.NumGoroutine()
	_, err := send(context.Background(), request(t, llm.ProtoOpenAI, llm.OpChat, three+`}`))
	if e := llm.AsError(err); e.Kind != llm.KindUpstream || e.Status != 500 {
		t.Errorf("got %v", err)
	}
	settle(t, before+1) // the vendor's server keeps the connection of the one that it answered
	if left.Load()+1 != calls.Load() {
		t.Errorf("%d of %d calls were called off", left.Load(), calls.Load())
	}
}

// One that breaks off in the middle does so for all.
func TestSeveralBreak(t *testing.T) {
	var calls, left atomic.Int32
	send := lineTo(t, "anthropic", "claude-x", func(w http.ResponseWriter, r *http.Request) {
		n, words := calls.Add(1), 0
		_, _ = io.Copy(io.Discard, r.Body)
		streamed(w, "end_turn", func() bool {
			if words++; words < 3 {
				return true
			}
			if n != 2 {
				<-r.Context().Done()
				left.Add(1)
			}
			return false
		}, "one ", "two ", "three")
	})
	before := runtime.NumGoroutine()
	resp, err := send(context.Background(), request(t, llm.ProtoOpenAI, llm.OpChat, three+`,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := lawful(t, resp)
	if e := llm.AsError(err); err == io.EOF || e.Kind != llm.KindUpstream {
		t.Errorf("got %+v, end %v", r, err)
	}
	_ = resp.Close()
	settle(t, before+1)
	if left.Load() != 2 {
		t.Errorf("%d calls were called off", left.Load())
	}
}

// A client that leaves in the middle, or before the first word, ends all calls.
func TestSeveralLeft(t *testing.T) {
	for _, early := range []bool{true, false} {
		var left atomic.Int32
		var asked sync.WaitGroup
		asked.Add(3)
		send := lineTo(t, "anthropic", "claude-x", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if early {
				asked.Done()
				<-r.Context().Done()
			} else {
				streamed(w, "end_turn", func() bool { asked.Done(); <-r.Context().Done(); return false }, "one")
			}
			left.Add(1)
		})
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(context.Background())
		go func() { asked.Wait(); cancel() }()
		resp, err := send(ctx, request(t, llm.ProtoOpenAI, llm.OpChat, three+`,"stream":true}`))
		if err == nil {
			_, _, err = lawful(t, resp)
			_ = resp.Close()
		}
		if err == io.EOF || !errors.Is(err, context.Canceled) && llm.AsError(err).Kind == llm.KindInternal {
			t.Errorf("got %v", err)
		}
		cancel()
		settle(t, before)
		if left.Load() != 3 {
			t.Errorf("%d calls ended", left.Load())
		}
	}
}

// What an answer says that the client cannot be told is told of each, and may
// be asked for while the answers come.
func TestSeveralLosses(t *testing.T) {
	for _, n := range []int{1, 3} {
		send := lineTo(t, "anthropic", "claude-x", func(w http.ResponseWriter, r *http.Request) {
			streamed(w, "a_new_reason", func() bool { return true }, "one")
		})
		body := strings.Replace(three, `"n":3`, fmt.Sprintf(`"n":%d,"seed":1`, n), 1) + `,"stream":true}`
		resp, err := send(context.Background(), request(t, llm.ProtoOpenAI, llm.OpChat, body))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = resp.Next()
			_ = resp.Lossy()
		}
		if got := fmt.Sprint(resp.Lossy()); got != "[seed stop_reason]" {
			t.Errorf("n = %d: lost %s", n, got)
		}
		_ = resp.Close()
	}
}

// More calls than a request may cause are refused before the first.
func TestSeveralBound(t *testing.T) {
	send := lineTo(t, "anthropic", "claude-x", func(http.ResponseWriter, *http.Request) { t.Error("the vendor was asked") })
	_, err := send(context.Background(), request(t, llm.ProtoOpenAI, llm.OpChat, strings.Replace(three, `"n":3`, `"n":17`, 1)+`}`))
	if e := llm.AsError(err); e.HTTPStatus() != 400 || e.Param != "n" {
		t.Errorf("got %v", err)
	}
}

// count asks for a count and returns it.
func count(t *testing.T, send asker, req *llm.Request) (n int64, lost []string, err error) {
	t.Helper()
	resp, err := send(context.Background(), req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Close()
	c, err := resp.Next()
	if err != nil {
		return 0, nil, err
	}
	if c.Usage == nil || *c.Usage != (llm.Usage{}) {
		t.Errorf("counting cost %+v", c.Usage)
	}
	if resp.Lossy != nil {
		lost = resp.Lossy()
	}
	if c.Events == nil {
		var v map[string]any
		if err := json.Unmarshal(c.Raw, &v); err != nil {
			t.Fatal(err)
		}
		f, _ := v["input_tokens"].(float64)
		return int64(f), lost, nil
	}
	return c.Events[0].Usage.Input, lost, nil
}

const countBody = `{"model":"m","messages":[{"role":"user","content":"Hello, how many are these?"}]}`

// Tokens are counted by the vendor where it can, in whichever protocol, else
// estimated, which is said; a vendor that lost its way is no reason to fail.
func TestCount(t *testing.T) {
	for _, c := range []struct {
		row, path string
		status    int
		answer    string
		want      int64
		lost      bool
	}{
		{"anthropic", "/v1/messages/count_tokens", 200, `{"input_tokens":11}`, 11, false},
		{"gemini", "/v1beta/models/m:countTokens", 200, `{"totalTokens":12}`, 12, false},
		{"openai", "/v1/responses/input_tokens", 200, `{"object":"response.input_tokens","input_tokens":13}`, 13, false},
		{"groq", "", 0, "", 20, true},
		{"cohere", "", 0, "", 20, true},
		{"anthropic", "/v1/messages/count_tokens", 404, `{"type":"error","error":{"type":"not_found_error","message":"no such path"}}`, 20, true},
		{"anthropic", "/v1/messages/count_tokens", 405, `{}`, 20, true},
		{"openai", "/v1/responses/input_tokens", 404, `404 page not found`, 20, true},
		{"openai", "/v1/responses/input_tokens", 501, ``, 20, true},
		{"gemini", "/v1beta/models/m:countTokens", 404, `{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}`, 20, true},
	} {
		path := ""
		send := lineTo(t, c.row, "m", func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		})
		req := request(t, llm.ProtoAnthropic, llm.OpCount, countBody)
		n, lost, err := count(t, send, req)
		near := n == c.want || c.lost && n > 10 && n < 40
		if err != nil || !near || (len(lost) > 0) != c.lost || path != c.path {
			t.Errorf("%s, status %d: %d tokens, lost %v, asked %q (%v)", c.row, c.status, n, lost, path, err)
		}
		req = request(t, llm.ProtoAnthropic, llm.OpCount, countBody)
		req.Strict = true
		if _, _, err = count(t, send, req); (err != nil) != c.lost {
			t.Errorf("%s, status %d, strict: %v", c.row, c.status, err)
		}
	}
}

// Other failures of a count are failures, so that another target may be asked.
func TestCountFails(t *testing.T) {
	for status, want := range map[int]llm.Kind{400: llm.KindCaller, 401: llm.KindCredential, 429: llm.KindRateLimited, 500: llm.KindUpstream} {
		send := lineTo(t, "anthropic", "m", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) })
		if _, _, err := count(t, send, request(t, llm.ProtoOpenAI, llm.OpCount, countBody)); llm.AsError(err).Kind != want {
			t.Errorf("status %d: %v", status, err)
		}
	}
	send := lineTo(t, "gemini", "m", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"totalTokens":"many"}`)
	})
	if _, _, err := count(t, send, request(t, llm.ProtoAnthropic, llm.OpCount, countBody)); llm.AsError(err).Kind != llm.KindUpstream {
		t.Errorf("a count that is none: %v", err)
	}
}

// What of a request's header reaches a vendor: of the client's all that is no
// credential and not the gateway's, and what one vendor alone understands only
// where it is that one's protocol.
func TestHeadersTravel(t *testing.T) {
	sent := []string{
		"Anthropic-Beta", "b1,b2", "X-Goog-User-Project", "p", "Openai-Beta", "o", "X-Claude-Code-Session-Id", "s", "X-Amz-Security-Token", "t", "User-Agent", "cli/1", "X-Custom", "c",
		"Anthropic-Version", "2026-10-21", "X-Sluice-Key", "k", "Authorization", "Bearer k", "X-Api-Key", "k", "Api-Key", "k", "X-Goog-Api-Key", "k", "Cookie", "c", "X-Forwarded-For", "1", "Via", "v",
		"X-Stainless-Lang", "go", "Openai-Organization", "org", "Connection", "X-Hop", "X-Hop", "1", "Accept-Encoding", "gzip", "Sec-Fetch-Mode", "cors",
	}
	never := []string{"X-Sluice-Key", "Cookie", "X-Forwarded-For", "Via", "X-Stainless-Lang", "Openai-Organization", "X-Hop", "Sec-Fetch-Mode", "Connection", "X-Amz-Security-Token"}
	for _, c := range []struct {
		row   string
		proto llm.Proto
		own   map[string]string
		auth  string
	}{
		{"anthropic", llm.ProtoAnthropic, map[string]string{"Anthropic-Beta": "b1,b2", "Anthropic-Version": "2026-10-21", "X-Claude-Code-Session-Id": "s"}, "X-Api-Key: vendor-key"},
		{"anthropic", llm.ProtoOpenAI, map[string]string{"Anthropic-Version": "2023-06-01"}, "X-Api-Key: vendor-key"},
		{"openai", llm.ProtoAnthropic, nil, "Authorization: Bearer vendor-key"},
		{"openai", llm.ProtoOpenAI, map[string]string{"Openai-Beta": "o"}, "Authorization: Bearer vendor-key"},
		{"gemini", llm.ProtoGemini, map[string]string{"X-Goog-User-Project": "p"}, "X-Goog-Api-Key: vendor-key"},
		{"gemini", llm.ProtoAnthropic, nil, "X-Goog-Api-Key: vendor-key"},
		{"cohere", llm.ProtoOpenAI, nil, "Authorization: Bearer vendor-key"},
	} {
		var got http.Header
		send := lineTo(t, c.row, "m", func(w http.ResponseWriter, r *http.Request) {
			got = r.Header
			w.WriteHeader(500)
		})
		body := `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}`
		if c.proto == llm.ProtoGemini {
			body = `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`
		}
		_, _ = send(context.Background(), request(t, c.proto, llm.OpChat, body, sent...))
		where := c.proto.String() + " to " + c.row
		for i := 0; i < len(sent); i += 2 {
			name := sent[i]
			own := owner(name) != 0 && name != "X-Goog-Api-Key"
			if want := c.own[name]; own && got.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", where, name, got.Get(name), want)
			}
		}
		for _, name := range never {
			if got.Get(name) != "" {
				t.Errorf("%s: %s: %s was sent", where, name, got.Get(name))
			}
		}
		if got.Get("User-Agent") != "cli/1" || got.Get("X-Custom") != "c" {
			t.Errorf("%s: header %v", where, got)
		}
		name, value, _ := strings.Cut(c.auth, ": ")
		for _, secret := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
			if secret == name && got.Get(name) != value || secret != name && got.Get(secret) != "" {
				t.Errorf("%s: %s is %q", where, secret, got.Get(secret))
			}
		}
	}
}

func ownKey(s *Settings) { s.Client = true }

// A client's own credential travels as it came to a vendor of its protocol, and
// in the vendor's own header to others; without one nobody is asked.
func TestOwnCredential(t *testing.T) {
	bearer := llm.Credential{Header: "Authorization", Value: "Bearer sk-own", Secret: "sk-own"}
	key := llm.Credential{Header: "X-Api-Key", Value: "sk-own", Secret: "sk-own"}
	for _, c := range []struct {
		row   string
		proto llm.Proto
		cred  llm.Credential
		want  string
	}{
		{"anthropic", llm.ProtoAnthropic, bearer, "Authorization: Bearer sk-own"},
		{"anthropic", llm.ProtoAnthropic, key, "X-Api-Key: sk-own"},
		{"anthropic", llm.ProtoOpenAI, bearer, "X-Api-Key: sk-own"},
		{"openai", llm.ProtoOpenAI, bearer, "Authorization: Bearer sk-own"},
		{"openai", llm.ProtoAnthropic, key, "Authorization: Bearer sk-own"},
		{"gemini", llm.ProtoOpenAI, bearer, "X-Goog-Api-Key: sk-own"},
		{"azure", llm.ProtoAnthropic, key, "Api-Key: sk-own"},
	} {
		var got http.Header
		send := lineTo(t, c.row, "m", func(w http.ResponseWriter, r *http.Request) {
			got = r.Header
			w.WriteHeader(500)
		}, ownKey)
		for _, cred := range []llm.Credential{c.cred, {}} {
			got = nil
			req := request(t, c.proto, llm.OpChat, `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}`)
			req.Credential = cred
			_, err := send(context.Background(), req)
			if cred.Secret == "" {
				if e := llm.AsError(err); got != nil || e.HTTPStatus() != 401 || !strings.Contains(e.Message, "x-sluice-key") {
					t.Errorf("%s to %s without a credential: asked %v, %v", c.proto, c.row, got != nil, err)
				}
				continue
			}
			name, value, _ := strings.Cut(c.want, ": ")
			for _, secret := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
				if secret == name && got.Get(name) != value || secret != name && got.Get(secret) != "" {
					t.Errorf("%s to %s: %s is %q", c.proto, c.row, secret, got.Get(secret))
				}
			}
		}
	}
}

// What a vendor says of a client's own credential is the client's: it reaches
// that client, in its protocol, and nobody else is made to wait for it. A
// vendor that is overloaded is so for all.
func TestOwnCredentialRefused(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   llm.Kind
		code   int
	}{
		{401, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, llm.KindCaller, 401},
		{402, `{"type":"error","error":{"type":"billing_error","message":"pay"}}`, llm.KindCaller, 402},
		{403, `{"type":"error","error":{"type":"permission_error","message":"no"}}`, llm.KindCaller, 403},
		{429, `{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}`, llm.KindCaller, 429},
		{429, `<html>slow</html>`, llm.KindCaller, 429},
		{401, ``, llm.KindCaller, 401},
		{529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, llm.KindRateLimited, 429},
		{500, ``, llm.KindUpstream, 502},
	} {
		send := lineTo(t, "anthropic", "m", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}, ownKey)
		for _, p := range []llm.Proto{llm.ProtoAnthropic, llm.ProtoOpenAI, llm.ProtoGemini} {
			body := `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}`
			if p == llm.ProtoGemini {
				body = `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`
			}
			req := request(t, p, llm.OpChat, body)
			req.Credential = llm.Credential{Header: "X-Api-Key", Value: "sk-own", Secret: "sk-own"}
			_, err := send(context.Background(), req)
			e := llm.AsError(err)
			if e.Kind != c.kind || e.HTTPStatus() != c.code {
				t.Errorf("%s, vendor's %d: %v, status %d", p, c.status, e, e.HTTPStatus())
			}
			if c.status == 429 && e.RetryAfter != 7*time.Second {
				t.Errorf("%s: retry after %v", p, e.RetryAfter)
			}
			if e.Raw != nil && !json.Valid(e.Raw) {
				t.Errorf("%s, vendor's %d: passes %q", p, c.status, e.Raw)
			}
			if strings.Contains(e.Error(), "sk-own") {
				t.Errorf("the error tells the credential: %v", e)
			}
			envelope := string(protocol.Of(p).Client.AppendError(nil, "req-1", e))
			want := map[llm.Proto]map[int]string{
				llm.ProtoAnthropic: {401: "authentication_error", 402: "billing_error", 403: "permission_error", 429: "rate_limit_error"},
				llm.ProtoOpenAI:    {401: "invalid_api_key", 402: "insufficient_quota", 403: "invalid_request", 429: "rate_limit_exceeded"},
				llm.ProtoGemini:    {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"},
			}[p][c.status]
			if c.kind == llm.KindCaller && !strings.Contains(envelope, want) {
				t.Errorf("vendor's %d in %s: %s, want %s", c.status, p, envelope, want)
			}
		}
	}
}

// A signature that cannot be made is no reason to ask the vendor, and another
// target may be; nor is it one to rest for as long as a credential that was
// refused, since the next token may come in a second.
func TestSignerFails(t *testing.T) {
	broken := errors.New("no token at http://10.0.0.1/secret")
	send := lineTo(t, "bedrock", "m", func(http.ResponseWriter, *http.Request) { t.Error("the vendor was asked") }, func(s *Settings) { s.Signer = failSign{broken} })
	_, err := send(context.Background(), request(t, llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[{"role":"user","content":"Hello"}]}`))
	e := llm.AsError(err)
	if e.Next() != llm.StepNext || e.Kind != llm.KindConnect || !errors.Is(e, broken) || strings.Contains(e.Message, "10.0.0.1") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := send(ctx, request(t, llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[{"role":"user","content":"Hello"}]}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left: %v", err)
	}
}

type failSign struct{ err error }

func (f failSign) Sign(context.Context, *http.Request, []byte) error { return f.err }

// x-sluice-strict asks nobody who cannot be told everything, and says so in a
// way that lets another target be asked.
func TestStrict(t *testing.T) {
	send := lineTo(t, "anthropic", "m", func(http.ResponseWriter, *http.Request) { t.Error("the vendor was asked") })
	req := request(t, llm.ProtoOpenAI, llm.OpChat, `{"model":"m","seed":1,"messages":[{"role":"user","content":"Hello"}]}`)
	req.Strict = true
	_, err := send(context.Background(), req)
	if e := llm.AsError(err); e.Kind != llm.KindUnsupported || e.Param != "seed" || e.Next() != llm.StepNext {
		t.Errorf("got %v", err)
	}
}

// A session carries the vendor's credential as calls do: the client's own, a
// token of the cloud's; and none is opened without.
func TestSessionCredential(t *testing.T) {
	var got http.Header
	script := func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.WriteHeader(500)
	}
	ask := func(send asker, own llm.Credential) error {
		req := request(t, llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[]}`)
		req.Op, req.Credential, got = llm.OpRealtime, own, nil
		_, err := send(context.Background(), req)
		return err
	}
	own := llm.Credential{Header: "Authorization", Value: "Bearer sk-own", Secret: "sk-own"}
	send := lineTo(t, "openai", "m", script, ownKey)
	if err := ask(send, own); got.Get("Authorization") != "Bearer sk-own" {
		t.Errorf("the client's own: header %v, %v", got, err)
	}
	if err := ask(send, llm.Credential{}); got != nil || llm.AsError(err).HTTPStatus() != 401 {
		t.Errorf("without it: header %v, %v", got, err)
	}
	send = lineTo(t, "azure", "m", script, func(s *Settings) { s.Signer = stamp{} })
	if err := ask(send, llm.Credential{}); got.Get("Authorization") != "Bearer token" {
		t.Errorf("a signer's: header %v, %v", got, err)
	}
	send = lineTo(t, "azure", "m", script, func(s *Settings) { s.Signer = failSign{errors.New("no token")} })
	if err := ask(send, llm.Credential{}); got != nil || llm.AsError(err).Next() != llm.StepNext {
		t.Errorf("a signer that fails: header %v, %v", got, err)
	}
}

type stamp struct{}

func (stamp) Sign(_ context.Context, r *http.Request, _ []byte) error {
	r.Header.Set("Authorization", "Bearer token")
	return nil
}

// What a vendor is told beside the body is in its header, not in the client's.
func TestCallHeader(t *testing.T) {
	told := make(chan string, 1)
	send := lineTo(t, "vertex", "gemini-2.5-pro", func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header.Get("X-Vertex-AI-LLM-Shared-Request-Type") + " " + r.Header.Get("X-Mine")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"candidates":[{"content":{"parts":[{"text":"x"}],"role":"model"},"finishReason":"STOP"}]}`)
	})
	req := request(t, llm.ProtoOpenAI, llm.OpChat, `{"model":"m","service_tier":"flex","messages":[{"role":"user","content":"hi"}]}`, "X-Mine", "1")
	resp, err := send(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	if got := <-told; got != "flex 1" || len(req.Header) != 1 {
		t.Errorf("the vendor was told %q, the client's header is %v", got, req.Header)
	}
}
