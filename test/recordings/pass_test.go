package recordings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// surface is where a shape is asked for by a client of its own protocol, and
// with what; %s is the model.
type surface struct{ path, stream, body string }

var surfaces = map[shape]surface{
	shapeChat:       {"/v1/chat/completions", "", `{"model":"%s","messages":[{"role":"user","content":"Hello"}]}`},
	shapeCompletion: {"/v1/completions", "", `{"model":"%s","prompt":"Hello"}`},
	shapeResponses:  {"/v1/responses", "", `{"model":"%s","input":"Hello"}`},
	shapeAnthropic:  {"/v1/messages", "", `{"model":"%s","max_tokens":1024,"messages":[{"role":"user","content":"Hello"}]}`},
	shapeGemini:     {"/v1beta/models/%s:generateContent", "/v1beta/models/%s:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`},
}

// for makes the path and body for model.
func (s surface) fill(model string, stream bool) (path, body string) {
	path, body = s.path, strings.ReplaceAll(s.body, "%s", model)
	if stream && s.stream != "" {
		path = s.stream
	} else if stream {
		more := `,"stream":true}`
		if strings.Contains(path, "completions") {
			more = `,"stream":true,"stream_options":{"include_usage":true}}`
		}
		body = body[:len(body)-1] + more
	}
	return strings.ReplaceAll(path, "%s", model), body
}

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
	cut    error // of reading the body
}

// post asks as it is; header is name, value, …
func (r *run) post(path, body string, header ...string) (*reply, error) {
	return r.send(http.MethodPost, path, body, header...)
}

func (r *run) send(method, path, body string, header ...string) (*reply, error) {
	req, err := http.NewRequest(method, r.gateway.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := &reply{status: resp.StatusCode, header: resp.Header}
	out.body, out.cut = io.ReadAll(resp.Body)
	return out, nil
}

// passes checks that a client of the vendor's own protocol gets the vendor's
// bytes.
func (r *run) passes(x *exchange, s shape, want *answer) error {
	at, ok := surfaces[s]
	if !ok {
		return nil
	}
	list, stream := x.pieces()
	path, body := at.fill(r.model(x, s), stream)
	got, err := r.post(path, body, headerCase, x.Case)
	switch {
	case err != nil:
		return err
	case got.cut != nil:
		return fmt.Errorf("the answer broke off: %w", got.cut)
	case want.broken && got.status != http.StatusOK:
		return nil // nothing of it was content
	case got.status != http.StatusOK:
		return fmt.Errorf("status %d: %s", got.status, clip(string(got.body)))
	case !stream:
		if !bytes.Equal(got.body, x.response) {
			return fmt.Errorf("bytes: %s", difference(got.body, x.response))
		}
		return nil
	}
	if err := sameEvents(s, events(got.body), list, want.broken); err != nil {
		return err
	}
	if _, array := jsonArray(x.response); array && s == shapeGemini {
		return r.passesArray(x, s, list)
	}
	return nil
}

// sameEvents compares the events of a stream. The gateway ends chat's streams
// with [DONE] where a vendor does not, takes nothing from after the end, and
// ends broken ones with an error event.
func sameEvents(s shape, got, want []piece, broken bool) error {
	got, want = unpinged(got), unpinged(untilEnd(want))
	if (s == shapeChat || s == shapeCompletion) && !broken && !isDone(want[len(want)-1]) {
		want = append(want, piece{data: []byte(done)})
	}
	if broken {
		if len(got) == 0 {
			return errors.New("no event of a broken stream")
		}
		last := got[len(got)-1]
		if !bytes.Contains(last.data, []byte("error")) && !bytes.Contains(last.data, []byte("response.failed")) {
			return fmt.Errorf("a broken stream ends with %s", clip(string(last.data)))
		}
		got = got[:len(got)-1]
		if len(got) > len(want) {
			return fmt.Errorf("%d events before the error, of %d", len(got), len(want))
		}
		want = want[:len(got)]
	}
	if len(got) != len(want) {
		return fmt.Errorf("events: got %d, want %d; the last is %s", len(got), len(want), clip(string(got[len(got)-1].data)))
	}
	for i := range want {
		if got[i].name != want[i].name || !bytes.Equal(got[i].data, want[i].data) {
			return fmt.Errorf("event %d: %s", i, difference(got[i].data, want[i].data))
		}
	}
	return nil
}

const done = "[DONE]"

// unpinged drops what keeps connections alive.
func unpinged(list []piece) []piece {
	return slices.DeleteFunc(slices.Clone(list), func(p piece) bool { return p.name == "ping" })
}

// last are the types of events that end a stream.
var last = []string{"message_stop", "response.completed", "response.incomplete", "response.failed"}

// untilEnd drops what follows the end of an answer.
func untilEnd(list []piece) []piece {
	for i := range list {
		var v struct{ Type string }
		if isDone(list[i]) || json.Unmarshal(list[i].data, &v) == nil && slices.Contains(last, v.Type) {
			return list[: i+1 : i+1]
		}
	}
	return list[:len(list):len(list)]
}

func jsonArray(b []byte) (list []json.RawMessage, ok bool) {
	b = bytes.TrimSpace(b)
	return list, len(b) > 0 && b[0] == '[' && json.Unmarshal(b, &list) == nil
}

// passesArray asks for the stream as the JSON array that Gemini's API makes of
// it without alt=sse.
func (r *run) passesArray(x *exchange, s shape, want []piece) error {
	path, body := surfaces[s].fill(r.model(x, s), true)
	got, err := r.post(strings.TrimSuffix(path, "?alt=sse"), body, headerCase, x.Case)
	if err != nil {
		return err
	}
	list, ok := jsonArray(got.body)
	if !ok || len(list) != len(want) {
		return fmt.Errorf("array of %d elements, want %d: %s", len(list), len(want), clip(string(got.body)))
	}
	for i := range want {
		if !sameJSON(string(list[i]), string(want[i].data)) {
			return fmt.Errorf("element %d: %s", i, difference(list[i], want[i].data))
		}
	}
	return nil
}
