package server

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

func TestEachLine(t *testing.T) {
	for in, want := range map[string][]string{
		"": nil, "\n\n": nil, "a": {"a"}, "a\nb\n": {"a", "b"}, "a\r\n \nbb\n\nc": {"a\r", "bb", "c"}, strings.Repeat("x", 100<<10) + "\ny": {strings.Repeat("x", 100<<10), "y"},
	} {
		for _, r := range []io.Reader{strings.NewReader(in), iotest.HalfReader(strings.NewReader(in)), iotest.OneByteReader(strings.NewReader(in))} {
			resp := &llm.Response{Stream: wire.Relay(&http.Response{Body: io.NopCloser(r)}, wire.MaxStream)}
			var got []string
			e := eachLine(resp, func(line []byte) *llm.Error { got = append(got, string(line)); return nil })
			if e != nil || !slices.Equal(got, want) {
				t.Errorf("%.20q: %d lines, %v", in, len(got), e)
			}
			_ = resp.Close()
		}
	}
	resp := &llm.Response{Stream: wire.Relay(&http.Response{Body: io.NopCloser(strings.NewReader(strings.Repeat("x", maxObject+64<<10)))}, wire.MaxStream)}
	defer resp.Close()
	if e := eachLine(resp, func([]byte) *llm.Error { return nil }); e == nil || e.Kind != llm.KindInvalidRequest {
		t.Errorf("a line that is too long: %v", e)
	}
}
