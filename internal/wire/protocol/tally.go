package protocol

import (
	"bytes"
	"math"
	"net/http"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Relay makes an answer of resp to op that goes to the client as it comes, and
// counts what it tells of usage, in whatever protocol; images where it tells
// nothing. What a model says is bounded in size; of what a vendor keeps nobody
// knows how large it is, and its time is. The caller closes it, which closes the
// response's body.
func Relay(op llm.Op, resp *http.Response) llm.Stream {
	most := int64(wire.MaxStream)
	if op >= llm.OpResponse {
		most = math.MaxInt64
	}
	s := wire.Relay(resp, most)
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), "/")
	if resp.StatusCode/100 != 2 || kind == "audio" || kind == "image" || kind == "video" {
		return s
	}
	return &tallied{Stream: s, pictures: op == llm.OpImage || op == llm.OpImageEdit || op == llm.OpImageVariation}
}

// tallied is a relayed answer that is counted.
type tallied struct {
	llm.Stream
	count    Tally
	pictures bool // images are asked for
	made     [len(pictureKeys)]int64
	tail     []byte // the end of what was seen, longer than a key
}

// Next implements llm.Stream.
func (t *tallied) Next() (llm.Chunk, error) {
	c, err := t.Stream.Next()
	if err == nil {
		if u, ok := t.count.See(c.Raw); ok {
			c.Usage = &u
		} else if t.pictures {
			c.Usage = &llm.Usage{Images: t.images(c.Raw)}
		}
	}
	return c, err
}

// pictureKeys are the members that hold an image in OpenAI's answers; an image
// has one of them, or the other is null.
var pictureKeys = [...]string{`"b64_json":`, `"url":`}

// images counts those in the answer so far.
func (t *tallied) images(b []byte) (n int64) {
	seen := len(t.tail)
	t.tail = append(t.tail, b...)
	for i, key := range pictureKeys {
		for at := 0; ; at++ {
			j := bytes.Index(t.tail[at:], []byte(key))
			if j < 0 {
				break
			}
			if at += j; at+len(key) > seen && (at == 0 || t.tail[at-1] != '\\') { // not in a prompt that is quoted
				t.made[i]++
			}
		}
		n = max(n, t.made[i])
	}
	keep := min(len(t.tail), len(pictureKeys[0])+1)
	t.tail = append(t.tail[:0], t.tail[len(t.tail)-keep:]...)
	return n
}

// maxCount bounds a usage object in bytes.
const maxCount = 8 << 10

// Tally finds the usage in an answer that passes as it is, in whatever protocol
// and framing: JSON, events, lines or binary frames that hold JSON. The zero
// value is ready. Not safe for concurrent use.
type Tally struct {
	usage llm.Usage
	found bool
	held  []byte // what may be the beginning of a count
}

// See looks at the next bytes of the answer and returns the count so far; ok is
// false while there is none. Counts that come several times grow.
func (t *Tally) See(b []byte) (u llm.Usage, ok bool) {
	t.held = append(t.held, b...)
	rest := t.held
	for {
		i := bytes.IndexByte(rest, '"')
		if i < 0 {
			if n := len(rest); n > 0 && rest[n-1] == '\\' { // it escapes what is to come
				rest = rest[n-1:]
			} else {
				rest = nil
			}
			break
		}
		if i > 0 && rest[i-1] == '\\' { // inside a string
			rest = rest[i+1:]
			continue
		}
		rest = rest[i:]
		n, whole := t.member(rest)
		if !whole {
			break
		}
		rest = rest[n:]
	}
	t.held = append(t.held[:0], rest...)
	return t.usage, t.found
}

// holders are the members that hold counts.
var holders = [...]string{`"usage"`, `"usageMetadata"`, `"usage_metadata"`, `"meta"`}

// done begins the counts of Ollama, which stand in the last object itself.
const done = `"prompt_eval_count"`

// member looks at what b, which begins with a quote, may begin. whole is false
// where more bytes must tell; else n bytes were looked at.
func (t *Tally) member(b []byte) (n int, whole bool) {
	for _, name := range [...]string{holders[0], holders[1], holders[2], holders[3], done} {
		if len(b) < len(name) && bytes.HasPrefix([]byte(name), b) {
			return 0, false
		}
		if !bytes.HasPrefix(b, []byte(name)) {
			continue
		}
		v := bytes.TrimLeft(b[len(name):], ": \t\r\n")
		at := len(b) - len(v)
		if name == done {
			end := bytes.IndexByte(b, '}')
			if end < 0 {
				return 1, len(b) > maxCount
			}
			t.add(append([]byte{'{'}, b[:end+1]...))
			return end + 1, true
		}
		switch end, err := scan.End(v); {
		case err != nil && len(b) < maxCount:
			return 0, false
		case err == nil:
			t.add(v[:end])
			return at + end, true
		}
	}
	return 1, true
}

// add takes a count. Vendors repeat and complete what they said before.
func (t *Tally) add(b []byte) {
	if u, ok := parseUsage(b); ok {
		if u = t.usage.Max(u); u.Valid() {
			t.usage, t.found = u, true
		}
	}
}
