package wire

import (
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// shout is an edit that shows what was taken for a text.
func shout(s string) (string, bool) { return strings.ToUpper(s), strings.ToUpper(s) != s }

// What is text in the words of each protocol, and what is not. Everything that is
// not text keeps its bytes.
func TestTexts(t *testing.T) {
	for name, x := range map[string]struct{ body, want string }{
		"openai": {
			`{"model":"gpt", "messages" : [{"role":"system","content":"be nice"},{"role":"user","name":"jo","content":[{"type":"text","text":"a\nb \u00e9"},{"type":"image_url","image_url":{"url":"https://x/y","detail":"low"}}]},
			{"role":"assistant","content":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"find","arguments":"{\"q\": \"who\",\"n\":1234567, \"m\": 12}"}}]},{"role":"tool","tool_call_id":"call_a","content":"found"}],"user":"jo","temperature":0.5,"x":true}`,
			`{"model":"gpt", "messages" : [{"role":"system","content":"BE NICE"},{"role":"user","name":"JO","content":[{"type":"text","text":"A\nB É"},{"type":"image_url","image_url":{"url":"https://x/y","detail":"LOW"}}]},
			{"role":"assistant","content":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"find","arguments":"{\"Q\": \"WHO\",\"N\":1234567, \"M\": 12}"}}]},{"role":"tool","tool_call_id":"call_a","content":"FOUND"}],"user":"JO","temperature":0.5,"x":true}`,
		},
		"tools": {
			`{"tools":[{"type":"function","function":{"name":"f","description":"does","parameters":{"type":"object","properties":{"city":{"type":"string","description":"where","enum":["rome"]}},"required":["city"]}}}]}`,
			`{"tools":[{"type":"function","function":{"name":"f","description":"DOES","parameters":{"type":"object","properties":{"city":{"type":"string","description":"WHERE","enum":["ROME"]}},"required":["city"]}}}]}`,
		},
		"responses": {
			`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"no json"},{"type":"reasoning","id":"rs","encrypted_content":"abc","summary":[{"type":"summary_text","text":"so"}]}],"instructions":"do","previous_response_id":"resp"}`,
			`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"HI"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"NO JSON"},{"type":"reasoning","id":"rs","encrypted_content":"abc","summary":[{"type":"summary_text","text":"SO"}]}],"instructions":"DO","previous_response_id":"resp"}`,
		},
		"anthropic": {
			`{"model":"m","system":"sys","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"tool_use","id":"t","name":"n","input":{"id":"a","url":"b","deep":[{"name":"c","x":12345678}]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"res"},{"type":"document","title":"ti","source":{"type":"text","media_type":"text/plain","data":"plain words"}},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("abcd", 20) + `"}}]}]}`,
			`{"model":"m","system":"SYS","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"HM","signature":"sig"},{"type":"tool_use","id":"t","name":"n","input":{"ID":"A","URL":"B","DEEP":[{"NAME":"C","X":12345678}]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"RES"},{"type":"document","title":"TI","source":{"type":"text","media_type":"text/plain","data":"PLAIN WORDS"}},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("abcd", 20) + `"}}]}]}`,
		},
		"gemini": {
			`{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"model","parts":[{"functionCall":{"id":"i","name":"f","args":{"id":"a"}},"thoughtSignature":"sig"}]},{"role":"user","parts":[{"functionResponse":{"id":"i","name":"f","response":{"name":"b"}}},{"inlineData":{"mimeType":"a/b","data":"` + strings.Repeat("abcd", 20) + `"}},{"fileData":{"fileUri":"gs://x"}},{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f","description":"d","response":{"type":"string","description":"r"}}]}],"cachedContent":"cc"}`,
			`{"systemInstruction":{"parts":[{"text":"S"}]},"contents":[{"role":"model","parts":[{"functionCall":{"id":"i","name":"f","args":{"ID":"A"}},"thoughtSignature":"sig"}]},{"role":"user","parts":[{"functionResponse":{"id":"i","name":"f","response":{"NAME":"B"}}},{"inlineData":{"mimeType":"a/b","data":"` + strings.Repeat("abcd", 20) + `"}},{"fileData":{"fileUri":"gs://x"}},{"text":"HI"}]}],"tools":[{"functionDeclarations":[{"name":"f","description":"D","response":{"type":"string","description":"R"}}]}],"cachedContent":"cc"}`,
		},
		"schemas": {
			`{"tools":[{"function":{"parameters":{"type":"object","$comment":"c","properties":{"title":{"type":"string","default":"d","const":{"id":"i"}},"enum":{"type":"string","pattern":"p","examples":["e"],"description":"x"}},"$defs":{"default":{"type":"string","title":"t"}}}}}]}`,
			`{"tools":[{"function":{"parameters":{"type":"object","$comment":"C","properties":{"title":{"type":"string","default":"D","const":{"ID":"I"}},"enum":{"type":"string","pattern":"p","examples":["E"],"description":"X"}},"$defs":{"default":{"type":"string","title":"T"}}}}}]}`,
		},
		"names": {
			`{"metadata":{"name":"a","id":"b","url":"c"},"prompt":{"id":"pmpt","variables":{"name":"ann","pic":{"type":"input_image","image_url":"https://x"}}},"tools":[{"type":"function","name":"f"}]}`,
			`{"metadata":{"NAME":"A","ID":"B","URL":"C"},"prompt":{"id":"pmpt","variables":{"name":"ANN","pic":{"type":"input_image","image_url":"https://x"}}},"tools":[{"type":"function","name":"f"}]}`,
		},
		"nothing": {` {"input":"A", "input2":["B"] , "n":12345678} `, ` {"input":"A", "input2":["B"] , "n":12345678} `},
	} {
		f, bad := NewForm(&Bare, &Buffer{B: []byte(x.body)})
		if bad != nil {
			t.Fatalf("%s: %v", name, bad)
		}
		got, bad := f.Texts(shout)
		if bad != nil {
			t.Fatalf("%s: %v", name, bad)
		}
		if string(got.Bytes()) != x.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got.Bytes(), x.want)
		}
		if same := got == llm.Body(f); same != (x.body == x.want) {
			t.Errorf("%s: the same body: %v", name, same)
		}
		if string(f.Bytes()) != x.body {
			t.Errorf("%s: the body itself changed", name)
		}
	}
}

