package responses

import (
	"bytes"

	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// PreviousID returns what a request goes on from at the vendor that keeps it:
// the id of a response or of a conversation, "" if it goes on from nothing.
func PreviousID(body []byte) string {
	if id, _ := scan.String(scan.Get(body, "previous_response_id")); id != "" {
		return id
	}
	v := scan.Get(body, "conversation")
	if id, ok := scan.String(v); ok {
		return id
	}
	id, _ := scan.String(scan.Get(v, "id"))
	return id
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
