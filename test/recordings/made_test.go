package recordings

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// madeUp is the provider whose answers are made up, in every protocol.
const (
	madeUp     = "made-up"
	madeUpText = "made-up answer"
)

// wholes are the least answers, lines the least streams, one event a line.
var wholes = map[string]string{
	"openai":    `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"made-up answer"},"finish_reason":"stop"}]}`,
	"responses": `{"id":"r","object":"response","created_at":1,"model":"m","status":"completed","output":[{"type":"message","id":"i","role":"assistant","status":"completed","content":[{"type":"output_text","text":"made-up answer","annotations":[]}]}]}`,
	"anthropic": `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"made-up answer"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}`,
	"gemini":    `{"candidates":[{"content":{"role":"model","parts":[{"text":"made-up answer"}]},"finishReason":"STOP"}]}`,
	"bedrock":   `{"output":{"message":{"role":"assistant","content":[{"text":"made-up answer"}]}},"stopReason":"end_turn"}`,
	"cohere":    `{"id":"c","message":{"role":"assistant","content":[{"type":"text","text":"made-up answer"}]},"finish_reason":"COMPLETE"}`,
	"ollama":    `{"model":"m","message":{"role":"assistant","content":"made-up answer"},"done":true,"done_reason":"stop"}`,
}

var lines = map[string]string{
	"openai": `{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"made-up answer"},"finish_reason":"stop"}]}
[DONE]`,
	"responses": `{"type":"response.created","sequence_number":0,"response":{"id":"r","object":"response","created_at":1,"model":"m","status":"in_progress","output":[]}}
{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"type":"message","id":"i","role":"assistant","status":"in_progress","content":[]}}
{"type":"response.content_part.added","sequence_number":2,"item_id":"i","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}
{"type":"response.output_text.delta","sequence_number":3,"item_id":"i","output_index":0,"content_index":0,"delta":"made-up answer"}
{"type":"response.completed","sequence_number":4,"response":{"id":"r","object":"response","created_at":1,"model":"m","status":"completed","output":[{"type":"message","id":"i","role":"assistant","status":"completed","content":[{"type":"output_text","text":"made-up answer","annotations":[]}]}]}}`,
	"anthropic": `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":0}}}
{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"made-up answer"}}
{"type":"content_block_stop","index":0}
{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}
{"type":"message_stop"}`,
	"gemini": `{"candidates":[{"content":{"role":"model","parts":[{"text":"made-up answer"}]},"finishReason":"STOP"}]}`,
	"bedrock": `{"messageStart":{"role":"assistant"}}
{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"made-up answer"}}}
{"contentBlockStop":{"contentBlockIndex":0}}
{"messageStop":{"stopReason":"end_turn"}}`,
	"cohere": `{"type":"message-start","id":"c","delta":{"message":{"role":"assistant"}}}
{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}
{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"made-up answer"}}}}
{"type":"content-end","index":0}
{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}`,
	"ollama": `{"model":"m","message":{"role":"assistant","content":"made-up answer"},"done":false}
{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}`,
}

// makeUp answers in a protocol with the least that it wants.
func makeUp(w http.ResponseWriter, proto string, stream bool) {
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, wholes[proto])
		return
	}
	kind := "text/event-stream"
	var body []byte
	for line := range strings.SplitSeq(lines[proto], "\n") {
		switch proto {
		case "bedrock":
			kind = "application/vnd.amazon.eventstream"
			var event map[string]json.RawMessage
			_ = json.Unmarshal([]byte(line), &event) // it is ours
			for name, data := range event {
				body = frame(body, name, data)
			}
		case "ollama":
			kind = "application/x-ndjson"
			body = append(append(body, line...), '\n')
		default:
			var v struct{ Type string }
			if _ = json.Unmarshal([]byte(line), &v); v.Type != "" {
				body = append(body, "event: "+v.Type+"\n"...)
			}
			body = append(body, "data: "+line+"\n\n"...)
		}
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}