func TestTokens(t *testing.T) {
	for body, want := range map[string]bool{
		`{"input":[[1,2,3]]}`: true, `{"prompt":[1,2,3]}`: true, `{"input":["a",[1]]}`: true, `{"prompt":[[],[7]]}`: true,
		`{"input":"a"}`: false, `{"input":["a","b"]}`: false, `{"input":[{"n":[1]},{"x":2}]}`: false, `{"prompt":{"id":1}}`: false, `{"n":[1]}`: false,
		`{"input":[]}`: false, `{"input":[[[{"x":1}]]]}`: false,
	} {
		f, bad := NewForm(&Bare, &Buffer{B: []byte(body)})
		if bad != nil {
			t.Fatal(bad)
		}
		if got := f.Tokens(); got != want {
			t.Errorf("%s: got %v", body, got)
		}
	}
}

// Media is no text; what only looks like it is.
func TestTextsMedia(t *testing.T) {
	long := strings.Repeat("abcd", 20)
	for _, x := range []struct{ body, seen string }{
		{`{"system":"data: a"}`, "data: a"},
		{`{"system":"data:a@b.com"}`, "data:a@b.com"},
		{`{"content":"data:image/png;base64,abcd"}`, "data:image/png;base64,abcd"},
		{`{"images":["data:image/png;base64,abcd+/=="]}`, ""},
		{`{"images":["data:image/png;base64,abcd a@b.com"]}`, "data:image/png;base64,abcd a@b.com"},
		{`{"images":["data:text/plain;base64,abcd"]}`, "data:text/plain;base64,abcd"},
		{`{"image":"data:image/png,abcd"}`, "data:image/png,abcd"},
		{`{"source":{"data":"` + long + `","type":"base64","media_type":"image/png"}}`, ""},
		{`{"source":{"type":"text","media_type":"text/plain","data":"` + long + `"}}`, long},
		{`{"source":{"data":"` + long + `"}}`, long},
		{`{"input_audio":{"data":"` + long + `","format":"wav"}}`, "wav"},
		{`{"inlineData":{"mimeType":"image/png","data":"a@b.com"}}`, "a@b.com"},
		{`{"arguments":"{\"data\":\"` + long + `\"}"}`, "data " + long},
		{`{"args":{"source":{"media_type":"image/png","data":"` + long + `"}}}`, "source media_type image/png data " + long},
	} {
		f, bad := NewForm(&Bare, &Buffer{B: []byte(x.body)})
		if bad != nil {
			t.Fatal(bad)
		}
		var seen []string
		_, bad = f.Texts(func(s string) (string, bool) {
			seen = append(seen, s)
			return "", false
		})
		if got := strings.Join(seen, " "); bad != nil || got != x.seen {
			t.Errorf("%s: saw %q, %v, want %q", x.body, got, bad, x.seen)
		}
	}
}

