package gemini

import (
	"io"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

func decode(t *testing.T, body string) *llm.Request {
	t.Helper()
	buf := wire.NewBuffer()
	buf.B = append(buf.B, body...)
	req := &llm.Request{}
	if bad := Decode(llm.OpChat, buf, req); bad != nil {
		t.Fatalf("%s: %v", body, bad)
	}
	t.Cleanup(req.Body.Release)
	return req
}

func TestForm(t *testing.T) {
	req := decode(t, `{"contents":[],"generation_config":{"candidateCount":3,"max_output_tokens":"17"}}`)
	if req.N != 3 || req.MaxOutput != 17 || req.Model != "" || req.Stream || !req.WantUsage || req.Proto != llm.ProtoGemini {
		t.Errorf("%+v", req)
	}
	first := `"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"}]}`
	one, ok1 := decode(t, `{`+first+`]}`).Body.Conversation()
	two, ok2 := decode(t, `{`+first+`,{"role":"user","parts":[{"text":"c"}]}]}`).Body.Conversation()
	if !ok1 || !ok2 || one != two {
		t.Errorf("one conversation is %d, %v and %d, %v", one, ok1, two, ok2)
	}
	chat, bad := decode(t, `{"generate_content_request":{"contents":[{"parts":[{"text":"x"}]}]}}`).Body.Chat()
	if bad != nil || len(chat.Messages) != 1 {
		t.Errorf("a wrapped request: %s, %v", show(chat), bad)
	}
}

// The client's bytes go to the vendor but for what the path says.
func TestPayload(t *testing.T) {
	for _, c := range []struct{ dialect, in, want string }{
		{"gemini", `{"contents": [ 1 ],"newThing":{"a":1}}`, `{"contents": [ 1 ],"newThing":{"a":1}}`},
		{"gemini", `{"model":"models/mine","contents":[1],"stream":true}`, `{"contents":[1]}`},
		{"gemini", `{"generateContentRequest":{"contents":[1],"model":"models/mine","x":2}}`, `{"generateContentRequest":{"model":"models/gemini-2.5-pro","contents":[1],"x":2}}`},
		{Vertex, `{"generateContentRequest":{"contents":[1],"model":"models/mine","tools":[2],"generationConfig":{}}}`, `{"contents":[1],"tools":[2]}`},
	} {
		p := Payload(decode(t, c.in).Body.(*wire.Form), wire.Rewrite{Model: []byte(`"gemini-2.5-pro"`), Dialect: c.dialect})
		got, err := io.ReadAll(p)
		_ = p.Close()
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %s: %s, %v; want %s", c.dialect, c.in, got, err, c.want)
		}
	}
}
