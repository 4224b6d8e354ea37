package wire

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluicegate/sluice/internal/llm"
)

// zeros is a body of so many digits, never at its end before.
type zeros struct{ left int }

func (z *zeros) Read(b []byte) (int, error) {
	n := min(len(b), z.left, 100_000)
	for i := range b[:n] {
		b[i] = '0'
	}
	if z.left -= n; z.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (*zeros) Close() error { return nil }

// An answer of any length comes whole, whether its length was told or not, up to
// the largest.
func TestAnswerLengths(t *testing.T) {
	for _, n := range []int{1, 2 << 10, 2<<10 + 1, segment - 1, segment, segment + 1, 3*segment + 5, MaxAnswer} {
		for _, told := range []bool{false, true} {
			resp := answerOf("application/json", &zeros{n})
			if told {
				resp.ContentLength = int64(n)
			}
			var got []byte
			a, e := Answer(resp, func(body []byte) (llm.Chunk, *llm.Error) {
				got = body
				return llm.Chunk{Raw: body}, nil
			})
			if e != nil {
				t.Fatal(e)
			}
			if _, err := a.Next(); err != nil || len(got) != n || bytes.Count(got, []byte("0")) != n {
				t.Errorf("%d bytes, told %v: got %d, %v", n, told, len(got), err)
			}
			_ = a.Close()
		}
	}
}

// What is larger is refused without being held.
func TestAnswerTooLarge(t *testing.T) {
	body := &zeros{1 << 30}
	a, e := Answer(answerOf("application/json", body), func([]byte) (llm.Chunk, *llm.Error) {
		t.Error("it was read to its end")
		return llm.Chunk{}, nil
	})
	if e != nil {
		t.Fatal(e)
	}
	if _, err := a.Next(); llm.AsError(err).Kind != llm.KindUpstream {
		t.Errorf("got %v", err)
	}
	if read := 1<<30 - body.left; read > MaxAnswer+2*segment {
		t.Errorf("%d bytes were read", read)
	}
	_ = a.Close()
	resp := answerOf("application/json", &zeros{1 << 30})
	resp.ContentLength = 1 << 30
	if _, e := Answer(resp, nil); e == nil || e.Kind != llm.KindUpstream {
		t.Errorf("one that says its length: got %v", e)
	}
}

// A relayed answer and a stream end where their bound is.
func TestStreamsEndAtTheirBound(t *testing.T) {
	s := Relay(answerOf("audio/mpeg", &zeros{200_000}), 100_000)
	got, _, err := gather(s)
	if len(got) > 100_000 || llm.AsError(err).Kind != llm.KindUpstream {
		t.Errorf("relayed: %d bytes, then %v", len(got), err)
	}
	_ = s.Close()

	event := "data: {}\n\n"
	body := io.NopCloser(iotest.OneByteReader(strings.NewReader(strings.Repeat(event, 100))))
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body, ContentLength: -1}
	p, e := Pass(resp, shows{}, nil)
	if e != nil {
		t.Fatal(e)
	}
	p.(*pass).left = 55
	got, _, err = gather(p)
	if got != strings.Repeat(event, 5) || llm.AsError(err).Kind != llm.KindUpstream {
		t.Errorf("a stream: %q, then %v", got, err)
	}
	_ = p.Close()
}

// shows is a Watcher to which every event is content.
type shows struct{}

func (shows) Event([]byte) (Look, *llm.Error) { return Look{Data: true, Content: true}, nil }
func (shows) Usage() llm.Usage                { return llm.Usage{} }
func (shows) End() ([]byte, bool)             { return nil, false }
