package blackbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// exchange is a row of the recordings' index.
type exchange struct {
	Case     string `json:"case"`
	Provider string `json:"provider"`
	API      string `json:"api"`
	Stream   bool   `json:"stream"`
	Status   int    `json:"status"`
	Response string `json:"response"`
	Request  bool   `json:"request"`
}

// recordings reads the index of the recorded exchanges.
func recordings(t *testing.T) (dir string, all []exchange) {
	t.Helper()
	dir = filepath.Join(dataDir(t), "wire")
	f, err := os.Open(filepath.Join(dir, "index.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var e exchange
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("index.jsonl: %v", err)
		}
		all = append(all, e)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return dir, all
}

// recording is a stream as it was recorded, and what a client may expect.
type recording struct {
	name     string
	body     []byte
	events   [][]byte // with their blank lines
	finished bool     // some choice has a finish reason
	done     bool     // it ends with [DONE]
	failed   bool     // it holds an error
}

// splitEvents cuts a stream after each blank line, whatever ends its lines;
// what follows the last one is an event without its end.
func splitEvents(b []byte) (events [][]byte) {
	start, line := 0, 0
	for i := 0; i < len(b); i++ {
		if b[i] != '\n' && b[i] != '\r' {
			continue
		}
		empty := i == line
		if b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n' {
			i++
		}
		line = i + 1
		if empty {
			events = append(events, b[start:line])
			start = line
		}
	}
	if len(bytes.TrimSpace(b[start:])) > 0 {
		events = append(events, b[start:])
	}
	return events
}

// payload is an event's data, nil if it has none.
func payload(event []byte) []byte {
	if d := datas(event); len(d) > 0 {
		return []byte(d[0])
	}
	return nil
}

// streamed is what a test reads in a chunk.
type streamed struct {
	Choices []struct {
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Error json.RawMessage `json:"error"`
	Usage json.RawMessage `json:"usage"`
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func newRecording(name string, body []byte) (*recording, bool) {
	r := &recording{name: name, body: body, events: splitEvents(body)}
	chunks := 0
	for _, e := range r.events {
		d := payload(e)
		if strings.TrimSpace(string(d)) == "[DONE]" {
			r.done = true
			break
		}
		var c streamed
		if d == nil || json.Unmarshal(d, &c) != nil {
			continue
		}
		if c.Choices != nil {
			chunks++
		}
		for _, x := range c.Choices {
			r.finished = r.finished || x.FinishReason != nil && *x.FinishReason != ""
		}
		if present(c.Error) {
			r.failed = true
			break
		}
	}
	return r, chunks > 0
}

// want is the bytes that a client receives. usage: it asked for the usage
// event. ok is false when the stream must end with an error.
func (r *recording) want(usage bool) (want []byte, ok bool) {
	for _, e := range r.events {
		d := payload(e)
		if strings.TrimSpace(string(d)) == "[DONE]" {
			return append(want, e...), true
		}
		var c streamed
		if json.Unmarshal(d, &c) == nil {
			if present(c.Error) {
				return want, false
			}
			if !usage && c.Choices != nil && len(c.Choices) == 0 && present(c.Usage) {
				continue
			}
		}
		want = append(want, e...)
	}
	if !r.finished {
		return want, false
	}
	return append(want, "data: [DONE]\n\n"...), true
}

// chatStreams are the recorded streams of the OpenAI chat protocol.
func chatStreams(t *testing.T) []*recording {
	t.Helper()
	dir, all := recordings(t)
	var out []*recording
	for _, x := range all {
		if x.API != "chat" || !x.Stream || x.Status != http.StatusOK || filepath.Ext(x.Response) != ".sse" || x.Provider == "cohere" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, x.Case, x.Response))
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := newRecording(x.Case, b); ok {
			out = append(out, r)
		}
	}
	if len(out) < 300 {
		t.Fatalf("recorded chat streams: got %d, want at least 300", len(out))
	}
	return out
}

