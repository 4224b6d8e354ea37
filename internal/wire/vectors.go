package wire

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// VectorForm is how a vendor writes a vector in base64.
type VectorForm uint8

// The forms. Arrays of numbers are read in any.
const (
	VectorFloat32 VectorForm = iota // little-endian
	VectorInt8                      // a byte a value
)

// Vector reads a vector: an array of numbers, or its base64 in a form.
func Vector(v []byte, form VectorForm) ([]float32, error) {
	if len(v) > 0 && v[0] == '[' {
		return numbers(v)
	}
	s, ok := scan.String(v)
	if !ok {
		return nil, errors.New("neither an array nor a string")
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("not base64")
	}
	if form == VectorInt8 {
		out := make([]float32, len(raw))
		for i, c := range raw {
			out[i] = float32(int8(c))
		}
		return out, nil
	}
	if len(raw)%4 != 0 {
		return nil, errors.New("not base64 of float32 values")
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if f := float64(out[i]); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errors.New("a value that JSON cannot hold")
		}
	}
	return out, nil
}

func numbers(v []byte) ([]float32, error) {
	out := make([]float32, 0, len(v)/12) // about so many bytes a value
	var bad error
	err := scan.Elements(v, func(e []byte) bool {
		x, err := strconv.ParseFloat(string(e), 32)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			bad = errors.New("a value that is no number")
			return false
		}
		out = append(out, float32(x))
		return true
	})
	if err == nil {
		err = bad
	}
	return out, err
}

// Vectors reads an array of vectors.
func Vectors(v []byte) ([][]float32, error) {
	var out [][]float32
	var bad error
	err := scan.Elements(v, func(e []byte) bool {
		var one []float32
		one, bad = Vector(e, VectorFloat32)
		out = append(out, one)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return out, err
}

// AppendNumbers appends a vector as a JSON array.
func AppendNumbers(dst []byte, v []float32) []byte {
	dst = append(dst, '[')
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(x), 'g', -1, 32)
	}
	return append(dst, ']')
}

// AppendBase64 appends a vector as a JSON string: base64 of little-endian
// float32.
func AppendBase64(dst []byte, v []float32) []byte {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	return append(dst, '"')
}

// ParseTask returns the task that a vendor's word stands for: Gemini's
// taskType, Cohere's and Voyage's input_type, Jina's task. ok is false for a
// word that is none.
func ParseTask(word string) (t llm.Task, ok bool) {
	switch strings.ToLower(word) {
	case "", "none", "unspecified", "task_type_unspecified":
		return llm.TaskNone, true
	case "query", "search_query", "retrieval_query", "retrieval.query":
		return llm.TaskQuery, true
	case "document", "passage", "search_document", "retrieval_document", "retrieval.passage":
		return llm.TaskDocument, true
	case "similarity", "semantic_similarity", "text-matching":
		return llm.TaskSimilarity, true
	case "classification":
		return llm.TaskClassification, true
	case "clustering", "separation":
		return llm.TaskClustering, true
	case "question_answering":
		return llm.TaskQuestion, true
	case "fact_verification":
		return llm.TaskFact, true
	case "code_retrieval_query", "code.query":
		return llm.TaskCode, true
	}
	return llm.TaskNone, false
}

// Tasks are the words of a vendor for tasks, by task; "" where it has none.
type Tasks [llm.TaskCode + 1]string

// Word returns the vendor's word for a task. One that it does not have is
// told as the nearest, and lost.
func (c *Call) Word(words *Tasks, t llm.Task) string {
	if t == llm.TaskNone {
		return words[t]
	}
	if words[t] != "" {
		return words[t]
	}
	c.Lose("task_type")
	switch t {
	case llm.TaskQuestion, llm.TaskFact, llm.TaskCode:
		return words[llm.TaskQuery]
	}
	return words[llm.TaskNone]
}

// Texts returns the texts of e's inputs; the titles that some have are lost.
// An input of tokens is an error.
func (c *Call) Texts(e *llm.Embed) ([]string, *llm.Error) {
	out := make([]string, len(e.Inputs))
	for i, in := range e.Inputs {
		if in.Tokens != nil {
			return nil, Unsupported("input", "the model's vendor reads text only, no tokens; send strings")
		}
		if in.Title != "" {
			c.Lose("title")
		}
		out[i] = in.Text
	}
	return out, nil
}
