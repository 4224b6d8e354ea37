package recordings

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"google.golang.org/genai"
)

// vector is one embedding: numbers, or base64 of float32 or int8.
type vector []float64

func (v *vector) UnmarshalJSON(b []byte) error {
	var packed []byte
	if json.Unmarshal(b, &packed) != nil {
		return json.Unmarshal(b, (*[]float64)(v))
	}
	if !floats(packed) {
		for _, n := range packed {
			*v = append(*v, float64(int8(n)))
		}
		return nil
	}
	for ; len(packed) >= 4; packed = packed[4:] {
		*v = append(*v, float64(math.Float32frombits(binary.LittleEndian.Uint32(packed))))
	}
	return nil
}

// vectors reads a recorded answer with embeddings and says whose protocol it
// is; "" for none.
func (x *exchange) vectors() (all []vector, proto string) {
	var v struct {
		Data        []struct{ Embedding vector }
		Embedding   json.RawMessage
		Embeddings  json.RawMessage
		Predictions []struct{ Embeddings struct{ Values vector } }
	}
	if x.Status >= 400 || json.Unmarshal(x.response, &v) != nil {
		return nil, ""
	}
	var held []struct{ Values, Embedding vector }
	var typed struct{ Float []vector }
	var one struct{ Values vector }
	var bare vector
	switch {
	case len(v.Data) > 0 && v.Data[0].Embedding != nil:
		for _, d := range v.Data {
			all = append(all, d.Embedding)
		}
		return all, "openai"
	case len(v.Predictions) > 0:
		for _, p := range v.Predictions {
			all = append(all, p.Embeddings.Values)
		}
		proto = "gemini"
	case json.Unmarshal(v.Embedding, &one) == nil:
		all, proto = []vector{one.Values}, "gemini"
	case json.Unmarshal(v.Embedding, &bare) == nil:
		all, proto = []vector{bare}, "bedrock"
	case json.Unmarshal(v.Embeddings, &held) == nil && len(held) > 0:
		for _, h := range held {
			all = append(all, append(h.Values, h.Embedding...))
		}
		proto = "gemini"
	case json.Unmarshal(v.Embeddings, &typed) == nil && len(typed.Float) > 0:
		all, proto = typed.Float, "cohere"
	case json.Unmarshal(v.Embeddings, &all) == nil && len(all) > 0:
		proto = x.Provider // Cohere's first version and Ollama look alike
	}
	if x.Provider == "bedrock" && proto != "" {
		proto = "bedrock"
	}
	if len(all) == 0 || len(all[0]) == 0 {
		return nil, ""
	}
	return all, proto
}

// embeds checks what vectors the clients of other protocols get.
func (r *run) embeds(x *exchange) error {
	want, proto := x.vectors()
	if proto == "" {
		return nil
	}
	model := r.account(x, proto)
	texts := strings.Split(strings.Repeat(hello+" ", len(want)-1)+hello, " ")
	if proto != "openai" {
		res, err := r.clients.openai.Embeddings.New(r.ctx, openai.EmbeddingNewParams{
			Model: model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: texts}, EncodingFormat: "float",
		}, option.WithHeader(headerCase, x.Case))
		if err != nil {
			return fmt.Errorf("vectors to openai clients: %w", err)
		}
		got := make([]vector, len(res.Data))
		for i, d := range res.Data {
			got[i] = d.Embedding
		}
		if err := sameVectors(got, want); err != nil {
			return fmt.Errorf("vectors to openai clients: %w", err)
		}
	}
	if proto == "gemini" {
		return nil
	}
	var in []*genai.Content
	for _, t := range texts {
		in = append(in, genai.Text(t)...)
	}
	cfg := &genai.EmbedContentConfig{HTTPOptions: &genai.HTTPOptions{Headers: http.Header{headerCase: {x.Case}}}}
	res, err := r.clients.gemini.Models.EmbedContent(r.ctx, model, in, cfg)
	if err != nil {
		return fmt.Errorf("vectors to gemini clients: %w", err)
	}
	got := make([]vector, len(res.Embeddings))
	for i, e := range res.Embeddings {
		for _, n := range e.Values {
			got[i] = append(got[i], float64(n))
		}
	}
	if err := sameVectors(got, want); err != nil {
		return fmt.Errorf("vectors to gemini clients: %w", err)
	}
	return nil
}

// sameVectors compares as float32, which is what travels in base64.
func sameVectors(got, want []vector) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d, want %d", len(got), len(want))
	}
	for i := range want {
		if len(got[i]) != len(want[i]) {
			return fmt.Errorf("%d numbers, want %d", len(got[i]), len(want[i]))
		}
		for j := range want[i] {
			if float32(got[i][j]) != float32(want[i][j]) {
				return fmt.Errorf("number %d of %d: %v, want %v", j, i, got[i][j], want[i][j])
			}
		}
	}
	return nil
}
