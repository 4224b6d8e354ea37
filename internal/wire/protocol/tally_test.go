package protocol

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluicegate/sluice/internal/llm"
)

// The count is the same however an answer is cut.
func TestTally(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     llm.Usage
		ok       bool
	}{
		{"chat", `{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":900,\"completion_tokens\":900}"}}],"usage":{"prompt_tokens":5,"completion_tokens":7}}`, llm.Usage{Input: 5, Output: 7}, true},
		{"chat stream", "data: {\"choices\":[],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n", llm.Usage{Input: 5, Output: 7}, true},
		{"messages stream", "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n" +
			"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n", llm.Usage{Input: 8, CachedRead: 3, Output: 9}, true},
		{"gemini array", `[{"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}},` + "\n" + `{"usageMetadata": {"promptTokenCount":4,"candidatesTokenCount":6,"totalTokenCount":10}}]`, llm.Usage{Input: 4, Output: 6}, true},
		{"ollama lines", "{\"message\":{\"content\":\"a\"}}\n{\"done\":true,\"prompt_eval_count\":3,\"eval_count\":4}\n", llm.Usage{Input: 3, Output: 4}, true},
		{"converse frames", "\x00\x00\x00\x7b:event-type\x07\x00\x08metadata{\"usage\":{\"inputTokens\":2,\"outputTokens\":3,\"totalTokens\":5}}\xff\x01", llm.Usage{Input: 2, Output: 3}, true},
		{"none", `{"data":[{"id":"m"}]}`, llm.Usage{}, false},
		{"no object", `{"usage":"much"}`, llm.Usage{}, false},
		{"cut off", `{"usage":{"prompt_tokens":5,`, llm.Usage{}, false},
	} {
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			var tally Tally
			var got llm.Usage
			var ok bool
			for rest := []byte(c.in); len(rest) > 0; {
				n := 1 + rnd.IntN(min(len(rest), 40))
				got, ok = tally.See(rest[:n])
				rest = rest[n:]
			}
			if got != c.want || ok != c.ok {
				t.Errorf("%s: %+v, %v", c.name, got, ok)
				break
			}
		}
	}
}

// What a relayed answer tells of its usage is counted, wherever in it that
// stands and however it is cut, and nothing in sound.
func TestRelayCounts(t *testing.T) {
	const usage = `"usage":{"input_tokens":20,"input_tokens_details":{"image_tokens":15,"text_tokens":5},"output_tokens":9,"total_tokens":29}`
	want := llm.Usage{Input: 20, ImageInput: 15, Output: 9}
	data := `"data":[{"b64_json":"` + strings.Repeat("x", 100<<10) + `"}]`
	for _, c := range []struct {
		name, kind, body string
		want             llm.Usage
	}{
		{"before", "application/json", "{" + usage + "," + data + "}", want},
		{"behind", "application/json; charset=utf-8", "{" + data + "," + usage + "}", want},
		{"events go on", "text/event-stream", "data: {" + usage + "}\n\ndata: {" + data + "}\n\n", want},
		{"none", "application/json", `{"usage":"no"}`, llm.Usage{}},
		{"sound", "audio/mpeg", "ID3{" + usage + "}", llm.Usage{}},
	} {
		for _, read := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.OneByteReader} {
			body := io.NopCloser(read(strings.NewReader(c.body)))
			s := Relay(llm.OpPassthrough, &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {c.kind}}, Body: body})
			var last llm.Usage
			chunk, err := s.Next()
			for ; err == nil; chunk, err = s.Next() {
				last = *chunk.Usage
			}
			if err != io.EOF || last != c.want {
				t.Errorf("%s: %v, %+v", c.name, err, last)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Nothing makes a tally hold more than a count may be long.
func TestTallyBound(t *testing.T) {
	for name, in := range map[string]string{"spaces": " ", "a string": "\"x", "an object": `:{"a":"`, "Ollama's": "0"} {
		var tally Tally
		tally.See([]byte(`"usage"` + in))
		tally.See([]byte(`"prompt_eval_count"`))
		for range 1 << 10 {
			tally.See([]byte(strings.Repeat(in[:1], 100)))
			if len(tally.held) > maxCount+256 {
				t.Fatalf("%s: holds %d bytes", name, len(tally.held))
			}
		}
	}
}

func FuzzTally(f *testing.F) {
	f.Add([]byte(`{"usage":{"prompt_tokens":5,"prompt_eval_count":1}}`), 3)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		var tally Tally
		n = min(max(n, 1), len(b))
		for _, part := range [][]byte{b[:n], b[n:], b} {
			if u, ok := tally.See(part); ok && !u.Valid() {
				t.Errorf("%+v", u)
			}
			if len(tally.held) > maxCount+64+len(part) {
				t.Errorf("holds %d bytes", len(tally.held))
			}
		}
	})
}

// Images are counted where their vendor counts nothing, however the answer is
// cut.
func TestImagesAreCounted(t *testing.T) {
	for body, want := range map[string]int64{
		`{"created":1,"data":[{"url":"https://a/1","b64_json":null,"revised_prompt":"say \"url\": x"},{"url":"https://a/2","b64_json":null}]}`: 2,
		`{"data":[{"b64_json":"` + strings.Repeat("A", 70<<10) + `"},{"b64_json":"QUJD"},{"b64_json":"QUJD"}]}`:                                3,
		`{"data":[]}`: 0,
	} {
		for _, read := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.OneByteReader} {
			s := Relay(llm.OpImage, &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(read(strings.NewReader(body)))})
			var last llm.Usage
			chunk, err := s.Next()
			for ; err == nil; chunk, err = s.Next() {
				last = *chunk.Usage
			}
			if err != io.EOF || last != (llm.Usage{Images: want}) {
				t.Errorf("%.60s: %v, %+v; want %d", body, err, last, want)
			}
		}
	}
}
