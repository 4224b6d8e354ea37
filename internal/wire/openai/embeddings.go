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
// int8 says that base64 holds a byte a value. b is returned as it is where all
// vectors have that form already.
func convertEmbeddings(b []byte, floats, int8 bool) ([]byte, error) {
	data := scan.Get(b, "data")
	if scan.Null(data) {
		return nil, errors.New("an answer without data")
	}
	var out []byte
	done := 0 // b[:done] is in out
	var bad error
	err := scan.Elements(data, func(item []byte) bool {
		v := scan.Get(item, "embedding")
		if len(v) == 0 || (v[0] == '[') == floats && !(int8 && v[0] == '"') {
			return true
		}
		if out == nil {
			out = make([]byte, 0, 2*len(b))
		}
		at := cap(b) - cap(v) // v is a slice of b
		out = append(out, b[done:at]...)
		switch {
		case int8 && v[0] == '"':
			out, bad = appendInt8(out, v, floats)
		case floats:
			out, bad = appendFloats(out, v)
		default:
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

// appendInt8 appends a vector of bytes as numbers, or as base64 of float32.
func appendInt8(out, v []byte, floats bool) ([]byte, error) {
	s, _ := scan.String(v)
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return out, errors.New("not base64")
	}
	if floats {
		out = append(out, '[')
		for i, c := range raw {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(out, int64(int8(c)), 10)
		}
		return append(out, ']'), nil
	}
	wide := make([]byte, 0, 4*len(raw))
	for _, c := range raw {
		wide = binary.LittleEndian.AppendUint32(wide, math.Float32bits(float32(int8(c))))
	}
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, wide)
	return append(out, '"'), nil
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