// Long numbers in what tools take and give are text.
func TestTextsNumbers(t *testing.T) {
	number := func(s string) (string, bool) { return "[N]", s == "4111111111111111" }
	f, _ := NewForm(&Bare, &Buffer{B: []byte(`{"n":4111111111111111,"messages":[{"content":[{"input":{"card":4111111111111111}}]},{"function":{"arguments":"{\"card\":4111111111111111}"}}]}`)})
	got, bad := f.Texts(number)
	want := `{"n":4111111111111111,"messages":[{"content":[{"input":{"card":"[N]"}}]},{"function":{"arguments":"{\"card\":\"[N]\"}"}}]}`
	if bad != nil || string(got.Bytes()) != want {
		t.Errorf("got %s, %v, want %s", got.Bytes(), bad, want)
	}
}

func TestTextsOfParts(t *testing.T) {
	long := strings.Repeat("long ", 2000)
	body := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n" + long +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\nbytes\r\n--b--\r\n"
	p, bad := NewParts(&Buffer{B: []byte(body)}, "multipart/form-data; boundary=b")
	if bad != nil {
		t.Fatal(bad)
	}
	got, bad := p.Texts(shout)
	if want := strings.Replace(body, long, strings.ToUpper(long), 1); bad != nil || string(got.Bytes()) != want {
		t.Errorf("got %.300s, %v", got.Bytes(), bad)
	}
}

// FuzzTexts: what is no JSON is an error, and what nobody changes keeps its
// bytes; an edit leaves JSON.
func FuzzTexts(f *testing.F) {
	for _, s := range []string{`{"a":"b"}`, `{"arguments":"{\"a\":[1234567]}"}`, `{"x":{"input":{"é":"\ud800"}}}`, `{"a":"\`, `{`, `{"data":"data:a"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := []byte(s)
		patches, err := editTexts(b, ordinary, func(string) (string, bool) { return "", false })
		if err == nil && len(patches) > 0 {
			t.Fatalf("nothing was changed, got %v", patches)
		}
		if string(b) != s {
			t.Fatal("the document changed")
		}
		patches, err = editTexts(b, ordinary, func(string) (string, bool) { return "\"[X]\\", true })
		if err != nil {
			return
		}
		if out := patched(b, patches); !scan.Valid(out) || len(out) > len(b)+16*len(patches)+len(patches)*len(b) {
			t.Fatalf("%q became %q", s, out)
		}
	})
}
