package anthropic

import (
	"bytes"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// watcher looks at a stream that goes to a client of the protocol as it came.
type watcher struct {
	usage     counts
	counted   bool // the vendor's last count has come
	stopped   bool // the stop reason has come
	done      bool
	delivered int64 // tokens seen so far, estimated
	prompt    int64 // estimated
}

// Watch begins to look at a streamed answer to req.
func Watch(req *llm.Request) wire.Watcher { return &watcher{prompt: req.InputTokens()} }

var (
	keyText     = []byte(`"text"`)
	keyThinking = []byte(`"thinking"`)
	keyPartial  = []byte(`"partial_json"`)
	keyStop     = []byte(`"stop_reason"`)
)

// Event looks at one event.
func (w *watcher) Event(ev []byte) (wire.Look, *llm.Error) {
	data, ok := sse.Data(ev)
	data = bytes.TrimSpace(data)
	if !ok || len(data) == 0 {
		return wire.Look{}, nil
	}
	if w.done {
		return wire.Look{Data: true, Hidden: true}, nil
	}
	look := wire.Look{Data: true}
	switch string(scan.Get(data, "type")) {
	case `"content_block_delta"`:
		n := visible(data)
		w.delivered += int64(n+3) / 4
		look.Content = n > 0
	case `"content_block_start"`:
		look.Content = begins(scan.Get(data, "content_block"))
	case `"message_start"`:
		w.usage.add(scan.Get(scan.Get(data, "message"), "usage"))
	case `"message_delta"`:
		if w.usage.add(scan.Get(data, "usage")) {
			w.counted = true
		}
		if v := scan.After(data, keyStop); len(v) > 1 && v[0] == '"' && v[1] != '"' {
			w.stopped, look.Content = true, true
		}
	case `"message_stop"`:
		w.done = true
		look.Content, look.Done = true, true
	case `"ping"`:
		return wire.Look{}, nil
	case `"content_block_stop"`:
	default:
		if e := errorIn(data); e != nil {
			return look, e
		}
	}
	return look, nil
}

// visible is how many bytes of a delta a user would see. Signatures are not
// among them.
func visible(data []byte) int {
	for _, key := range [...][]byte{keyText, keyPartial, keyThinking} {
		if v := scan.After(data, key); len(v) > 2 && v[0] == '"' {
			return scan.TextLen(v)
		}
	}
	return 0
}

// begins reports whether the beginning of a block is something a user would
// see: all but texts that have none yet.
func begins(b []byte) bool {
	switch string(scan.Get(b, "type")) {
	case `"text"`:
		return len(scan.Get(b, "text")) > 2
	case `"thinking"`:
		return len(scan.Get(b, "thinking")) > 2
	}
	return len(b) > 0
}

// Usage returns the count so far: until the vendor's last, at least what was
// delivered.
func (w *watcher) Usage() llm.Usage {
	u, ok := w.usage.usage()
	if !ok {
		return llm.Usage{Input: w.prompt, Output: w.delivered, Estimated: true}
	}
	if !w.counted {
		u.Output, u.Estimated = max(u.Output, w.delivered), true
	}
	return u
}

// End says whether a stream without its last event is whole: it is once the
// stop reason has come.
func (w *watcher) End() (tail []byte, whole bool) {
	if !w.stopped || w.done {
		return nil, w.done
	}
	return []byte("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), true
}

// Inspect looks at a whole answer to a client of the protocol. usage is nil
// where it has none.
func Inspect(_ llm.Op, b []byte) (usage *llm.Usage, bad *llm.Error) {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return nil, wire.BadAnswer("no JSON object")
	}
	if scan.Get(b, "content") == nil {
		if e := errorIn(b); e != nil {
			return nil, e
		}
		return nil, wire.BadAnswer("an object without content")
	}
	if u, ok := ParseUsage(scan.Get(b, "usage")); ok {
		return &u, nil
	}
	return nil, nil
}
