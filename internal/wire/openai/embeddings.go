package openai

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/sluicegate/sluice/internal/wire/scan"
)

// convertEmbeddings brings the vectors of an embeddings answer into the form
// that the client asked for: numbers, or base64 of little-endian float32.
// b is returned as it is where all vectors have that form already.
func convertEmbeddings(b []byte, floats bool) ([]byte, error) {
	data := scan.Get(b, "data")
	if scan.Null(data) {
		return nil, errors.New("an answer without data")
	}
	var out []byte
	done := 0 // b[:done] is in out
	var bad error
	err := scan.Elements(data, func(item []byte) bool {
		v := scan.Get(item, "embedding")
		if len(v) == 0 || (v[0] == '[') == floats {
			return true
		}
		if out == nil {
			out = make([]byte, 0, 2*len(b))
		}
		at := cap(b) - cap(v) // v is a slice of b
		out = append(out, b[done:at]...)
		if floats {
			out, bad = appendFloats(out, v)
		} else {
			out, bad = appendBase64(out, v)
		}
		done = at + len(v)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, fmt.Errorf("reading an embedding: %w", err)
	}
	if out == nil {
		return b, nil
	}
	return append(out, b[done:]...), nil
}

func appendFloats(out, v []byte) ([]byte, error) {
	s, ok := scan.String(v)
	if !ok {
		return out, errors.New("neither an array nor a string")
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw)%4 != 0 {
		return out, errors.New("not base64 of float32 values")
	}
	out = append(out, '[')
	for i := 0; i < len(raw); i += 4 {
		if i > 0 {
			out = append(out, ',')
		}
		x := float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return out, errors.New("a value that JSON cannot hold")
		}
		out = strconv.AppendFloat(out, x, 'g', -1, 32)
	}
	return append(out, ']'), nil
}

func appendBase64(out, v []byte) ([]byte, error) {
	var raw []byte
	var bad error
	err := scan.Elements(v, func(e []byte) bool {
		x, err := strconv.ParseFloat(string(e), 32)
		if err != nil {
			bad = errors.New("a value that is no number")
			return false
		}
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(x)))
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return out, err
	}
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, raw)
	return append(out, '"'), nil
}
