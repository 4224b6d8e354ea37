package gemini

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
)

// finishReason returns the word for why an answer ended.
func finishReason(s llm.Stop) string {
	switch s {
	case llm.StopLength, llm.StopContext:
		return "MAX_TOKENS"
	case llm.StopFilter, llm.StopRefusal:
		return "SAFETY"
	case llm.StopPause:
		return "OTHER"
	}
	return "STOP"
}

// AppendReply appends a whole answer. See wire.Client.
func (Codec) AppendReply(dst []byte, req *llm.Request, r *llm.Reply) []byte {
	dst = append(dst, `{"candidates":[`...)
	for n := range r.Answers {
		a := &r.Answers[n]
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"content":{"parts":[`...)
		var sources cites
		dst, sources = appendParts(dst, a.Blocks)
		dst = append(append(dst, `],"role":"model"},"finishReason":"`...), finishReason(a.Stop)...)
		dst = append(dst, `","index":`...)
		dst = strconv.AppendInt(dst, int64(n), 10)
		var probs []llm.LogProb
		for i := range a.Blocks {
			probs = append(probs, a.Blocks[i].LogProbs...)
		}
		dst = append(appendLikelihood(sources.append(dst), probs), '}')
	}
	dst = append(dst, ']')
	if r.Usage != nil {
		dst = appendUsage(append(dst, `,"usageMetadata":`...), r.Usage)
	}
	return appendTail(dst, req, r.Model, r.ID)
}

// appendTail appends the members that each chunk repeats, and ends it.
func appendTail(dst []byte, req *llm.Request, model, id string) []byte {
	if model == "" {
		model = req.Model
	}
	if id == "" {
		id = req.ID
	}
	dst = quote(append(dst, `,"modelVersion":`...), model)
	return append(quote(append(dst, `,"responseId":`...), id), '}')
}

// appendParts appends the parts that blocks are, at least one, and collects
// what they cite.
func appendParts(dst []byte, blocks []llm.Block) ([]byte, cites) {
	var sources cites
	base, parts := len(dst), 0
	next := func() {
		if parts++; len(dst) > base {
			dst = append(dst, ',')
		}
	}
	waiting := ""
	for i := range blocks {
		b := &blocks[i]
		if b.Kind == llm.BlockThinking {
			sig := signature(b)
			if b.Text == "" && sig == "" {
				continue
			}
			if waiting != "" {
				next()
				dst = appendText(dst, "", false, waiting)
				waiting = ""
			}
			if b.Text == "" {
				waiting = sig
				continue
			}
			next()
			dst = appendText(dst, b.Text, true, sig)
			continue
		}
		if !shown(b) {
			continue
		}
		for _, c := range b.Cites {
			sources = append(sources, cite{c, parts, bytesAt(b.Text, c.Start), bytesAt(b.Text, c.End)})
		}
		next()
		dst = appendBlock(dst, b, waiting)
		waiting = ""
	}
	if waiting != "" || parts == 0 {
		next()
		dst = appendText(dst, "", false, waiting)
	}
	return dst, sources
}

// shown reports whether a block is a part of an answer that is no thinking.
func shown(b *llm.Block) bool {
	switch b.Kind {
	case llm.BlockText, llm.BlockRefusal:
		return b.Text != ""
	case llm.BlockCall:
		return true
	case llm.BlockImage, llm.BlockAudio, llm.BlockFile:
		return b.Media != nil
	case llm.BlockHosted:
		return new(part).setHosted(b)
	}
	return false
}

// appendBlock appends a block that is shown as a part.
func appendBlock(dst []byte, b *llm.Block, sig string) []byte {
	switch b.Kind {
	case llm.BlockCall:
		dst = append(dst, `{"functionCall":{"id":`...)
		dst = quote(dst, b.ID)
		dst = quote(append(dst, `,"name":`...), b.Name)
		dst = append(dst, `,"args":`...)
		args, ok := object(b.Text)
		if b.Custom {
			args = wrap("input", b.Text)
		} else if !ok {
			args = wrap("_raw", b.Text)
		}
		dst = append(append(dst, oneLine(args)...), '}')
	case llm.BlockImage, llm.BlockAudio, llm.BlockFile:
		dst = appendMedia(dst, b.Media)
	case llm.BlockHosted:
		dst = append(append(quote(append(dst, '{'), b.Name), ':'), oneLine([]byte(b.Text))...)
	default:
		return appendText(dst, b.Text, false, sig)
	}
	if sig != "" {
		dst = quote(append(dst, `,"thoughtSignature":`...), sig)
	}
	return append(dst, '}')
}

// oneLine returns JSON without line ends, which may only stand between its
// tokens: an event is one line.
func oneLine(v []byte) []byte {
	if !strings.ContainsAny(string(v), "\r\n") {
		return v
	}
	return []byte(strings.NewReplacer("\r", " ", "\n", " ").Replace(string(v)))
}

func appendText(dst []byte, text string, thought bool, sig string) []byte {
	dst = quote(append(dst, `{"text":`...), text)
	if thought {
		dst = append(dst, `,"thought":true`...)
	}
	if sig != "" {
		dst = quote(append(dst, `,"thoughtSignature":`...), sig)
	}
	return append(dst, '}')
}

func appendMedia(dst []byte, m *llm.Media) []byte {
	name, what, value := `{"inlineData":{"mimeType":`, `,"data":`, m.Data
	if m.Data == "" {
		name, what, value = `{"fileData":{"mimeType":`, `,"fileUri":`, m.URL+m.FileID
	}
	dst = quote(append(dst, name...), m.MIME)
	return append(quote(append(dst, what...), value), '}')
}

// cite is a source, and which part of an answer rests on it.
type cite struct {
	llm.Cite
	part       int
	start, end int // bytes of the part
}

// cites are the sources of an answer.
type cites []cite

// bytesAt returns the offset in bytes of a character of s.
func bytesAt(s string, char int) int {
	at := 0
	for ; char > 0 && at < len(s); char-- {
		_, n := utf8.DecodeRuneInString(s[at:])
		at += n
	}
	return at
}

// append appends the member groundingMetadata, or nothing.
func (s cites) append(dst []byte) []byte {
	if len(s) == 0 {
		return dst
	}
	dst = append(dst, `,"groundingMetadata":{"groundingChunks":[`...)
	type source struct{ url, title, quote string }
	index := map[source]int{}
	for _, c := range s {
		k := source{c.URL, c.Title, c.Quote}
		if _, ok := index[k]; ok {
			continue
		}
		if len(index) > 0 {
			dst = append(dst, ',')
		}
		index[k] = len(index)
		kind := `{"web":{"uri":`
		if c.Quote != "" {
			kind = `{"retrievedContext":{"uri":`
		}
		dst = quote(append(dst, kind...), c.URL)
		dst = quote(append(dst, `,"title":`...), c.Title)
		if c.Quote != "" {
			dst = quote(append(dst, `,"text":`...), c.Quote)
		}
		dst = append(dst, `}}`...)
	}
	dst = append(dst, `],"groundingSupports":[`...)
	for i, c := range s {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"segment":{"partIndex":`...)
		dst = strconv.AppendInt(dst, int64(c.part), 10)
		dst = strconv.AppendInt(append(dst, `,"startIndex":`...), int64(c.start), 10)
		dst = strconv.AppendInt(append(dst, `,"endIndex":`...), int64(c.end), 10)
		dst = append(dst, `},"groundingChunkIndices":[`...)
		dst = strconv.AppendInt(dst, int64(index[source{c.URL, c.Title, c.Quote}]), 10)
		dst = append(dst, `]}`...)
	}
	return append(dst, `]}`...)
}
