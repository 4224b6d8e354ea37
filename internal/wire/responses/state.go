package responses

import (
	"bytes"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// continues returns what a request goes on from at the vendor that keeps it:
// the id of a response or of a conversation, "" if it goes on from nothing.
func continues(f *wire.Form) string {
	if id, _ := scan.String(f.Value(fPrevious)); id != "" {
		return id
	}
	v := f.Value(fConversation)
	if id, ok := scan.String(v); ok {
		return id
	}
	id, _ := scan.String(scan.Get(v, "id"))
	return id
}

// Kept returns the id of an answer to req that its vendor keeps, from a whole
// answer or the beginning of a stream; "" if it keeps none, or the bytes do not
// tell it.
func Kept(req *llm.Request, answer []byte) string {
	if req.Op != llm.OpChat || string(scan.Get(req.Body.Bytes(), "store")) == "false" {
		return ""
	}
	return IDOf(answer)
}

// IDOf returns the id of a response: of a whole one, or of the first events of
// a stream; "" if they do not tell it.
func IDOf(answer []byte) string {
	answer = bytes.TrimSpace(answer)
	if len(answer) > 0 && answer[0] == '{' {
		return idOf(answer)
	}
	for len(answer) > 0 {
		var ev []byte
		ev, answer = sse.Split(answer)
		if data, ok := sse.Data(ev); ok {
			if id := idOf(bytes.TrimSpace(data)); id != "" {
				return id
			}
		}
	}
	return ""
}

// idOf is the id of a response, or of the one that an event holds.
func idOf(b []byte) string {
	if r := scan.Get(b, "response"); r != nil {
		b = r
	}
	id, _ := scan.String(scan.Get(b, "id"))
	return id
}
