// Package openai is the OpenAI wire protocol in both directions: chat
// completions, completions and embeddings.
package openai

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

// routed are the members that decide where a request goes and what it may
// cost. Each may appear once, in this spelling only: a vendor that folds case
// or takes the last of two must not see another value than we did.
var routed = [...]string{
	"model", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens",
	"messages", "input", "prompt", "context", "user", "prompt_cache_key", "encoding_format",
}

const (
	fModel = iota
	fStream
	fStreamOptions
	fN
	fMaxTokens
	fMaxCompletion
	fMessages
	fInput
	fPrompt
	fContext
	fUser
	fCacheKey
	fEncoding
	fields
)

// Form is a request body with the positions of its members. It implements
// llm.Body.
type Form struct {
	raw     []byte
	buf     *[]byte // what goes back to the pool
	members []scan.Member
	at      [fields]int16 // index into members, -1 for none
	refs    atomic.Int32
}

var forms = sync.Pool{New: func() any { return &Form{members: make([]scan.Member, 0, 16)} }}

// Decode reads body as a request for op and fills req. buf is the pooled
// buffer that body lies in, nil if it is not pooled; the form owns it from
// now on, whatever is returned.
func Decode(op llm.Op, body []byte, buf *[]byte, req *llm.Request) *llm.Error {
	f := forms.Get().(*Form)
	f.raw, f.buf = body, buf
	f.refs.Store(1)
	if err := f.scan(); err != nil {
		f.Release()
		return err
	}
	if err := f.fill(op, req); err != nil {
		f.Release()
		return err
	}
	req.Op, req.Proto, req.Body = op, llm.ProtoOpenAI, f
	return nil
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
		for id, name := range routed {
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

// value returns the raw value of a routed member, nil if absent.
func (f *Form) value(id int) []byte {
	i := f.at[id]
	if i < 0 {
		return nil
	}
	return f.raw[f.members[i].Start:f.members[i].End]
}

func (f *Form) fill(op llm.Op, req *llm.Request) *llm.Error {
	if v := f.value(fModel); !scan.Null(v) {
		s, ok := scan.String(v)
		if !ok {
			return badName
		}
		if err := CheckName(s); err != nil {
			return err
		}
		req.Model = s
	}
	if op != llm.OpEmbedding {
		switch v := f.value(fStream); {
		case scan.Null(v), string(v) == "false":
		case string(v) == "true":
			req.Stream = true
		default:
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: "stream", Message: "\"stream\" must be true or false"}
		}
	}
	if v := f.value(fStreamOptions); len(v) > 0 && v[0] == '{' {
		req.WantUsage = string(scan.Get(v, "include_usage")) == "true"
	}
	req.N = 1
	if n, ok := scan.Int(f.value(fN)); ok && n > 1 {
		req.N = int(min(n, 1<<20))
	}
	for _, id := range [...]int{fMaxCompletion, fMaxTokens} {
		if n, ok := scan.Int(f.value(id)); ok && n > 0 {
			req.MaxOutput = int(min(n, 1<<30))
			break
		}
	}
	if op == llm.OpEmbedding {
		switch v := f.value(fEncoding); {
		case scan.Null(v), string(v) == `"float"`:
			req.Vectors = llm.VectorsNumbers
		case string(v) == `"base64"`:
			req.Vectors = llm.VectorsBase64
		}
	}
	return nil
}

// Bytes returns the body as it was received.
func (f *Form) Bytes() []byte { return f.raw }

// User returns the member "user", "" if it is absent or no string.
func (f *Form) User() string {
	s, _ := scan.String(f.value(fUser))
	return s
}

// cacheable is the prompt length in bytes from which vendors cache prompts:
// 1,024 tokens of about 4 bytes (OpenAI's and Anthropic's documented minimum).
const cacheable = 4096

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Conversation hashes prompt_cache_key if there is one, else the messages up
// to the first of the user, which every later turn repeats.
func (f *Form) Conversation() (uint64, bool) {
	if v := f.value(fCacheKey); len(v) > 2 && v[0] == '"' {
		return uint64(crc32.Checksum(v, castagnoli))<<1 | 1, true
	}
	v := f.value(fMessages)
	if len(v) == 0 || v[0] != '[' {
		return 0, false
	}
	var sum uint32
	user, answered := false, false
	err := scan.Elements(v, func(m []byte) bool {
		switch string(scan.Get(m, "role")) {
		case `"assistant"`:
			answered = true
		case `"user"`:
			if !user {
				sum = crc32.Update(sum, castagnoli, m)
			}
			user = true
		default:
			if !user {
				sum = crc32.Update(sum, castagnoli, m)
			}
		}
		return !user || !answered
	})
	if err != nil || !user || !answered && len(v) < cacheable {
		return 0, false
	}
	return uint64(sum) << 1, true
}

// Release drops one hold on the buffer.
func (f *Form) Release() {
	if f.refs.Add(-1) != 0 {
		return
	}
	if f.buf != nil {
		PutBuffer(f.buf)
	}
	f.raw, f.buf = nil, nil
	forms.Put(f)
}

// keepBuffer is the largest body buffer that is pooled.
const keepBuffer = 256 << 10

var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// Buffer returns an empty pooled buffer.
func Buffer() *[]byte { return bodies.Get().(*[]byte) }

// PutBuffer gives a buffer back. Large ones are left to the collector.
func PutBuffer(b *[]byte) {
	if cap(*b) <= keepBuffer {
		*b = (*b)[:0]
		bodies.Put(b)
	}
}
