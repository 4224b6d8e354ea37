package bedrock

import (
	"encoding/base64"
	"mime"
	"path"
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// formats are Converse's names for media types, and for the ends of files'
// names where they differ from it.
var formats = map[string]string{
	"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp",
	"jpg": "jpeg",

	"application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
	"application/msword":       "doc",
	"application/vnd.ms-excel": "xls",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":       "xlsx",
	"htm": "html", "text": "txt", "markdown": "md",

	"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/aac": "aac",
	"audio/flac": "flac", "audio/ogg": "ogg", "audio/opus": "opus", "audio/mp4": "mp4", "audio/x-m4a": "m4a", "audio/webm": "webm",
	"audio/pcm": "pcm",
}

// kinds are the formats of each kind of block.
var kinds = map[llm.BlockKind][]string{
	llm.BlockImage: {"png", "jpeg", "gif", "webp"},
	llm.BlockFile:  {"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"},
	llm.BlockAudio: {"mp3", "wav", "aac", "flac", "ogg", "opus", "mp4", "m4a", "webm", "pcm"},
}

// media writes an image, a file or audio: its bytes, or where in S3 they are.
func (e *encoding) media(b *llm.Block) (block, *llm.Error) {
	m := b.Media
	if m == nil {
		m = &llm.Media{}
	}
	if m.Video() {
		return block{}, wire.Unsupported("video", "Bedrock is sent no videos from here; leave it out or ask another model")
	}
	out := &media{Format: formatOf(b.Kind, m, b.Name)}
	switch {
	case m.Data != "":
		out.Source.Bytes = m.Data
	case m.Text != "":
		out.Source.Bytes = base64.StdEncoding.EncodeToString([]byte(m.Text))
		if out.Format == "" {
			out.Format = "txt"
		}
	case strings.HasPrefix(m.URL, "s3://"):
		out.Source.S3 = &location{m.URL}
	case m.URL != "":
		return block{}, wire.Unsupported("messages", "Bedrock fetches nothing from the web; send the content itself, as base64")
	default:
		return block{}, wire.Unsupported("messages", "Bedrock knows no file of that id; send the content itself, as base64")
	}
	if out.Format == "" {
		return block{}, wire.Unsupported("messages", "Bedrock takes images as png, jpeg, gif and webp, and files as pdf, csv, doc, docx, xls, xlsx, html, txt and md; send one of these and say which")
	}
	if m.Detail == "low" || m.Detail == "high" {
		e.call.Lose("detail")
	}
	switch b.Kind {
	case llm.BlockImage:
		return block{Image: out}, nil
	case llm.BlockAudio:
		return block{Audio: out}, nil
	}
	out.Name = e.docName(b.Name, out.Format)
	return block{Document: out}, nil
}

// formatOf names the format by the media type, the end of the file's name or
// the first bytes; "" for none that Converse takes.
func formatOf(kind llm.BlockKind, m *llm.Media, name string) string {
	full, _, err := mime.ParseMediaType(m.MIME)
	if err != nil {
		full = ""
	}
	first, _ := base64.StdEncoding.DecodeString(m.Data[:min(len(m.Data)&^3, 16)])
	for _, c := range [...]string{full, end(name), end(m.URL), magic(string(first))} {
		f := c
		if known, ok := formats[c]; ok {
			f = known
		}
		for _, k := range kinds[kind] {
			if f == k {
				return f
			}
		}
	}
	if strings.HasPrefix(full, "text/") || full == "application/json" {
		return "txt"
	}
	return ""
}

// end is what follows the last dot of a name.
func end(name string) string {
	return strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))
}

// magic tells a format by its first bytes.
func magic(b string) string {
	switch {
	case strings.HasPrefix(b, "\x89PNG"):
		return "png"
	case strings.HasPrefix(b, "\xff\xd8\xff"):
		return "jpeg"
	case strings.HasPrefix(b, "GIF8"):
		return "gif"
	case len(b) >= 12 && b[:4] == "RIFF" && b[8:12] == "WEBP":
		return "webp"
	case strings.HasPrefix(b, "%PDF"):
		return "pdf"
	}
	return ""
}

// maxDocName bounds a document's name, which Bedrock does at 200.
const maxDocName = 180

// docName returns a name that Bedrock takes and that no other document of the
// request has: letters, digits, single spaces, hyphens, parentheses and square
// brackets.
func (e *encoding) docName(name, format string) string {
	name = strings.TrimSuffix(name, "."+format)
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name) && len(b) < maxDocName; i++ {
		c := name[i]
		if !alphanumeric(c) && strings.IndexByte("()[]-", c) < 0 {
			if c != ' ' {
				c = '-'
			}
			if len(b) > 0 && b[len(b)-1] == c {
				continue
			}
		}
		b = append(b, c)
	}
	name = strings.Trim(string(b), " -")
	if name == "" {
		name = "document"
	}
	free := name
	for n := 2; e.docs[free]; n++ {
		free = name + " (" + strconv.Itoa(n) + ")"
	}
	e.docs[free] = true
	return free
}
