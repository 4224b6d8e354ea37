package wire_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/anthropic"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

func answer(kind string, body io.Reader) *http.Response {
	return &http.Response{Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(body), ContentLength: -1}
}

// A stream that is cut costs what was delivered, even where the vendor told a
// count at its beginning.
func TestTranslateCountsWhatWasCut(t *testing.T) {
	text := `event: message_start
data: {"type":"message_start","message":{"id":"a","model":"m","usage":{"input_tokens":9,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + strings.Repeat("word ", 400) + `"}}

`
	end := `event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":400}}

event: message_stop
data: {"type":"message_stop"}

`
	for _, c := range []struct {
		name, body string
		want       llm.Usage
	}{
		{"cut", text, llm.Usage{Input: 9, Output: 500, Estimated: true}},
		{"whole", text + end, llm.Usage{Input: 9, Output: 400}},
	} {
		s, bad := wire.Translate(answer("text/event-stream", strings.NewReader(c.body)), anthropic.Codec{}, &wire.Call{}, true, "text/event-stream")
		if bad != nil {
			t.Fatal(bad)
		}
		var last llm.Usage
		chunk, err := s.Next()
		for ; err == nil; chunk, err = s.Next() {
			last = *chunk.Usage
		}
		if (err == io.EOF) != (c.name == "whole") || last != c.want {
			t.Errorf("%s: %v, %+v", c.name, err, last)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A vendor may give one answer after the other, with as long a pause between
// them as it likes: the stream is not over while answers are missing.
func TestTranslateWaitsForAllAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, `data: {"id":"a","choices":[{"index":0,"delta":{"content":"one"},"finish_reason":"stop"}]}`+"\n\n")
			time.Sleep(time.Minute)
			_, _ = io.WriteString(w, `data: {"id":"a","choices":[{"index":1,"delta":{"content":"two"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n") // and does not end
		}()
		resp := answer("text/event-stream", nil)
		resp.Body = r
		s, bad := wire.Translate(resp, openai.Codec{}, &wire.Call{N: 2}, true, "text/event-stream")
		if bad != nil {
			t.Fatal(bad)
		}
		var c llm.Collector
		for {
			chunk, err := s.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Add(chunk.Events...)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := c.Reply().Answers; len(got) != 2 || got[1].Blocks[0].Text != "two" {
			t.Errorf("the answers are %+v", got)
		}
	})
}
