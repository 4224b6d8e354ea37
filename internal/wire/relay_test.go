package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// pieces is a body that brings one piece a read, then err.
type pieces struct {
	list   []string
	err    error
	closed int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.list) == 0 {
		return 0, p.err
	}
	n := copy(b, p.list[0])
	if p.list[0] = p.list[0][n:]; p.list[0] == "" {
		p.list = p.list[1:]
	}
	return n, nil
}

func (p *pieces) Close() error {
	p.closed++
	return nil
}

// answerOf is a vendor's answer of that type.
func answerOf(kind string, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {kind}}, Body: body, ContentLength: -1}
}

// tailUsage finds {"usage":{"total":n}}.
func tailUsage(tail []byte) (llm.Usage, bool) {
	i := bytes.LastIndex(tail, []byte(`"usage":`))
	if i < 0 {
		return llm.Usage{}, false
	}
	v := tail[i+len(`"usage":`):]
	end, err := scan.End(v)
	if err != nil {
		return llm.Usage{}, false
	}
	n, ok := scan.Int(scan.Get(v[:end], "total"))
	return llm.Usage{Output: n}, ok
}

// gather reads an answer to its end.
func gather(s llm.Stream) (raw string, usage llm.Usage, err error) {
	var b strings.Builder
	for {
		c, err := s.Next()
		if err != nil {
			return b.String(), usage, err
		}
		b.Write(c.Raw)
		if c.Usage != nil {
			usage = *c.Usage
		}
	}
}

// Every byte of a relayed answer comes as it was, in as many pieces as the
// vendor sent, and what the vendor counted is found wherever it is cut.
func TestRelay(t *testing.T) {
	const usage = `,"usage":{"total":42}}`
	image := strings.Repeat("A", 100<<10)
	for name, c := range map[string]struct {
		kind  string
		list  []string
		usage int64
	}{
		"empty":                {"audio/mpeg", nil, 0},
		"sound":                {"audio/mpeg", []string{"ID3", image, `"usage":{"total":42}`}, 0},
		"JSON":                 {"application/json", []string{`{"text":"Hello"` + usage}, 42},
		"a large answer":       {"application/json; charset=utf-8", []string{`{"data":[{"b64_json":"` + image + `"}]` + usage}, 42},
		"events":               {"text/event-stream", []string{"data: {}\n\n", `data: {"type":"done"` + usage + "\n\n"}, 42},
		"events go on":         {"text/event-stream", []string{`data: {"type":"done"` + usage + "\n\n", "data: " + image + "\n\n"}, 42},
		"usage in two pieces":  {"application/json", []string{`{"text":"Hello","us`, `age":{"total":42}}`}, 42},
		"a usage that is none": {"application/json", []string{`{"usage":"no"}`}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			body := &pieces{list: slices.Clone(c.list), err: io.EOF}
			s := Relay(answerOf(c.kind, body), tailUsage)
			got, u, err := gather(s)
			if err != io.EOF || got != strings.Join(c.list, "") || u.Output != c.usage || u.Estimated {
				t.Errorf("%d bytes, usage %+v, end %v", len(got), u, err)
			}
			if s.Close(); body.closed == 0 {
				t.Error("the vendor's body is open")
			}
			_ = s.Close()
			if _, err := s.Next(); err != io.EOF {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// An answer that breaks off is an error, at its beginning as in its middle.
func TestRelayBroken(t *testing.T) {
	for _, list := range [][]string{nil, {"ID3"}} {
		cause := errors.New("reset")
		s := Relay(answerOf("audio/mpeg", &pieces{list: slices.Clone(list), err: cause}), nil)
		got, _, err := gather(s)
		e := llm.AsError(err)
		if got != strings.Join(list, "") || e.Kind != llm.KindUpstream || !errors.Is(err, cause) {
			t.Errorf("%q, then %v", got, err)
		}
		_ = s.Close()
	}
}

// What is held of a relayed answer is bounded, however long it is.
func TestRelayHoldsLittle(t *testing.T) {
	var list []string
	for range 2000 {
		list = append(list, strings.Repeat("x", 20<<10))
	}
	s := Relay(answerOf("text/event-stream", &pieces{list: list, err: io.EOF}), tailUsage).(*relay)
	defer s.Close()
	for {
		if _, err := s.Next(); err != nil {
			break
		}
		if cap(s.tail) > 4*(relayRead+relayTail) {
			t.Fatalf("%d bytes of the tail are held", cap(s.tail))
		}
	}
}

func TestRelayIsEmptyOnce(t *testing.T) {
	s := Relay(answerOf("application/json", &pieces{err: io.EOF}), tailUsage)
	defer s.Close()
	c, err := s.Next()
	if err != nil || len(c.Raw) != 0 || c.Level != llm.LevelContent {
		t.Errorf("an empty answer is %+v, %v", c, err)
	}
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("then %v", err)
	}
}
