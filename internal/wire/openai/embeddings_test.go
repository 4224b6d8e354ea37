package openai

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/sluicegate/sluice/internal/wire"
)

// A vector's every bit survives both ways, for any float32.
func TestEmbeddingBits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	for range 200 {
		raw := make([]byte, 4*rnd.IntN(40))
		for i := 0; i < len(raw); i += 4 {
			for {
				for j := range 4 {
					raw[i+j] = byte(rnd.Uint32())
				}
				if raw[i+3]&0x7f != 0x7f || raw[i+2]&0x80 == 0 { // neither infinite nor NaN
					break
				}
			}
		}
		text, _ := json.Marshal(raw)
		b64 := append(append([]byte(`{"data":[{"index":0,"embedding":`), text...), `},{"embedding":"AACAPw=="}],"usage":{}}`...)
		floats, err := convertEmbeddings(bytes.Clone(b64), true, wire.VectorFloat32)
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Data []struct{ Embedding []float32 }
		}
		if err := json.Unmarshal(floats, &read); err != nil || len(read.Data) != 2 || len(read.Data[0].Embedding) != len(raw)/4 || read.Data[1].Embedding[0] != 1 {
			t.Fatalf("%s became %s: %v", b64, floats, err)
		}
		back, err := convertEmbeddings(floats, false, wire.VectorFloat32)
		if err != nil || !bytes.Equal(back, b64) {
			t.Fatalf("%s came back as %s, %v", b64, back, err)
		}
	}
}

// Where a vendor's vectors hold a byte a value, a client that wants numbers
// gets those numbers, and one that wants base64 gets them as float32.
func TestByteVectors(t *testing.T) {
	raw := make([]byte, 256)
	for i := range raw {
		raw[i] = byte(i)
	}
	text, _ := json.Marshal(raw)
	in := append(append([]byte(`{"data":[{"embedding":`), text...), `}]}`...)
	var numbers struct {
		Data []struct{ Embedding []float32 }
	}
	out, err := convertEmbeddings(bytes.Clone(in), true, wire.VectorInt8)
	if err != nil || json.Unmarshal(out, &numbers) != nil || len(numbers.Data) != 1 || len(numbers.Data[0].Embedding) != 256 {
		t.Fatalf("numbers: got %s, %v", out, err)
	}
	for i, got := range numbers.Data[0].Embedding {
		if want := float32((i+128)%256 - 128); got != want {
			t.Errorf("byte %d: got %g, want %g", i, got, want)
		}
	}
	wide, err := convertEmbeddings(bytes.Clone(in), false, wire.VectorInt8)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := convertEmbeddings(wide, true, wire.VectorFloat32); err != nil || !bytes.Equal(back, out) {
		t.Errorf("base64 of float32: read as %s, %v, want %s", back, err, out)
	}
}