// Every recorded stream arrives whole, whatever reads it comes in.
func TestReplayStreams(t *testing.T) {
	t.Parallel()
	streams := chatStreams(t)
	byName := map[string]*recording{}
	for _, r := range streams {
		byName[r.name] = r
	}
	v := newVendor(t, func(c *call) { replay(c, byName[c.header.Get("X-Test-Case")]) })
	g := serve(t, "log: {level: error}\nbreaker: {failures: 0, success_rate: 0}\nretry: {attempts: 1}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	work := make(chan *recording)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for r := range work {
				for _, usage := range []bool{false, true} {
					if err := compare(g, r, usage); err != nil {
						t.Errorf("%s, usage asked %v: %v", r.name, usage, err)
					}
				}
			}
		})
	}
	for _, r := range streams {
		work <- r
	}
	close(work)
	wg.Wait()
	t.Logf("%d streams, each with and without usage asked for", len(streams))
}

// replay serves a recording cut at offsets that its name draws.
func replay(c *call, r *recording) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.name))
	rnd := rand.New(rand.NewPCG(h.Sum64(), uint64(c.n%2)))
	c.begin()
	most := 1 << (3 + rnd.IntN(10)) // from single bytes to 4 KiB
	if most < 256 && len(r.body) > 20_000 {
		most = 256 // single bytes of large streams take long and show no more
	}
	for b := r.body; len(b) > 0; {
		n := min(len(b), 1+rnd.IntN(most))
		c.raw(string(b[:n]))
		b = b[n:]
	}
	c.end()
}

func compare(g *gateway, r *recording, usage bool) error {
	body := `{"model":"a","stream":true,` + hello + `}`
	if usage {
		body = `{"model":"a","stream":true,"stream_options":{"include_usage":true},` + hello + `}`
	}
	got, err := try(http.MethodPost, g.url+"/v1/chat/completions", body, "X-Test-Case", r.name)
	if err != nil {
		return err
	}
	want, ok := r.want(usage)
	if got.err != nil {
		return fmt.Errorf("the body broke off: %w", got.err)
	}
	if ok {
		if err := sameStream(got.body, want); err != nil {
			return fmt.Errorf("status %d, %w", got.status, err)
		}
		if n := strings.Count(string(got.body), "[DONE]"); n != 1 {
			return fmt.Errorf("[DONE] %d times, want once", n)
		}
		return nil
	}
	if strings.Contains(string(got.body), "[DONE]") {
		return fmt.Errorf("[DONE] at the end of a broken stream: %s", tail(string(got.body), 300))
	}
	if got.status != http.StatusOK { // nothing of it was content
		if e := got.code(); e == "" {
			return fmt.Errorf("status %d without an error's code: %s", got.status, tail(string(got.body), 300))
		}
		return nil
	}
	data, _ := partData(got.body)
	want, _ = partData(want)
	if !bytes.HasPrefix(data, want) {
		return fmt.Errorf("before the error: %s", difference(data, want))
	}
	if rest := data[len(want):]; !bytes.HasPrefix(rest, []byte(`data: {"error":{"message":`)) || bytes.Count(rest, []byte("data:")) != 1 {
		return fmt.Errorf("end: got %q, want one error event", rest)
	}
	return nil
}

// sameStream compares streams byte for byte. What follows the last blank line
// is given one, and comments before the first content may be left out.
func sameStream(got, want []byte) error {
	gotData, gotRest := partData(got)
	wantData, wantRest := partData(want)
	if !bytes.Equal(gotData, wantData) && !bytes.Equal(gotData, append(bytes.TrimRight(wantData, "\r\n"), "\n\n"...)) {
		return fmt.Errorf("%s", difference(gotData, wantData))
	}
	if !bytes.HasSuffix(wantRest, gotRest) {
		return fmt.Errorf("comments: %s", difference(gotRest, wantRest))
	}
	return nil
}

// partData separates the events with data from comments and blank lines.
func partData(b []byte) (data, rest []byte) {
	for _, e := range splitEvents(b) {
		if payload(e) != nil {
			data = append(data, e...)
		} else {
			rest = append(rest, e...)
		}
	}
	return data, rest
}

// difference shows where two texts part.
func difference(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	cut := func(b []byte) []byte { return b[max(0, min(len(b), i)-60):min(len(b), i+160)] }
	return fmt.Sprintf("%d bytes against %d, they part at %d: got …%q, want …%q", len(got), len(want), i, cut(got), cut(want))
}
