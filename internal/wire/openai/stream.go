package openai

import (
	"bytes"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// watcher looks at a stream of chat completions or completions. The usage
// event is hidden when the client did not ask for it.
type watcher struct {
	hideUsage bool
	want      int // finish reasons that make the answer whole
	finished  int
	content   bool // something a user would see has come
	usage     llm.Usage
	counted   bool  // usage is the vendor's
	delivered int64 // tokens seen so far, estimated
}

// Watch returns a watcher of the streamed answer to req.
func Watch(req *llm.Request) wire.Watcher {
	return &watcher{hideUsage: !req.WantUsage, want: req.N}
}

var done = []byte("data: [DONE]\n\n")

// End implements wire.Watcher: a finish reason for every choice is whole, only
// the last line is missing.
func (w *watcher) End() (tail []byte, whole bool) {
	return done, w.finished >= max(1, w.want)
}

// Usage implements wire.Watcher: the vendor's count, else what was delivered.
func (w *watcher) Usage() llm.Usage {
	if !w.counted {
		return llm.Usage{Output: w.delivered, Estimated: true}
	}
	return w.usage
}

var (
	keyError   = []byte(`"error"`)
	keyUsage   = []byte(`"usage"`)
	keyFinish  = []byte(`"finish_reason"`)
	keyContent = []byte(`"content"`)
	keyChoices = []byte(`"choices"`)
)

// Event implements wire.Watcher.
func (w *watcher) Event(ev []byte) (look wire.Look, bad *llm.Error) {
	data, ok := sse.Data(ev)
	if !ok {
		return look, nil // a comment
	}
	look.Data = true
	if data = bytes.TrimSpace(data); string(data) == "[DONE]" {
		look.Done, look.Content = true, true
		return look, nil
	}
	if bytes.Contains(data, keyError) {
		if e := errorIn(data); e != nil {
			return wire.Look{}, e
		}
	}
	w.finishes(data)
	if !w.content {
		n := visible(data)
		w.delivered += int64(n+3) / 4
		w.content = n > 0 || w.finished > 0
	} else if n := scan.After(data, keyContent); len(n) > 2 && n[0] == '"' {
		w.delivered += int64(scan.TextLen(n)+3) / 4
	} else if len(data) > 0 {
		w.delivered++
	}
	look.Content = w.content
	object := false // vendors put others' usage into the choices, too
	for count := scan.After(data, keyUsage); len(count) > 0; count = scan.After(count, keyUsage) {
		object = object || count[0] == '{'
		if u, has := ParseUsage(count); has {
			w.usage, w.counted = served(u, data), true
		}
	}
	look.Hidden = w.hideUsage && object && emptyArray(scan.After(data, keyChoices))
	return look, nil
}

func emptyArray(b []byte) bool {
	if len(b) == 0 || b[0] != '[' {
		return false
	}
	b = bytes.TrimLeft(b[1:], " \t")
	return len(b) > 0 && b[0] == ']'
}

func (w *watcher) finishes(data []byte) {
	for v := scan.After(data, keyFinish); v != nil; v = scan.After(v, keyFinish) {
		if len(v) > 1 && v[0] == '"' && v[1] != '"' {
			w.finished++
		}
	}
}

// visible is how many bytes of a chunk a user would see: text, reasoning,
// tool calls, audio; not roles.
func visible(data []byte) int {
	n := 0
	_ = scan.Elements(scan.Get(data, "choices"), func(choice []byte) bool {
		if t := scan.Get(choice, "text"); len(t) > 2 {
			n += len(t) - 2
		}
		delta := scan.Get(choice, "delta")
		if len(delta) == 0 || delta[0] != '{' {
			return true
		}
		var space [16]scan.Member
		ms, err := scan.Object(space[:0], delta)
		if err != nil {
			return false
		}
		for _, m := range ms {
			v := delta[m.Start:m.End]
			switch {
			case string(delta[m.Key:m.KeyEnd]) == `"role"`, scan.Null(v):
			case string(v) == `""`, string(v) == `[]`, string(v) == `{}`:
			default:
				n += len(v)
			}
		}
		return true
	})
	return n
}
