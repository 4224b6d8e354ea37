package wire

import "github.com/sluicegate/sluice/internal/llm"

// ours is the shape of what the gateway itself asks: it is in no protocol's words,
// so that every vendor is asked in translation.
var ours = Shape{}

// Own makes the body of a request of the gateway's own, whose Proto is 0. The
// caller releases it.
func Own(chat *llm.Chat) *Form {
	f := forms.Get().(*Form)
	f.shape, f.members, f.buf = &ours, f.members[:0], NewBuffer()
	for i := range f.at {
		f.at[i] = -1
	}
	for i := range chat.Messages { // as many bytes as its tokens are estimated by
		for j := range chat.Messages[i].Blocks {
			f.buf.B = append(f.buf.B, chat.Messages[i].Blocks[j].Text...)
		}
	}
	f.raw = f.buf.B
	f.chat, f.bad = chat, nil
	f.refs.Store(1)
	return f
}
