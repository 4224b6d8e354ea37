package openai

import (
	"errors"
	"fmt"

	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// convertEmbeddings brings the vectors of an embeddings answer into the form
// that the client asked for: numbers, or base64 of little-endian float32.
// form is what the vendor's base64 is. b is returned as it is where all
// vectors have that form already.
func convertEmbeddings(b []byte, floats bool, form wire.VectorForm) ([]byte, error) {
	data := scan.Get(b, "data")
	if scan.Null(data) {
		return nil, errors.New("an answer without data")
	}
	var out []byte
	done := 0 // b[:done] is in out
	var bad error
	err := scan.Elements(data, func(item []byte) bool {
		v := scan.Get(item, "embedding")
		if len(v) == 0 || (v[0] == '[') == floats && !(form == wire.VectorInt8 && v[0] == '"') {
			return true
		}
		if out == nil {
			out = make([]byte, 0, 2*len(b))
		}
		at := cap(b) - cap(v) // v is a slice of b
		out = append(out, b[done:at]...)
		var x []float32
		if x, bad = wire.Vector(v, form); bad != nil {
			return false
		}
		if floats {
			out = wire.AppendNumbers(out, x)
		} else {
			out = wire.AppendBase64(out, x)
		}
		done = at + len(v)
		return true
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
