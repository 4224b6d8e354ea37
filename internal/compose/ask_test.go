package compose

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// model is a handler that answers by f.
type model struct {
	f     func(req *llm.Request, chat *llm.Chat) (string, error)
	asked []*llm.Request
	chats []*llm.Chat
}

func (m *model) Plan(*llm.Request) llm.Plan { return llm.Plan{} }

func (m *model) Do(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	chat, e := req.Body.Chat()
	if e != nil {
		return nil, e
	}
	m.asked, m.chats = append(m.asked, req), append(m.chats, chat)
	text, err := m.f(req, chat)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	reply := replyOf(text)
	if text == "" {
		reply.Answers = nil
	}
	return &llm.Response{Status: 200, Stream: &once{llm.Chunk{Events: reply.Events(nil), Level: llm.LevelContent}, false}}, nil
}

func replyOf(text string) *llm.Reply {
	return &llm.Reply{ID: "vendor's", Answers: []llm.Answer{{Blocks: []llm.Block{{Kind: llm.BlockText, Text: text}}, Stop: llm.StopEnd}}}
}

// once is an answer of one piece.
type once struct {
	chunk llm.Chunk
	over  bool
}

func (s *once) Next() (llm.Chunk, error) {
	if s.over {
		return llm.Chunk{}, io.EOF
	}
	s.over = true
	return s.chunk, nil
}

func (s *once) Close() error { return nil }

// prompt is a body of a chat.
type prompt struct {
	chat     *llm.Chat
	released *int
}

func (p prompt) Bytes() []byte                 { return nil }
func (p prompt) Conversation() (uint64, bool)  { return 0, false }
func (p prompt) User() string                  { return "" }
func (p prompt) Prompt(dst [][]byte) [][]byte  { return dst }
func (p prompt) Chat() (*llm.Chat, *llm.Error) { return p.chat, nil }
func (p prompt) Hold()                         {}
func (p prompt) Release() {
	if p.released != nil {
		*p.released++
	}
}

func bodies(released *int) Body { return func(c *llm.Chat) llm.Body { return prompt{c, released} } }

// request is a client's.
func request(text string) *llm.Request {
	chat := &llm.Chat{N: 1, Messages: []llm.Message{said(llm.RoleUser, text)}}
	return &llm.Request{ID: "01A", Op: llm.OpChat, Proto: llm.ProtoOpenAI, N: 1, Body: prompt{chat: chat}, Trail: llm.NewTrail("01A", time.Now(), func(*llm.Trail) {}),
		Caller: llm.Caller{Key: "k"}, Credential: llm.Credential{Secret: "s"}}
}

func TestAsk(t *testing.T) {
	released := 0
	m := &model{f: func(*llm.Request, *llm.Chat) (string, error) { return "yes", nil }}
	req := request("hello")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := bodies(&released).Ask(ctx, m, "small", llm.NoteJudge, req, &llm.Chat{N: 1, MaxOutput: 7, Messages: []llm.Message{said(llm.RoleUser, "is it?")}})
	if err != nil || textOf(&reply.Answers[0]) != "yes" {
		t.Fatalf("got %+v, %v", reply, err)
	}
	at, _ := ctx.Deadline()
	q := m.asked[0]
	if q.ID != req.ID || q.Trail != req.Trail || q.Caller != req.Caller || q.Credential != req.Credential || q.Model != "small" || q.Note != llm.NoteJudge ||
		q.MaxOutput != 7 || q.Proto != 0 || q.Stream || !q.Deadline.Equal(at) {
		t.Errorf("asked %+v", q)
	}
	m.f = func(*llm.Request, *llm.Chat) (string, error) { return "", nil }
	if _, err := bodies(&released).Ask(ctx, m, "small", llm.NoteJudge, req, &llm.Chat{}); err == nil {
		t.Error("a reply without an answer is none")
	}
	boom := errors.New("boom")
	m.f = func(*llm.Request, *llm.Chat) (string, error) { return "", boom }
	if _, err := bodies(&released).Ask(ctx, m, "small", llm.NoteJudge, req, &llm.Chat{}); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if released != 3 {
		t.Errorf("%d of 3 bodies were released", released)
	}
}
