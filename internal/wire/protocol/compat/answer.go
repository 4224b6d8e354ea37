package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// kinds are the rows: what an answer may hold.
var kinds = []string{"text", "tool call", "several tool calls", "thinking", "seal of thinking", "citation of a web page", "refusal", "picture", "audio", "log probabilities",
	"usage: input, output", "usage: cached", "usage: cache written", "usage: reasoning", "usage: searches"}

// answer is an example of what a vendor says, and what must be in an answer
// to a client that carries it: all of marks; without any, the seal that the
// codec found.
type answer struct {
	body  string
	marks []string
}

// speaker is a column: a protocol as a vendor answers in it.
type speaker struct {
	name    string
	proto   llm.Proto
	answers map[string]answer
}

// heard sends an answer through the codecs, whole and as a stream; false if
// one of the two has not all of it.
func heard(c *client, s *speaker, kind string, a *answer) (bool, error) {
	call := &wire.Call{}
	r, bad := protocol.Of(s.proto).Vendor.Reply(call, []byte(a.body))
	if bad != nil {
		return false, fmt.Errorf("%s, %s: the example cannot be read: %w", s.name, kind, bad)
	}
	codec := protocol.Of(c.proto).Client
	req := &llm.Request{ID: "01", Model: "m", N: 1, WantUsage: true}
	whole := codec.AppendReply(nil, req, r)
	e := codec.Encoder(req)
	stream := e.End(e.Events(nil, r.Events(nil)))
	if len(a.marks) == 0 {
		return sealed(s, kind, r, whole, stream)
	}
	for _, m := range a.marks {
		if !bytes.Contains(whole, []byte(m)) || !bytes.Contains(stream, []byte(m)) {
			return false, nil
		}
	}
	return true, nil
}

// sealed reports whether an answer to a client has the seal of a reply: as
// its maker wrote it, or wrapped, which Gemini's field wants in base64.
func sealed(s *speaker, kind string, r *llm.Reply, whole, stream []byte) (bool, error) {
	for i := range r.Answers[0].Blocks {
		b := &r.Answers[0].Blocks[i]
		if b.Seal.Maker == 0 {
			continue
		}
		wrapped := wire.WrapSeal(b)
		for _, m := range [...]string{b.Seal.Data, wrapped, base64.StdEncoding.EncodeToString([]byte(wrapped))} {
			if bytes.Contains(whole, []byte(m)) && bytes.Contains(stream, []byte(m)) {
				return true, nil
			}
		}
		return false, nil
	}
	return false, fmt.Errorf("%s, %s: the codec found no seal", s.name, kind)
}

func (c *client) answers(b *bytes.Buffer) error {
	fmt.Fprintf(b, "\n### To clients of %s\n\n| answer |", c.name)
	n := 0
	for i := range speakers {
		if speakers[i].proto != c.proto {
			fmt.Fprintf(b, " %s |", speakers[i].name)
			n++
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", n) + "\n")
	for _, kind := range kinds {
		fmt.Fprintf(b, "| %s |", kind)
		for i := range speakers {
			s := &speakers[i]
			if s.proto == c.proto {
				continue
			}
			a, has := s.answers[kind]
			if !has {
				b.WriteString(" – |")
				continue
			}
			whole, err := heard(c, s, kind, &a)
			if err != nil {
				return err
			}
			word := lossy
			if whole {
				word = carried
			}
			fmt.Fprintf(b, " %s |", word)
		}
		b.WriteByte('\n')
	}
	return nil
}
