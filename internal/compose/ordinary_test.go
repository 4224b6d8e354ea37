package compose

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// heard is a vendor's answer as gates see it.
func heard(t *testing.T, p *protocol.Protocol, answer []byte, stream bool) (*llm.Reply, *llm.Error) {
	t.Helper()
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(answer))}
	if stream {
		resp.Header.Set("Content-Type", "text/event-stream")
	}
	s, e := wire.Translate(resp, p.VendorOf(llm.OpChat), &wire.Call{}, stream, p.Stream)
	if e != nil {
		return nil, e
	}
	defer s.Close()
	var all llm.Collector
	for {
		c, err := s.Next()
		if err == io.EOF {
			return all.Reply(), nil
		}
		if err != nil {
			return nil, llm.AsError(err)
		}
		all.Add(c.Events...)
	}
}

// chatOf is what a client's request asks, nil where it has no neutral form.
func chatOf(t *testing.T, proto llm.Proto, body []byte) (*llm.Request, *llm.Chat) {
	t.Helper()
	buf := wire.NewBuffer()
	buf.B = append(buf.B, body...)
	req := &llm.Request{}
	if protocol.Of(proto).Decode(llm.OpChat, buf, req) != nil {
		return nil, nil
	}
	chat, e := req.Body.Chat()
	if e != nil {
		return nil, nil
	}
	return req, chat
}

// What a client itself asks for is no fault: the tools of its own protocol, those of
// a namespace, images.
func TestAskedForIsNoFault(t *testing.T) {
	for _, x := range []struct {
		name          string
		proto         llm.Proto
		request, resp string
		want          llm.Flags
	}{
		{"bash of Anthropic's", llm.ProtoAnthropic, `{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"bash_20250124","name":"bash"},{"name":"f","input_schema":{"type":"object"}}]}`,
			`{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"tool_use","id":"t1","name":"bash","input":{"command":"ls"}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}`, 0},
		{"a namespace", llm.ProtoResponses, `{"model":"m","input":"hi","tools":[{"type":"namespace","name":"mcp","description":"d","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]}]}`,
			`{"id":"resp_1","object":"response","model":"m","status":"completed","output":[{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","namespace":"mcp","arguments":"{}","status":"completed"}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`, 0},
		{"the older functions", llm.ProtoOpenAI, `{"model":"m","messages":[{"role":"user","content":"hi"}],"functions":[{"name":"f","parameters":{"type":"object"}}]}`,
			`{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}]}`, 0},
		{"a vendor's function", llm.ProtoOpenAI, `{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"builtin_function","function":{"name":"$web_search"}}]}`,
			`{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"$web_search","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`, 0},
		{"an unknown function", llm.ProtoOpenAI, `{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}]}`,
			`{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`, llm.FlagTool},
		{"an image of Gemini's", llm.ProtoGemini, `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`,
			`{"candidates":[{"content":{"role":"model","parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1}}`, 0},
		{"sound", llm.ProtoOpenAI, `{"model":"m","modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"},"messages":[{"role":"user","content":"hi"}]}`,
			`{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"audio":{"id":"a","data":"AAAA","transcript":"","expires_at":1}},"finish_reason":"stop"}]}`, 0},
		{"an image", llm.ProtoResponses, `{"model":"m","input":"draw","tools":[{"type":"image_generation"}]}`,
			`{"id":"resp_1","object":"response","model":"m","status":"completed","output":[{"type":"image_generation_call","id":"ig_1","status":"completed","result":"AAAA"}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`, 0},
		{"a shell", llm.ProtoResponses, `{"model":"m","input":"ls","tools":[{"type":"local_shell"}]}`,
			`{"id":"resp_1","object":"response","model":"m","status":"completed","output":[{"type":"local_shell_call","id":"ig_1","call_id":"c","status":"completed","action":{"type":"exec","command":["ls"]}}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`, 0},
	} {
		_, chat := chatOf(t, x.proto, []byte(x.request))
		reply, e := heard(t, protocol.Of(x.proto), []byte(x.resp), false)
		if chat == nil || e != nil {
			t.Fatalf("%s: %v", x.name, e)
		}
		if f := quality.Examine()(chat, reply); f != x.want {
			t.Errorf("%s: %v, want %v", x.name, f.Names(), x.want.Names())
		}
	}
}

// Answers as vendors give them pass: of the recorded ones next to none has a hard
// flag that the client's own bound does not explain.
func TestRecordedAnswersPass(t *testing.T) {
	explained := map[string]bool{ // the vendor did what the flag says
		"vertex/generateContent/pydanticai-test-google-model-armor-response-template-real-block-0":                      true, // a filter took it
		"vertex/generateContent/pydanticai-test-multimodal-tool-return-matrix-direct-uploaded-file-video-google-vert-0": true, // UNEXPECTED_TOOL_CALL
		"openai/chat/openllmetry-test-vision-test-vision-1":                                                             true, // cut after 16 tokens, unasked
		"gpustack/chat/rubyllm-chat-text-models-gpustack-qwen3-can-understand-remote-text-1":                            true, // cut, unasked
		"llamacpp/chat/rig-content-matrix-empty-answer-with-stop-0":                                                     true, // empty, and it does not tell by which sequence
		"openrouter/chat/rig-tool-truncation-contract-matrix-blocking-gpt41-low-agent-0":                                true, // cut, and it says that it is not
	}
	examine := quality.Examine()
	judged, cut := 0, 0
	for _, x := range recorded.Exchanges(t, func(x *recorded.Exchange) bool {
		return x.Status == 200 && (spoken[x.API] != 0 || x.API == "generateContent")
	}) {
		proto := spoken[x.API]
		if proto == 0 {
			proto = llm.ProtoGemini
		}
		req, chat := chatOf(t, proto, x.Body)
		if chat == nil {
			continue
		}
		reply, e := heard(t, protocol.Of(proto), x.Answer, strings.HasSuffix(x.Response, ".sse"))
		if e != nil || len(reply.Answers) == 0 {
			continue
		}
		judged++
		f := examine(chat, reply)
		if !f.Hard() || explained[x.Case] {
			continue
		}
		if (chat.MaxOutput > 0 || req.MaxOutput > 0) && reply.Answers[0].Stop == llm.StopLength {
			cut++
			continue
		}
		t.Errorf("%s: %v", x.Case, f.Names())
	}
	if judged < 900 || cut < 10 {
		t.Errorf("%d answers were judged, %d of them cut as their clients wanted: too few to show anything", judged, cut)
	}
}
