package openai

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// MaxAnswer is the largest unary answer in bytes.
const MaxAnswer = 64 << 20

// answer is a unary answer: a stream of one chunk.
type answer struct {
	req  *llm.Request
	resp *http.Response
	int8 bool
	buf  *[]byte
	read bool
}

// Answer decodes resp, a unary answer to req. int8 says that the vendor's
// base64 vectors hold a byte a value, not a float32. The caller closes the
// answer, which closes the response's body.
func Answer(req *llm.Request, resp *http.Response, int8 bool) (llm.Stream, *llm.Error) {
	if t := resp.Header.Get("Content-Type"); t != "" && !strings.Contains(t, "json") {
		resp.Body.Close()
		return nil, badAnswer("content type " + clip(t))
	}
	if resp.ContentLength > MaxAnswer {
		resp.Body.Close()
		return nil, badAnswer("answer larger than 64 MiB")
	}
	return &answer{req: req, resp: resp, int8: int8}, nil
}

func badAnswer(detail string) *llm.Error {
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer could not be understood", Err: errors.New(detail)}
}

func (a *answer) Next() (llm.Chunk, error) {
	if a.read {
		return llm.Chunk{}, io.EOF
	}
	a.read = true
	a.buf = Buffer()
	if err := readAll(a.resp, a.buf); err != nil {
		return llm.Chunk{}, err
	}
	c := llm.Chunk{Raw: *a.buf, Level: llm.LevelContent}
	if a.resp.ContentLength < 0 && !scan.Valid(c.Raw) { // nothing else tells that it was cut
		return llm.Chunk{}, badAnswer("no whole JSON value")
	}
	usage, bad := inspect(a.req.Op, c.Raw)
	if bad != nil {
		return llm.Chunk{}, bad
	}
	if usage == nil {
		usage = &llm.Usage{Input: a.req.InputTokens(), Estimated: true}
		if a.req.Op != llm.OpEmbedding {
			usage.Output = int64(len(c.Raw)+3) / 4
		}
	}
	c.Usage = usage
	if a.req.Op == llm.OpEmbedding && a.req.Vectors != llm.VectorsAsSent {
		raw, err := convertEmbeddings(c.Raw, a.req.Vectors == llm.VectorsNumbers, a.int8)
		if err != nil {
			return llm.Chunk{}, badAnswer(err.Error())
		}
		c.Raw = raw
	}
	return c, nil
}

// readAll reads the whole body into buf. An answer that is shorter than it
// said is an error.
func readAll(resp *http.Response, buf *[]byte) error {
	b := *buf
	if n := resp.ContentLength; n > int64(cap(b)) {
		b = make([]byte, 0, n+1)
	}
	defer func() { *buf = b }()
	for {
		if len(b) == cap(b) {
			if len(b) > MaxAnswer {
				return badAnswer("answer larger than 64 MiB")
			}
			b = append(b, 0)[:len(b)]
		}
		n, err := resp.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer broke off", Err: err}
		}
	}
}

// inspect checks that b is a whole answer and finds its usage, nil where it
// has none.
func inspect(op llm.Op, b []byte) (*llm.Usage, *llm.Error) {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return nil, badAnswer("no JSON object")
	}
	key := keyChoices
	if op == llm.OpEmbedding {
		key = keyData
	}
	if after(b, key) == nil {
		if e := errorIn(b); e != nil {
			return nil, e
		}
		return nil, badAnswer("an object without " + string(key))
	}
	// The usage is at the end nearly always; the last one that parses wins.
	for rest := b; ; {
		i := bytes.LastIndex(rest, keyUsage)
		if i < 0 {
			return nil, nil
		}
		if v := after(rest[i:], keyUsage); len(v) > 0 && v[0] == '{' {
			if end := objectEnd(v); end > 0 {
				if op == llm.OpEmbedding {
					n, ok := scan.Int(scan.Get(v[:end], "prompt_tokens"))
					return &llm.Usage{Input: n, Estimated: !ok}, nil
				}
				if u, ok := parseUsage(v[:end]); ok {
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

func (a *answer) Close() error {
	err := a.resp.Body.Close()
	if a.buf != nil {
		PutBuffer(a.buf)
		a.buf = nil
	}
	a.read = true
	return err
}

// errorIn returns the error that a vendor put into a 200, nil if b has none:
// a top-level member "error" that is not null.
func errorIn(b []byte) *llm.Error {
	v := scan.Get(b, "error")
	if scan.Null(v) {
		return nil
	}
	msg, _ := scan.String(v)
	kind := llm.KindUpstream
	if v[0] == '{' {
		msg, _ = scan.String(scan.Get(v, "message"))
		kind = kindOf(v)
	}
	if kind == llm.KindCredential || kind == llm.KindCredit {
		return &llm.Error{Kind: kind, Message: "the vendor refused the gateway's credential", Err: errors.New(clip(msg))}
	}
	if msg == "" {
		msg = "the vendor reported an error"
	}
	return &llm.Error{Kind: kind, Message: msg, Err: errors.New("error in a 200 answer")}
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
