package wire

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// MaxModelName bounds the name of a model in bytes.
const MaxModelName = 256

// Shape says what is looked at in the request bodies of one protocol. Shapes
// are tables: they are never changed.
type Shape struct {
	// Proto is the protocol whose words the bodies are in.
	Proto llm.Proto
	// Keys are the members that decide where a request goes and what it may
	// cost. Each may appear once, in this spelling only: a vendor that folds
	// case or takes the last of two must not see another value than we did.
	// The first three are KeyModel, KeyStream and KeyContext.
	Keys []string
	// Asked is the key that makes the member KeyContext the gateway's own,
	// which is taken out on the way to a vendor.
	Asked int
	// Codec reads chat requests; nil for bodies that are no chat.
	Codec Client
	// Conversation is Body.Conversation.
	Conversation func(f *Form) (hash uint64, ok bool)
	// User is Body.User.
	User func(f *Form) string
	// Prompt are the members that Body.Prompt returns, in its order.
	Prompt []string
}

// The keys that every protocol has, as indices into Shape.Keys; those of a
// protocol follow.
const (
	KeyModel = iota
	KeyStream
	KeyContext
	KeyOwn // the first of a protocol's own
)

// maxKeys bounds Shape.Keys.
const maxKeys = 24

// Form is a request body with the positions of its members. It implements
// llm.Body.
type Form struct {
	shape   *Shape
	raw     []byte
	buf     *Buffer // raw lies in it
	members []scan.Member
	at      [maxKeys]int16 // index into members, -1 for none
	refs    atomic.Int32

	once sync.Mutex
	chat *llm.Chat
	bad  *llm.Error
}

var forms = sync.Pool{New: func() any { return &Form{members: make([]scan.Member, 0, 16)} }}

// NewForm looks at body, which it owns from now on; on error it was freed.
func NewForm(shape *Shape, body *Buffer) (*Form, *llm.Error) {
	f := forms.Get().(*Form)
	f.shape, f.raw, f.buf = shape, body.B, body
	f.chat, f.bad = nil, nil
	f.refs.Store(1)
	if err := f.scan(); err != nil {
		f.Release()
		return nil, err
	}
	return f, nil
}

func (f *Form) scan() *llm.Error {
	for i := range f.at {
		f.at[i] = -1
	}
	var err error
	if f.members, err = scan.Object(f.members[:0], f.raw); err != nil {
		if errors.Is(err, scan.ErrDepth) || errors.Is(err, scan.ErrMembers) {
			return &llm.Error{Kind: llm.KindInvalidRequest, Message: "the body is " + err.Error()}
		}
		return &llm.Error{Kind: llm.KindInvalidJSON, Message: "the body is not a JSON object: " + err.Error()}
	}
	for i, m := range f.members {
		key := f.raw[m.Key+1 : m.KeyEnd-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			s, ok := scan.String(f.raw[m.Key:m.KeyEnd])
			if !ok {
				return &llm.Error{Kind: llm.KindInvalidJSON, Message: "a member name is not a valid JSON string"}
			}
			key = []byte(s)
		}
		for id, name := range f.shape.Keys {
			if string(key) == name {
				if f.at[id] >= 0 {
					return &llm.Error{Kind: llm.KindInvalidRequest, Param: name, Message: fmt.Sprintf("%q appears twice; send it once", name)}
				}
				f.at[id] = int16(i)
				break
			}
			if strings.EqualFold(string(key), name) {
				return &llm.Error{Kind: llm.KindInvalidRequest, Param: name, Message: fmt.Sprintf("%q must be spelled %q", clip(string(key)), name)}
			}
		}
	}
	return nil
}

var badName = &llm.Error{Kind: llm.KindInvalidRequest, Param: "model", Message: "\"model\" must be a string of at most 256 printable bytes"}

