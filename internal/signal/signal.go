// Package signal tells what a request shows before anybody answers it: the
// language and shape of a text, how many tokens it is, what identifies people or
// lets somebody in. It reads texts once, allocates nothing and asks nobody.
package signal

import "github.com/sluicegate/sluice/internal/llm"

// Signals are what a request shows.
type Signals struct {
	// Language of the text as ISO 639-1 has it, "" where it is not clear, and
	// how sure that is, from 0 to 1.
	Language string
	Sure     float64
	Shape    Shape
	Lines    int
	Bytes    int
	// PII is what kinds of spans the text has that identify people or let
	// somebody in.
	PII Kinds
	// Input is how many tokens the whole request is, Output how many the answer
	// is expected to be.
	Input  Tokens
	Output int64
}

// maxRead bounds the bytes of a text that its shape is told by, and its language:
// half of them at its beginning, half at its end, where people write what they want.
const maxRead = 16 << 10

// Of returns the signals of a request: what it asks is text, of which it says the
// rest around it.
func Of(c *llm.Chat, text string) Signals {
	s := Signals{Bytes: len(text), PII: KindsOf(text), Input: TokensOfChat(c)}
	var r reader
	s.Lines = r.readEnds(text)
	s.Shape = r.looks()
	s.Language, s.Sure = r.language()
	s.Output = s.output(c)
	return s
}

// readEnds reads a text, of a long one the beginning and the end, and counts its
// lines.
func (r *reader) readEnds(text string) int {
	if len(text) <= maxRead {
		r.read(text)
		return r.lines
	}
	r.read(text[:maxRead/2])
	r.read(text[len(text)-maxRead/2:])
	r.bytes = len(text)
	lines := 1
	for i := range len(text) {
		if text[i] == '\n' {
			lines++
		}
	}
	return lines
}

// output is how long an answer is expected, in tokens, before anybody's answers
// were seen: the median of what requests of that shape get, about. It is no more
// than the client lets it be.
func (s *Signals) output(c *llm.Chat) int64 {
	n := int64(300)
	switch {
	case c.Format.Kind != llm.FormatText || s.Shape&JSON != 0:
		n = 200
	case s.Shape&Code != 0:
		n = 500
	case s.Shape&(Question|Short) == Question|Short:
		n = 200
	}
	if c.Reasoning.On() {
		n += max(1000, c.Reasoning.Budget/4)
	}
	if c.MaxOutput > 0 {
		n = min(n, c.MaxOutput)
	}
	return n
}
