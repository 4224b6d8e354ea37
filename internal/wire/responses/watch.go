package responses

import (
	"bytes"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// watcher looks at a stream that goes to a client as it came.
type watcher struct {
	usage     llm.Usage
	counted   bool
	delivered int64 // tokens seen so far, estimated
	searches  int64
	done      bool
}

// Watch begins to look at a streamed answer to req.
func Watch(*llm.Request) wire.Watcher { return &watcher{} }

// Event looks at one event. See wire.Watcher.
func (w *watcher) Event(ev []byte) (look wire.Look, _ *llm.Error) {
	data, ok := sse.Data(ev)
	if !ok {
		return look, nil // a comment
	}
	look.Data = true
	if data = bytes.TrimSpace(data); len(data) == 0 || data[0] != '{' {
		return look, nil
	}
	name := kind(ev, data)
	switch name {
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		return w.terminal(look, name, scan.Get(data, "response"))
	case "error", "":
		v := scan.Get(data, "error")
		if scan.Null(v) && name == "error" {
			v = data
		}
		if !scan.Null(v) {
			return look, errorOf(v)
		}
		return look, nil
	case "response.output_item.done":
		look.Content = true
		if isSearch(scan.Get(data, "item")) {
			w.searches++
		}
	default:
		if strings.HasSuffix(name, ".delta") {
			look.Content = true
			w.delivered += (int64(len(scan.Get(data, "delta"))) + 1) / 4 // without its quotes, rounded up
		} else if strings.HasSuffix(name, ".done") {
			look.Content = true
		}
	}
	return look, nil
}

// kind returns an event's type: it is the event's name, where it has one.
func kind(ev, data []byte) string {
	if name := sse.Name(ev); name != "" {
		return name
	}
	name, _ := scan.String(scan.Get(data, "type"))
	return name
}

func (w *watcher) terminal(look wire.Look, name string, response []byte) (wire.Look, *llm.Error) {
	status, _ := scan.String(scan.Get(response, "status"))
	if name == "response.failed" || status == "failed" {
		return look, errorOf(scan.Get(response, "error"))
	}
	look.Content, look.Done, w.done = true, true, true
	if u := usageOf(response); u != nil {
		u.Searches = max(u.Searches, w.searches)
		w.usage, w.counted = *u, true
	}
	return look, nil
}

// Usage is the count so far. See wire.Watcher.
func (w *watcher) Usage() llm.Usage {
	if !w.counted {
		return llm.Usage{Output: w.delivered, Searches: w.searches, Estimated: true}
	}
	return w.usage
}

// End is called when the stream has ended. Nothing can stand for the event
// that ends an answer.
func (w *watcher) End() ([]byte, bool) { return nil, w.done }

// Inspect looks at a whole answer: its usage, nil where the vendor did not
// count, or the error that it is.
func Inspect(_ llm.Op, body []byte) (*llm.Usage, *llm.Error) {
	if err := whole(bytes.TrimSpace(body)); err != nil {
		return nil, err
	}
	return usageOf(body), nil
}
