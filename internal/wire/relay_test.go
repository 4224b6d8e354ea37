package wire

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
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
// vendor sent.
func TestRelay(t *testing.T) {
	image := strings.Repeat("A", 100<<10)
	for name, list := range map[string][]string{
		"empty":          nil,
		"sound":          {"ID3", image},
		"a large answer": {`{"data":[{"b64_json":"` + image + `"}],"usage":{"total":42}}`},
		"events":         {"data: {}\n\n", `data: {"type":"done"}` + "\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			body := &pieces{list: slices.Clone(list), err: io.EOF}
			s := Relay(answerOf("audio/mpeg", body), MaxStream)
			got, u, err := gather(s)
			if err != io.EOF || got != strings.Join(list, "") || u != (llm.Usage{}) {
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
		s := Relay(answerOf("audio/mpeg", &pieces{list: slices.Clone(list), err: cause}), MaxStream)
		got, _, err := gather(s)
		e := llm.AsError(err)
		if got != strings.Join(list, "") || e.Kind != llm.KindUpstream || !errors.Is(err, cause) {
			t.Errorf("%q, then %v", got, err)
		}
		_ = s.Close()
	}
}

func TestRelayIsEmptyOnce(t *testing.T) {
	s := Relay(answerOf("application/json", &pieces{err: io.EOF}), MaxStream)
	defer s.Close()
	c, err := s.Next()
	if err != nil || len(c.Raw) != 0 || c.Level != llm.LevelContent {
		t.Errorf("an empty answer is %+v, %v", c, err)
	}
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("then %v", err)
	}
}
