package openai

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// turn is what a message says in any protocol.
type turn struct {
	role  llm.Role
	text  string
	calls []string
	media int
}

// turns are what a chat says: tool results are turns of their own.
func turns(c *llm.Chat) (out []turn) {
	for _, m := range c.Messages {
		t := turn{role: m.Role}
		for _, b := range m.Blocks {
			switch b.Kind {
			case llm.BlockText, llm.BlockRefusal:
				t.text += b.Text + "\n\n"
			case llm.BlockCall:
				t.calls = append(t.calls, b.Name+" "+arguments(&b))
			case llm.BlockResult:
				r := turn{role: llm.RoleUser, calls: []string{"result"}}
				for _, x := range b.Result {
					r.text += x.Text + "\n\n"
				}
				r.text = strings.TrimSpace(r.text)
				out = append(out, r)
			case llm.BlockThinking:
			default:
				t.media++
			}
		}
		if t.text = strings.TrimSpace(t.text); t.text != "" || t.calls != nil || t.media > 0 {
			out = append(out, t)
		}
	}
	return out
}

// settings are what a chat asks for beside its messages.
func settings(c *llm.Chat) llm.Chat {
	s := *c
	s.Messages, s.Left, s.Tools = nil, nil, nil
	s.Reasoning.Summary, s.Reasoning.Encrypted = "", false
	if s.Reasoning.Budget != 0 {
		s.Reasoning = llm.Reasoning{Effort: wire.Effort(s.Reasoning.Budget)}
	}
	if s.Format.Kind == llm.FormatSchema && s.Format.Name == "" {
		s.Format.Name = "answer"
	}
	return s
}

// Every recorded request is understood, and written for its vendor says the
// same, but for what is named as lost.
func TestRecordedChats(t *testing.T) {
	n, refused := 0, 0
	for _, x := range exchanges(t, "chat") {
		if x.Body == nil || !json.Valid(x.Body) || strings.HasSuffix(x.Case, "chat-no-messages-0") {
			continue
		}
		if strings.HasPrefix(x.Case, "ollama/") && !strings.Contains(string(x.Answer), `"choices"`) {
			continue // its own protocol
		}
		n++
		c, err := Codec{}.Chat(x.Body)
		if err != nil {
			t.Errorf("%s: %v", x.Case, err)
			continue
		}
		vendor, _, _ := strings.Cut(x.Case, "/")
		if vendor == "vercel-gateway" {
			vendor = "vercel"
		}
		for _, dialect := range []string{vendor, "openai", "a vendor without a row"} {
			call, err := Codec{}.Encode(c, wire.Target{Model: "m", Stream: true, Dialect: dialect})
			if err != nil {
				if dialect == vendor {
					if err.Kind != llm.KindUnsupported {
						t.Errorf("%s: %v", x.Case, err)
					}
					refused++
					t.Logf("%s: refused: %v", x.Case, err)
				}
				continue
			}
			back, err := Codec{}.Chat(call.Body)
			if err != nil {
				t.Errorf("%s for %s: %v in %s", x.Case, dialect, err, call.Body)
				continue
			}
			if len(back.Left) > 0 && dialect != "openrouter" && dialect != "perplexity" && dialect != "groq" && !strings.Contains(string(call.Body), "chat_template_kwargs") {
				t.Errorf("%s for %s: not understood again: %v", x.Case, dialect, back.Left)
			}
			want, got := turns(c), turns(back)
			if c.Format.Kind != llm.FormatText && len(got) == len(want)+1 {
				got = got[1:] // the instruction
			}
			if c.Choice.Mode == llm.ChoiceAny && dialectOf(dialect).takes&takesCalm != 0 && c.Reasoning.Effort == "" {
				back.Reasoning.Effort = "" // what is said for the tool that must be called
			}
			if len(call.Lossy) == 0 && !reflect.DeepEqual(settings(c), settings(back)) && dialect != "mistral" {
				t.Errorf("%s for %s: asks for\n%+v\nwant\n%+v", x.Case, dialect, settings(back), settings(c))
			}
			if strings.Contains(strings.Join(call.Lossy, " "), "messages.tool.content") {
				continue
			}
			if !reflect.DeepEqual(want, got) {
				t.Errorf("%s for %s: says\n%+v\nwant\n%+v", x.Case, dialect, got, want)
			}
		}
	}
	if n < 550 || refused > 30 {
		t.Errorf("%d requests, %d refused", n, refused)
	}
	t.Logf("%d requests, %d refused", n, refused)
}
