package bedrock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// appendFrame writes a message whose headers are strings: name, value, …
func appendFrame(dst []byte, payload string, headers ...string) []byte {
	var h []byte
	for i := 0; i < len(headers); i += 2 {
		h = append(append(h, byte(len(headers[i]))), headers[i]...)
		h = binary.BigEndian.AppendUint16(append(h, 7), uint16(len(headers[i+1])))
		h = append(h, headers[i+1]...)
	}
	return appendRaw(dst, payload, h)
}

func appendRaw(dst []byte, payload string, h []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(leastSize+len(h)+len(payload)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(h)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[at:]))
	dst = append(append(dst, h...), payload...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[at:]))
}

func appendEvent(dst []byte, name, payload string) []byte {
	return appendFrame(dst, payload, ":event-type", name, ":content-type", "application/json", ":message-type", "event")
}

// readAll returns copies of all frames, and the error that ended them.
func readAll(src io.Reader) (out []wire.Frame, err error) {
	s := newFrames(src)
	defer s.Close()
	for {
		fs, err := s.Next()
		for _, f := range fs {
			out = append(out, wire.Frame{Name: f.Name, Data: slices.Clone(f.Data)})
		}
		if err != nil {
			return out, err
		}
	}
}

func same(a, b []wire.Frame) bool {
	return slices.EqualFunc(a, b, func(x, y wire.Frame) bool { return x.Name == y.Name && bytes.Equal(x.Data, y.Data) })
}

func TestFrames(t *testing.T) {
	b := appendEvent(nil, "messageStart", `{"role":"assistant"}`)
	b = appendFrame(b, `{"message":"slow"}`, ":exception-type", "throttlingException", ":message-type", "exception")
	b = appendFrame(b, "", ":error-code", "InternalError", ":error-message", "a \"b\"", ":message-type", "error")
	b = appendEvent(b, "new", `{}`)
	b = appendRaw(b, "1", []byte("\x01a\x00\x01b\x01\x01c\x02x\x01d\x03xx\x01e\x04xxxx\x01f\x05xxxxxxxx\x01g\x06\x00\x01x\x01h\x08xxxxxxxx\x01i\x09xxxxxxxxxxxxxxxx"))
	want := []wire.Frame{
		{Name: "messageStart", Data: []byte(`{"role":"assistant"}`)},
		{Name: ":exception:throttlingException", Data: []byte(`{"message":"slow"}`)},
		{Name: ":error:InternalError", Data: []byte(`{"message":"a \"b\""}`)},
		{Name: "new", Data: []byte("{}")},
		{Name: "", Data: []byte("1")},
	}
	for name, src := range map[string]io.Reader{
		"whole": bytes.NewReader(b), "bytes": iotest.OneByteReader(bytes.NewReader(b)), "with EOF": iotest.DataErrReader(bytes.NewReader(b)),
	} {
		got, err := readAll(src)
		if err != io.EOF || !same(got, want) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for cut := 1; cut < len(b); cut++ {
		got, err := readAll(bytes.NewReader(b[:cut]))
		if !same(got, want[:len(got)]) || err != io.ErrUnexpectedEOF && (err != io.EOF || !wholeAt(b, cut)) {
			t.Errorf("cut at %d: got %d frames, %v", cut, len(got), err)
		}
	}
}

// wholeAt reports whether b[:cut] ends with a message.
func wholeAt(b []byte, cut int) bool {
	at := 0
	for at < cut {
		at += int(binary.BigEndian.Uint32(b[at:]))
	}
	return at == cut
}

func TestBrokenFrames(t *testing.T) {
	good := appendEvent(nil, "messageStop", `{"stopReason":"end_turn"}`)
	for i := range good { // no changed byte goes unseen
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if got, err := readAll(bytes.NewReader(bad)); len(got) != 0 || !errors.Is(err, errFrame) {
			t.Fatalf("byte %d changed: got %q, %v", i, got, err)
		}
	}
	prelude := func(size, head uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, size)
		b = binary.BigEndian.AppendUint32(b, head)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	for name, b := range map[string][]byte{
		"no length":             prelude(0, 0),
		"shorter than it can":   prelude(leastSize-1, 0),
		"huge":                  prelude(1<<32-1, 0),
		"above the bound":       prelude(maxMessage+1, 0),
		"huge headers":          prelude(maxMessage, maxHeaders+1),
		"headers above message": prelude(100, 85),
		"header without name":   appendRaw(nil, "", []byte("\x00")),
		"header cut":            appendRaw(nil, "", []byte("\x05:ab")),
		"header's length cut":   appendRaw(nil, "", []byte("\x01a\x07\x00")),
		"header's value cut":    appendRaw(nil, "", []byte("\x01a\x07\x00\x09b")),
		"header of no type":     appendRaw(nil, "", []byte("\x01a\x0a")),
		"server-sent events":    []byte("event: messageStart\ndata: {}\n\n"),
		"an error in JSON":      []byte(`{"message":"The security token is expired"}`),
	} {
		// What follows the good message must not hide it.
		got, err := readAll(bytes.NewReader(append(slices.Clone(good), b...)))
		if len(got) != 1 || !errors.Is(err, errFrame) {
			t.Errorf("%s: got %d frames, %v", name, len(got), err)
		}
	}
}

// TestFrameGrowth: a length alone takes no memory.
func TestFrameGrowth(t *testing.T) {
	b := binary.BigEndian.AppendUint32(nil, maxMessage)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	s := newFrames(bytes.NewReader(append(b, make([]byte, 10000)...)))
	if _, err := s.Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", err)
	}
	if cap(*s.buf) > 32<<10 {
		t.Errorf("10 kB took a buffer of %d bytes", cap(*s.buf))
	}
	s.Close()
	if _, err := s.Next(); err != io.ErrClosedPipe {
		t.Errorf("after Close: %v", err)
	}
	large := appendEvent(nil, "contentBlockDelta", string(make([]byte, maxMessage-leastSize-100)))
	if got, err := readAll(bytes.NewReader(large)); err != io.EOF || len(got) != 1 {
		t.Errorf("the largest message: %d frames, %v", len(got), err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(appendEvent(nil, "messageStart", "{}"), uint64(1))
	f.Add(appendFrame(appendEvent(nil, "a", "b"), "{}", ":message-type", "exception", ":exception-type", "x"), uint64(2))
	f.Add([]byte("\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2\x48\xeb\x7d\x98\xc8\xff"), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		whole, err1 := readAll(bytes.NewReader(b))
		cut, err2 := readAll(&recorded.Pieces{Left: b, Rand: rand.New(rand.NewPCG(seed, 0)), Most: 64})
		if !same(whole, cut) || (err1 == io.EOF) != (err2 == io.EOF) {
			t.Fatalf("whole: %q, %v\nin pieces: %q, %v", whole, err1, cut, err2)
		}
		size := 0
		for _, f := range whole {
			size += len(f.Data)
		}
		if size > 6*len(b)+16*len(whole) { // an error's text is quoted: six bytes for one
			t.Fatalf("%d bytes of %d", size, len(b))
		}
	})
}
