package protocol

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// told is the same answer in a vendor's words: "Hello world", 5 tokens in and 7
// out. events[stop] says why it ended; broken is an event that says that the
// vendor cannot go on.
type told struct {
	proto  llm.Proto
	events []string
	stop   int
	broken string
}

func data(list ...string) (out []string) {
	for _, s := range list {
		out = append(out, "data: "+s+"\n\n")
	}
	return out
}

func named(list ...string) (out []string) {
	for _, s := range list {
		name, _, _ := strings.Cut(s[len(`{"type":"`):], `"`)
		out = append(out, "event: "+name+"\ndata: "+s+"\n\n")
	}
	return out
}

func lines(list ...string) (out []string) {
	for _, s := range list {
		out = append(out, s+"\n")
	}
	return out
}

func chunk(choices, more string) string {
	return `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[` + choices + `]` + more + `}`
}

const responded = `{"id":"resp_1","object":"response","created_at":1,"model":"m","status":"%s","output":[]%u}`

func response(status, usage string) string {
	return strings.NewReplacer("%s", status, "%u", usage).Replace(responded)
}

var tellings = []told{
	{llm.ProtoOpenAI, data(
		chunk(`{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}`, ""),
		chunk(`{"index":0,"delta":{"content":" world"},"finish_reason":null}`, ""),
		chunk(`{"index":0,"delta":{},"finish_reason":"stop"}`, ""),
		chunk("", `,"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}`),
		"[DONE]"), 2, data(`{"error":{"message":"the server had an error","type":"server_error"}}`)[0]},
	{llm.ProtoResponses, named(
		`{"type":"response.created","sequence_number":0,"response":`+response("in_progress", "")+`}`,
		`{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}`,
		`{"type":"response.content_part.added","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}`,
		`{"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello"}`,
		`{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":" world"}`,
		`{"type":"response.output_text.done","sequence_number":5,"item_id":"msg_1","output_index":0,"content_index":0,"text":"Hello world"}`,
		`{"type":"response.content_part.done","sequence_number":6,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Hello world","annotations":[]}}`,
		`{"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello world","annotations":[]}]}}`,
		`{"type":"response.completed","sequence_number":8,"response":`+response("completed", `,"usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12}`)+`}`,
	), 8, named(`{"type":"response.failed","sequence_number":9,"response":` + response("failed", `,"error":{"code":"server_error","message":"no"}`) + `}`)[0]},
	{llm.ProtoAnthropic, named(
		`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" world"}}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}`,
		`{"type":"message_stop"}`,
	), 5, named(`{"type":"error","error":{"type":"api_error","message":"Internal server error"}}`)[0]},
	{llm.ProtoGemini, data(
		`{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5},"modelVersion":"m","responseId":"r"}`,
		`{"candidates":[{"content":{"role":"model","parts":[{"text":" world"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12},"modelVersion":"m","responseId":"r"}`,
	), 1, data(`{"error":{"code":500,"message":"Internal error","status":"INTERNAL"}}`)[0]},
	{llm.ProtoCohere, named(
		`{"type":"message-start","id":"c1","delta":{"message":{"role":"assistant","content":[]}}}`,
		`{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}`,
		`{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hello"}}}}`,
		`{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":" world"}}}}`,
		`{"type":"content-end","index":0}`,
		`{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5,"output_tokens":7},"tokens":{"input_tokens":5,"output_tokens":7}}}}`,
	), 5, ""},
	{llm.ProtoOllama, lines(
		`{"model":"m","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"Hello"},"done":false}`,
		`{"model":"m","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":" world"},"done":false}`,
		`{"model":"m","created_at":"2026-01-02T03:04:06Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":7}`,
	), 2, lines(`{"error":"an error was encountered while running the model"}`)[0]},
}

// stream begins to read a vendor's answer to call.
func stream(t *testing.T, p llm.Proto, call *wire.Call, body io.ReadCloser) llm.Stream {
	t.Helper()
	row := Of(p)
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {row.Stream}}, Body: body, ContentLength: -1}
	s, e := wire.Translate(resp, row.Vendor, call, true, row.Stream)
	if e != nil {
		t.Fatalf("%s: %v", p, e)
	}
	return s
}

// read reads an answer to its end.
func read(s llm.Stream) (r *llm.Reply, usage llm.Usage, err error) {
	var c llm.Collector
	for {
		chunk, err := s.Next()
		if err != nil {
			return c.Reply(), usage, err
		}
		c.Add(chunk.Events...)
		if chunk.Usage != nil {
			usage = *chunk.Usage
		}
	}
}

func text(r *llm.Reply) (s string) {
	for _, a := range r.Answers {
		for _, b := range a.Blocks {
			s += b.Text
		}
	}
	return s
}

// Every vendor's stream says the same, however its bytes are cut.
func TestTranslate(t *testing.T) {
	for _, v := range tellings {
		whole := strings.Join(v.events, "")
		for _, size := range []int{1, 7, len(whole)} {
			s := stream(t, v.proto, &wire.Call{}, io.NopCloser(&slow{[]byte(whole), size}))
			r, u, err := read(s)
			if err != io.EOF || text(r) != "Hello world" || len(r.Answers) != 1 || r.Answers[0].Stop != llm.StopEnd {
				t.Errorf("%s: %+v, end %v", v.proto, r, err)
			}
			if u.Input != 5 || u.Output != 7 || u.Estimated {
				t.Errorf("%s: usage %+v", v.proto, u)
			}
			_ = s.Close()
		}
	}
}

// slow brings size bytes a read.
type slow struct {
	b    []byte
	size int
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.b)
	s.b = s.b[n:]
	return n, nil
}

