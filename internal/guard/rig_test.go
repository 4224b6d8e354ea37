package guard

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/signal"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// model is a Handler that remembers what it was asked and answers by script.
type model struct {
	mu    sync.Mutex
	asked []string // bodies
	risks []string
	open  int // answers that were not closed
	// answer makes the chunks of an answer.
	answer func(req *llm.Request) []llm.Chunk
	end    error // nil: io.EOF
}

func (m *model) Do(_ context.Context, req *llm.Request) (*llm.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, string(req.Body.Bytes()))
	m.risks = append(m.risks, req.Context.Risk)
	m.open++
	var chunks []llm.Chunk
	if m.answer != nil {
		chunks = m.answer(req)
	}
	return &llm.Response{Status: 200, Proto: llm.ProtoOpenAI, Stream: &script{model: m, chunks: chunks}}, nil
}

func (m *model) Plan(req *llm.Request) llm.Plan {
	return llm.Plan{Model: string(req.Body.Bytes()), Candidates: []llm.Candidate{{Target: "t"}}}
}

type script struct {
	model  *model
	chunks []llm.Chunk
	closed bool
}

func (s *script) Next() (llm.Chunk, error) {
	if len(s.chunks) == 0 {
		if s.model.end != nil {
			return llm.Chunk{}, s.model.end
		}
		return llm.Chunk{}, io.EOF
	}
	c := s.chunks[0]
	s.chunks = s.chunks[1:]
	return c, nil
}

func (s *script) Close() error {
	if !s.closed {
		s.closed = true
		s.model.mu.Lock()
		s.model.open--
		s.model.mu.Unlock()
	}
	return nil
}

// tell makes the chunks of a streamed answer of one text that comes in pieces;
// raw: they pass as bytes, too.
func tell(raw bool, pieces ...string) []llm.Chunk {
	chunk := func(e ...llm.Event) llm.Chunk {
		c := llm.Chunk{Events: e, Level: llm.LevelContent}
		if raw {
			c.Raw = []byte(fmt.Sprintf("data: %d %s\n\n", e[0].Kind, e[0].Text))
		}
		return c
	}
	out := []llm.Chunk{chunk(llm.Event{Kind: llm.EventStart, ID: "a"}), chunk(llm.Event{Kind: llm.EventBlock, Block: &llm.Block{Kind: llm.BlockText}})}
	for _, p := range pieces {
		out = append(out, chunk(llm.Event{Kind: llm.EventDelta, Text: p}))
	}
	return append(out, chunk(llm.Event{Kind: llm.EventBlockEnd}), chunk(llm.Event{Kind: llm.EventStop, Stop: llm.StopEnd}))
}

// request makes a chat of user turns.
func request(t testing.TB, stream bool, turns ...string) *llm.Request {
	t.Helper()
	var b strings.Builder
	b.WriteString(`{"model":"m","messages":[`)
	for i, text := range turns {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"role":"` + role + `","content":`)
		b.Write(wire.AppendString(nil, text))
		b.WriteByte('}')
	}
	fmt.Fprintf(&b, `],"stream":%t}`, stream)
	trail := llm.NewTrail("id", time.Now(), func(*llm.Trail) {})
	req := &llm.Request{ID: "id", Trail: trail}
	if bad := protocol.Of(llm.ProtoOpenAI).Decode(llm.OpChat, &wire.Buffer{B: []byte(b.String())}, req); bad != nil {
		t.Fatal(bad)
	}
	return req
}

// got is an answer that was read.
type got struct {
	raw  string
	text string // of the events
	err  error
	resp *llm.Response
}

func read(resp *llm.Response, err error) got {
	if err != nil {
		return got{err: err}
	}
	g := got{resp: resp}
	defer resp.Close()
	for {
		c, err := resp.Next()
		if err != nil {
			if err != io.EOF {
				g.err = err
			}
			return g
		}
		g.raw += string(c.Raw)
		if text, ok := strings.CutPrefix(string(c.Raw), fmt.Sprintf("data: %d ", llm.EventDelta)); ok && c.Events == nil {
			g.text += strings.TrimSuffix(text, "\n\n")
		}
		for _, e := range c.Events {
			if e.Kind == llm.EventDelta {
				g.text += e.Text
			}
		}
	}
}

// kind is the kind of an error.
func kind(err error) string {
	if err == nil {
		return ""
	}
	return llm.AsError(err).Kind.String()
}

func personal(action Action) *Guard {
	all := map[signal.Kind]Action{}
	for _, name := range signal.KindNames() {
		k, _ := signal.KindByName(name)
		all[k] = action
	}
	return &Guard{Name: "personal", Input: true, Output: true, Sample: 1, Finders: NewPII(all, llm.RiskLow)}
}

func rules(r ...Rule) *Guard {
	return &Guard{Name: "rules", Input: true, Output: true, Sample: 1, Finders: NewRules("RULES", r)}
}

// remote is a Remote of a function.
type remote func(ctx context.Context, q *Question) (Opinion, error)

func (r remote) Ask(ctx context.Context, q *Question) (Opinion, error) { return r(ctx, q) }

func asks(name string, r remote) *Guard {
	return &Guard{Name: name, Input: true, Output: true, Sample: 1, Timeout: time.Second, Remote: r}
}

func verdicts(t *llm.Trail) string {
	var out []string
	for _, v := range t.Guards {
		s := v.Guard + " " + v.Stage + " " + v.Action
		if v.Risk != "" {
			s += " " + v.Risk
		}
		if len(v.Found) > 0 {
			s += " " + strings.Join(v.Found, ",")
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

var secret = regexp.MustCompile(`(?i)\bsecret-\d{3,5}\b`)
