package sim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
)

type embedRequest struct {
	Model      string
	Input      json.RawMessage
	Dimensions *int
	Encoding   string `json:"encoding_format"`
}

type embedding struct {
	Object string          `json:"object"`
	Index  int             `json:"index"`
	Vector json.RawMessage `json:"embedding"`
}

type embeddings struct {
	Object string      `json:"object"`
	Data   []embedding `json:"data"`
	Model  string      `json:"model"`
	Usage  struct {
		Prompt int `json:"prompt_tokens"`
		Total  int `json:"total_tokens"`
	} `json:"usage"`
}

// embed answers /v1/embeddings. The same text has the same vector.
func embed(c *call, body []byte) {
	var req embedRequest
	if !c.decode(body, &req) {
		return
	}
	inputs, err := readInput(req.Input)
	size := c.set.Dimensions
	if size == 0 {
		size = defVector
	}
	if req.Dimensions != nil {
		size = *req.Dimensions
	}
	var bad *problem
	switch {
	case req.Model != c.set.Name:
		bad = badRequest("model", "'model' was given twice, with different values.")
	case err != nil:
		bad = badRequest("input", "Invalid 'input': "+err.Error()+".")
	case size < 1 || size > maxVector:
		bad = badRequest("dimensions", "Invalid 'dimensions': out of range 1 to 4096.")
	case req.Encoding != "" && req.Encoding != "float" && req.Encoding != "base64":
		bad = badRequest("encoding_format", "Invalid 'encoding_format': expected 'float' or 'base64'.")
	}
	if bad != nil {
		c.fail(OutcomeInvalid, *bad)
		return
	}
	if !c.think() {
		return
	}
	out := embeddings{Object: "list", Model: c.set.Name, Data: make([]embedding, len(inputs))}
	for i, in := range inputs {
		v := vector(c.set.Name, in.text, size)
		out.Data[i] = embedding{Object: "embedding", Index: i}
		if req.Encoding == "base64" {
			out.Data[i].Vector = encode(pack(v))
		} else {
			out.Data[i].Vector = encode(v)
		}
		out.Usage.Prompt += in.tokens
	}
	out.Usage.Total = out.Usage.Prompt
	c.unary(encode(out))
}

// vector returns a unit vector that depends on model and text alone.
func vector(model, text string, size int) []float32 {
	r := rand.New(rand.NewPCG(hash(model), mix(hash(text))))
	v := make([]float32, size)
	sum := 0.0
	for i := range v {
		x := r.NormFloat64()
		v[i] = float32(x)
		sum += x * x
	}
	scale := float32(1 / math.Sqrt(sum))
	for i := range v {
		v[i] *= scale
	}
	return v
}

// pack returns the vector as OpenAI packs it: little-endian float32 in
// base64.
func pack(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}