// CheckName returns nil if a model may be called s.
func CheckName(s string) *llm.Error {
	if len(s) > MaxModelName || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return badName
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// Value returns the raw value of a key, nil if it is absent.
func (f *Form) Value(key int) []byte {
	i := f.at[key]
	if i < 0 {
		return nil
	}
	return f.raw[f.members[i].Start:f.members[i].End]
}

// Has reports whether a key is there.
func (f *Form) Has(key int) bool { return f.at[key] >= 0 }

// Model returns the model that the body names, "" if it names none.
func (f *Form) Model() (string, *llm.Error) {
	v := f.Value(KeyModel)
	if scan.Null(v) {
		return "", nil
	}
	s, ok := scan.String(v)
	if !ok {
		return "", badName
	}
	return s, CheckName(s)
}

// Stream reports whether the body asks for a stream.
func (f *Form) Stream() (bool, *llm.Error) {
	switch v := f.Value(KeyStream); {
	case scan.Null(v), string(v) == "false":
		return false, nil
	case string(v) == "true":
		return true, nil
	}
	return false, &llm.Error{Kind: llm.KindInvalidRequest, Param: "stream", Message: "\"stream\" must be true or false"}
}

// Int returns a positive integer of a key, at most most; 0 if it is absent or
// no such number.
func (f *Form) Int(key int, most int64) int {
	if n, ok := scan.Int(f.Value(key)); ok && n > 0 {
		return int(min(n, most))
	}
	return 0
}

// Bytes returns the body as it was received.
func (f *Form) Bytes() []byte { return f.raw }

// User implements llm.Body.
func (f *Form) User() string {
	if f.shape.User == nil {
		return ""
	}
	return f.shape.User(f)
}

// Prompt implements llm.Body.
func (f *Form) Prompt(dst [][]byte) [][]byte {
	for _, name := range f.shape.Prompt {
		for _, m := range f.members {
			if string(f.raw[m.Key+1:m.KeyEnd-1]) == name {
				dst = append(dst, f.raw[m.Start:m.End])
				break
			}
		}
	}
	return dst
}

// Conversation implements llm.Body.
func (f *Form) Conversation() (uint64, bool) {
	if f.shape.Conversation == nil {
		return 0, false
	}
	return f.shape.Conversation(f)
}

// Chat implements llm.Body.
func (f *Form) Chat() (*llm.Chat, *llm.Error) {
	f.once.Lock()
	defer f.once.Unlock()
	if f.chat == nil && f.bad == nil {
		if f.shape.Codec == nil {
			f.bad = Unsupported("model", "this model's vendor cannot be asked this; ask another model")
		} else {
			f.chat, f.bad = f.shape.Codec.Chat(f.raw)
		}
	}
	return f.chat, f.bad
}

// Reshape makes the body one of another shape with the same keys. It is part of
// decoding.
func (f *Form) Reshape(s *Shape) { f.shape = s }

// Shape is the shape by which the body was read.
func (f *Form) Shape() *Shape { return f.shape }

// Hold implements llm.Body.
func (f *Form) Hold() { f.refs.Add(1) }

// Release implements llm.Body.
func (f *Form) Release() {
	if f.refs.Add(-1) != 0 {
		return
	}
	f.buf.Free()
	f.raw, f.buf, f.chat, f.bad = nil, nil, nil, nil
	forms.Put(f)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Cacheable is the prompt length in bytes from which vendors cache prompts:
// 1,024 tokens of about 4 bytes (OpenAI's and Anthropic's documented minimum).
const Cacheable = 4096

// Named hashes what a client calls its conversation, such as
// prompt_cache_key; ok is false if v is no string.
func Named(v []byte) (hash uint64, ok bool) {
	if len(v) <= 2 || v[0] != '"' {
		return 0, false
	}
	return uint64(crc32.Checksum(v, castagnoli))<<1 | 1, true
}

// Turns hashes what every later turn of a conversation repeats: prompt, which
// stands before the messages, and the messages up to the first of the user.
// ok is false for a single short prompt. answered is the role of the model.
func Turns(prompt, messages []byte, answered string) (hash uint64, ok bool) {
	if len(messages) == 0 || messages[0] != '[' {
		return 0, false
	}
	sum := crc32.Update(0, castagnoli, prompt)
	user, later := false, false
	err := scan.Elements(messages, func(m []byte) bool {
		role, _ := scan.String(scan.Get(m, "role"))
		switch role {
		case answered:
			later = true
		case "user":
			if !user {
				sum = crc32.Update(sum, castagnoli, m)
			}
			user = true
		default:
			if !user {
				sum = crc32.Update(sum, castagnoli, m)
			}
		}
		return !user || !later
	})
	if err != nil || !user || !later && len(prompt)+len(messages) < Cacheable {
		return 0, false
	}
	return uint64(sum) << 1, true
}
