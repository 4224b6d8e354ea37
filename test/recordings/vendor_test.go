package recordings

import (
	"encoding/json"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The headers that tell the replaying vendor what to do; clients' headers
// travel.
const (
	headerCase = "X-Test-Case" // which exchange
	headerCall = "X-Test-Call" // names a call whose body is wanted
	headerForm = "X-Test-Form" // the protocol of a made-up answer; "": the recorded one
)

// vendor replays recorded answers.
type vendor struct {
	*httptest.Server
	cases map[string]*exchange

	mu   sync.Mutex
	seen map[string]*seen
}

// seen is what a vendor was asked.
type seen struct {
	path string
	body []byte
}

func newVendor(t *testing.T, all []*exchange) *vendor {
	v := &vendor{cases: map[string]*exchange{}, seen: map[string]*seen{}}
	for _, x := range all {
		v.cases[x.Case] = x
	}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if id := r.Header.Get(headerCall); id != "" {
		v.mu.Lock()
		v.seen[id] = &seen{r.URL.Path, body}
		v.mu.Unlock()
	}
	if form := r.Header.Get(headerForm); form != "" {
		makeUp(w, form, strings.Contains(r.URL.Path, "tream") || asksStream(body))
		return
	}
	x := v.cases[r.Header.Get(headerCase)]
	if x == nil {
		http.Error(w, `{"error":{"message":"no such recording"}}`, http.StatusTeapot)
		return
	}
	x.replay(w)
}

// taken returns what the call asked, nil if it did not come.
func (v *vendor) taken(id string) *seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.seen[id]
	delete(v.seen, id)
	return s
}

func asksStream(body []byte) bool {
	var v struct{ Stream bool }
	_ = json.Unmarshal(body, &v)
	return v.Stream
}

// kept are the vendors' headers that mean something.
var kept = []string{"retry-after", "retry-after-ms", "x-amzn-errortype", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens", "x-request-id"}

// replay answers as it was recorded, cut at offsets that its name draws. What
// was recorded without its framing is framed as its protocol does.
func (x *exchange) replay(w http.ResponseWriter) {
	for name, value := range x.head.Response {
		for _, k := range kept {
			if strings.EqualFold(name, k) && !strings.Contains(value, "REDACTED") {
				w.Header().Set(k, value)
			}
		}
	}
	body, kind := x.wire()
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(x.Status)
	if x.Status != http.StatusOK || kind == "application/json" {
		_, _ = w.Write(body)
		return
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(x.Case))
	rnd := rand.New(rand.NewPCG(h.Sum64(), 1))
	most := max(1<<(3+rnd.IntN(10)), len(body)/100) // from single bytes to 4 KiB; at most some 200 pieces
	flush := w.(http.Flusher)
	for len(body) > 0 {
		n := min(len(body), 1+rnd.IntN(most))
		if _, err := w.Write(body[:n]); err != nil {
			return
		}
		flush.Flush()
		body = body[n:]
	}
}

// wire is the answer's body and content type as its vendor sends it.
func (x *exchange) wire() (body []byte, kind string) {
	list, streamed := x.pieces()
	if x.Status >= 400 || !streamed {
		return x.response, "application/json"
	}
	s := x.shape()
	switch {
	case s == shapeBedrock:
		if list[0].name == "" { // lines, or events of InvokeModel's frames
			for _, p := range list {
				var line map[string]json.RawMessage
				if json.Unmarshal(p.data, &line) != nil {
					continue
				}
				for name, data := range line {
					body = frame(body, name, data)
				}
			}
			return body, "application/vnd.amazon.eventstream"
		}
		return x.response, "application/vnd.amazon.eventstream"
	case filepath.Ext(x.Response) == ".sse" && !unspaced(x.response):
		return x.response, "text/event-stream"
	case s == shapeOllama:
		return x.response, "application/x-ndjson"
	}
	for _, p := range list { // an array, or events in other frames
		var v struct{ Type string }
		if _ = json.Unmarshal(p.data, &v); s == shapeAnthropic {
			body = append(body, "event: "+v.Type+"\n"...)
		}
		body = append(append(append(body, "data: "...), p.data...), "\n\n"...)
	}
	return body, "text/event-stream"
}
