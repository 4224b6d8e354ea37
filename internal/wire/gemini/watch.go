package gemini

import (
	"bytes"
	"errors"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

var (
	keyError      = []byte(`"error"`)
	keyUsage      = []byte(`"usageMetadata"`)
	keyFinish     = []byte(`"finishReason"`)
	keyText       = []byte(`"text"`)
	keyCandidates = []byte(`"candidates"`)
	keyFeedback   = []byte(`"promptFeedback"`)
	keyBlock      = []byte(`"blockReason"`)
	keyQueries    = []byte(`"webSearchQueries"`)
)

// watcher looks at a stream without changing it.
type watcher struct {
	want      int
	finished  [maxAnswers]bool
	count     int // answers that have finished
	blocked   bool
	content   bool
	usage     llm.Usage
	counted   bool
	delivered int64 // output tokens seen so far, estimated
	searches  int64
}

// Watch begins to look at a streamed answer that goes to a client of this
// protocol as it came. The protocol has no last event: the answer is whole
// when every candidate has a finish reason and the stream ends cleanly.
func Watch(req *llm.Request) wire.Watcher { return &watcher{want: max(1, req.N)} }

// Event looks at one event. See wire.Watcher.
func (w *watcher) Event(ev []byte) (wire.Look, *llm.Error) {
	data, ok := sse.Data(ev)
	if data = bytes.TrimSpace(data); !ok || len(data) == 0 {
		return wire.Look{}, nil // a comment
	}
	if bytes.Contains(data, keyError) {
		if v := scan.Get(data, "error"); !scan.Null(v) {
			return wire.Look{Data: true}, fault(v)
		}
	}
	n := 0
	for v := scan.After(data, keyText); v != nil; v = scan.After(v, keyText) {
		if len(v) > 2 && v[0] == '"' {
			n += scan.TextLen(v)
		}
	}
	if n == 0 && !w.content || bytes.Contains(data, keyFinish) || bytes.Contains(data, keyFeedback) {
		for rest := data; len(rest) > 0; { // more than one where somebody lost the blank lines
			end, err := scan.End(rest)
			if err != nil {
				break
			}
			n += w.look(rest[:end])
			rest = bytes.TrimSpace(rest[end:])
		}
	}
	w.delivered += int64(n+3) / 4
	w.content = w.content || n > 0
	if bytes.Contains(data, keyQueries) {
		w.searches = max(w.searches, searches(data))
	}
	for v := scan.After(data, keyUsage); len(v) > 0; v = scan.After(v, keyUsage) {
		if u, ok := ParseUsage(v); ok {
			w.usage, w.counted = u, true
		}
	}
	return wire.Look{Data: true, Content: w.content || w.count > 0 || w.blocked}, nil
}

// look finds finish reasons and what a user would see beside text. It returns
// that in bytes.
func (w *watcher) look(data []byte) (n int) {
	if v := scan.After(scan.Get(data, "promptFeedback"), keyBlock); len(v) > 2 {
		w.blocked = true
	}
	_ = scan.Elements(scan.Get(data, "candidates"), func(c []byte) bool {
		if f := scan.Get(c, "finishReason"); !scan.Null(f) && string(f) != "0" && string(f) != `""` {
			at, _ := scan.Int(scan.Get(c, "index"))
			if at >= 0 && at < maxAnswers && !w.finished[at] {
				w.finished[at] = true
				w.count++
			}
		}
		_ = scan.Elements(scan.Get(scan.Get(c, "content"), "parts"), func(p []byte) bool {
			for _, name := range [...]string{"functionCall", "inlineData", "executableCode", "codeExecutionResult"} {
				n += len(scan.Get(p, name))
			}
			return true
		})
		return true
	})
	return n
}

// searches counts the queries of the first grounding in data.
func searches(data []byte) (n int64) {
	_ = scan.Elements(scan.Get(data, "candidates"), func(c []byte) bool {
		_ = scan.Elements(scan.Get(scan.Get(c, "groundingMetadata"), "webSearchQueries"), func([]byte) bool { n++; return true })
		return n == 0
	})
	return n
}

// Usage is the count so far. Early chunks count the prompt alone. See
// wire.Watcher.
func (w *watcher) Usage() llm.Usage {
	u := w.usage
	if u.Output == 0 && w.delivered > 0 || !w.counted {
		u.Output, u.Estimated = w.delivered, true
	}
	u.Searches = w.searches
	return u
}

// End tells whether the answer was whole. See wire.Watcher.
func (w *watcher) End() ([]byte, bool) { return nil, w.blocked || w.count >= w.want }

// Inspect looks at a whole answer that goes to a client of this protocol as
// it came: whether it is one, and its usage, nil if it has none.
func Inspect(op llm.Op, body []byte) (*llm.Usage, *llm.Error) {
	body = bytes.TrimSpace(body)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return nil, misread(errors.New("no JSON object"))
	}
	known := scan.After(body, keyCandidates) != nil || scan.After(body, keyFeedback) != nil
	if op.Embeds() {
		known = scan.Get(body, "embedding") != nil || scan.Get(body, "embeddings") != nil
	}
	if !known {
		if v := scan.Get(body, "error"); !scan.Null(v) {
			return nil, fault(v)
		}
		return nil, misread(errors.New("an object that is no answer"))
	}
	u, ok := ParseUsage(scan.Get(body, "usageMetadata"))
	if !ok {
		return nil, nil
	}
	if bytes.Contains(body, keyQueries) {
		u.Searches = searches(body)
	}
	return &u, nil
}