// A stream that ends before its answer is whole is an error, whether its bytes
// end cleanly or not, between events or inside one.
func TestTranslateCut(t *testing.T) {
	for _, v := range tellings {
		before := len(strings.Join(v.events[:v.stop], ""))
		whole := strings.Join(v.events, "")
		for _, end := range []error{io.EOF, io.ErrUnexpectedEOF} {
			for n := range before + 1 {
				s := stream(t, v.proto, &wire.Call{}, io.NopCloser(io.MultiReader(strings.NewReader(whole[:n]), &ends{end})))
				r, u, err := read(s)
				if e := llm.AsError(err); err == io.EOF || e.Kind != llm.KindUpstream {
					t.Fatalf("%s, %d of %d bytes: %v", v.proto, n, len(whole), err)
				}
				if !strings.HasPrefix("Hello world", text(r)) {
					t.Fatalf("%s, %d bytes: %q", v.proto, n, text(r))
				}
				if v.proto != llm.ProtoGemini && u.Output > 3 { // it has not counted yet: what was delivered is
					t.Fatalf("%s, %d bytes: usage %+v", v.proto, n, u)
				}
				_ = s.Close()
			}
		}
	}
}

type ends struct{ err error }

func (e *ends) Read([]byte) (int, error) { return 0, e.err }

// What a vendor reports inside a stream ends it, after what came before.
func TestTranslateFailure(t *testing.T) {
	for _, v := range tellings {
		if v.broken == "" {
			continue
		}
		for n := range v.stop + 1 {
			s := stream(t, v.proto, &wire.Call{}, io.NopCloser(strings.NewReader(strings.Join(v.events[:n], "")+v.broken)))
			_, _, err := read(s)
			if e := llm.AsError(err); err == io.EOF || e.Kind != llm.KindUpstream || strings.Contains(e.Message, "before the answer was whole") {
				t.Errorf("%s, after %d events: %v", v.proto, n, err)
			}
			_ = s.Close()
		}
	}
}

// A vendor that goes on after its answer is whole, or never ends, is left
// after two seconds; that is no error.
func TestTranslateNeverEnds(t *testing.T) {
	for _, v := range tellings {
		t.Run(v.proto.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := io.Pipe()
				go func() { _, _ = io.WriteString(w, strings.Join(v.events, "")) }()
				start := time.Now()
				s := stream(t, v.proto, &wire.Call{}, r)
				got, u, err := read(s)
				if err != io.EOF || text(got) != "Hello world" || u.Output != 7 {
					t.Errorf("%q, %+v, end %v", text(got), u, err)
				}
				if d := time.Since(start); d != 2*time.Second {
					t.Errorf("it took %v", d)
				}
				_ = s.Close()
			})
		})
	}
}

// Answers that come one after the other are waited for: the end of the first
// is not the end.
func TestTranslateSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		var wait sync.WaitGroup
		defer wait.Wait()
		wait.Go(func() {
			for n, answer := range []string{"first", "second"} {
				i := string(rune('0' + n))
				for _, e := range data(chunk(`{"index":`+i+`,"delta":{"content":"`+answer+`"},"finish_reason":null}`, ""), chunk(`{"index":`+i+`,"delta":{},"finish_reason":"stop"}`, "")) {
					_, _ = io.WriteString(w, e)
				}
				time.Sleep(5 * time.Second)
			}
			_, _ = io.WriteString(w, "data: [DONE]\n\n")
			_ = w.Close()
		})
		s := stream(t, llm.ProtoOpenAI, &wire.Call{N: 2}, r)
		defer s.Close()
		got, _, err := read(s)
		if err != io.EOF || len(got.Answers) != 2 || text(got) != "firstsecond" {
			t.Errorf("%+v, end %v", got, err)
		}
	})
}

// A 200 that is no stream is an error, the vendor's own where it says one.
func TestTranslateNoStream(t *testing.T) {
	for _, v := range tellings {
		row := Of(v.proto)
		for _, c := range []struct {
			kind, body string
		}{{"text/html", "<html>"}, {"", ""}, {"application/json", `{"error":{"message":"no"}}`}, {"application/json", `{`}, {"application/json", `{}`}, {"text/plain", v.broken}} {
			body := &watched{Reader: strings.NewReader(c.body)}
			resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {c.kind}}, Body: body, ContentLength: -1}
			if s, e := wire.Translate(resp, row.Vendor, &wire.Call{}, true, row.Stream); e == nil || s != nil {
				t.Errorf("%s: %q was taken", v.proto, c.kind)
			} else if !body.closed {
				t.Errorf("%s: %q: the body is open", v.proto, c.kind)
			}
		}
	}
}

type watched struct {
	io.Reader
	closed bool
}

func (w *watched) Close() error {
	w.closed = true
	return nil
}

// A whole answer that is none is an error in every protocol, never a panic.
func TestTranslateReply(t *testing.T) {
	for _, v := range tellings {
		row := Of(v.proto)
		for _, body := range []string{"", "null", "[]", "{}", `"text"`, `{"choices":[]}`, `{"content":null}`, `{"candidates":[{}]}`, `{"output":[null]}`, `{"message":5}`, `{"error":"no"}`, strings.Repeat("[", 20000)} {
			resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body))}
			s, e := wire.Translate(resp, row.Vendor, &wire.Call{}, false, row.Stream)
			if e != nil {
				continue
			}
			if c, err := s.Next(); err == nil && len(c.Events) == 0 {
				t.Errorf("%s: %s is an answer of no events", v.proto, body)
			}
			_ = s.Close()
		}
	}
}
