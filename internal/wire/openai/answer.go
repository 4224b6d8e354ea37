package openai

import (
	"bytes"
	"net/http"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Answer makes an answer of resp, a unary answer to req that goes to a client
// of this protocol. form is what the vendor's vectors are in base64. The caller
// closes the answer, which closes the response's body.
func Answer(req *llm.Request, resp *http.Response, form wire.VectorForm) (llm.Stream, *llm.Error) {
	return wire.Answer(resp, func(body []byte) (llm.Chunk, *llm.Error) {
		c := llm.Chunk{Raw: body, Level: llm.LevelContent}
		if req.Op == llm.OpRerank {
			bad := ranked(req, body, &c)
			return c, bad
		}
		usage, bad := Inspect(req.Op, body)
		if bad != nil {
			return c, bad
		}
		if c.Usage = usage; usage == nil {
			c.Usage = &llm.Usage{Input: req.InputTokens(), Estimated: true}
			if req.Op != llm.OpEmbedding {
				c.Usage.Output = int64(len(body)+3) / 4
			}
		}
		if req.Op == llm.OpEmbedding && req.Vectors != llm.VectorsAsSent {
			raw, err := convertEmbeddings(body, req.Vectors == llm.VectorsNumbers, form)
			if err != nil {
				return c, wire.BadAnswer(err.Error())
			}
			c.Raw = raw
		}
		return c, nil
	})
}

// Inspect checks that b is a whole answer and finds its usage, nil where it
// has none.
func Inspect(op llm.Op, b []byte) (*llm.Usage, *llm.Error) {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return nil, wire.BadAnswer("no JSON object")
	}
	key := keyChoices
	if op == llm.OpEmbedding {
		key = keyData
	}
	if scan.After(b, key) == nil {
		if e := errorIn(b); e != nil {
			return nil, e
		}
		return nil, wire.BadAnswer("an object without " + string(key))
	}
	// The usage is at the end nearly always; the last one that parses wins.
	for rest := b; ; {
		i := bytes.LastIndex(rest, keyUsage)
		if i < 0 {
			return nil, nil
		}
		if v := scan.After(rest[i:], keyUsage); len(v) > 0 && v[0] == '{' {
			if end := objectEnd(v); end > 0 {
				if op == llm.OpEmbedding {
					u, ok := ParseUsage(v[:end])
					return &llm.Usage{Input: u.Input, ImageInput: u.ImageInput, Estimated: !ok}, nil
				}
				if u, ok := ParseUsage(v[:end]); ok {
					u = served(u, b)
					return &u, nil
				}
			}
		}
		rest = rest[:i]
	}
}

var keyData = []byte(`"data"`)

// objectEnd returns the length of the JSON value that b begins with, 0 if it
// is broken.
func objectEnd(b []byte) int {
	n, err := scan.End(b)
	if err != nil {
		return 0
	}
	return n
}

// errorIn returns the error that a vendor put into a 200, nil if b has none:
// a top-level member "error" that is not null.
func errorIn(b []byte) *llm.Error {
	v := scan.Get(b, "error")
	if scan.Null(v) {
		return nil
	}
	return reported(v)
}

// kindOf reads an embedded error object: a numeric code is an HTTP status
// (OpenRouter), names are those of OpenAI and Anthropic.
func kindOf(v []byte) llm.Kind {
	code := scan.Get(v, "code")
	n, _ := scan.Int(code)
	name, _ := scan.String(code)
	typ, _ := scan.String(scan.Get(v, "type"))
	switch {
	case n == 401 || n == 403 || name == "invalid_api_key" || typ == "authentication_error":
		return llm.KindCredential
	case n == 402 || name == "insufficient_quota" || typ == "insufficient_quota":
		return llm.KindCredit
	case n == 429 || n == 529 || name == "rate_limit_exceeded" || typ == "rate_limit_error" || typ == "overloaded_error":
		return llm.KindRateLimited
	case name == "context_length_exceeded":
		return llm.KindContextLength
	case n == 400 || n == 413 || n == 422 || name == "content_filter" || typ == "invalid_request_error":
		return llm.KindCaller
	}
	return llm.KindUpstream
}
