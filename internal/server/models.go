package server

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
)

// created stands for every model: clients want a date, and no vendor's is the
// gateway's.
var created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// openAIModel, anthropicModel and geminiModel are a model in the lists of the
// three protocols.
type openAIModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

type anthropicModel struct {
	Type        string    `json:"type"`
	ID          string    `json:"id"`
	DisplayName string    `json:"display_name"`
	CreatedAt   time.Time `json:"created_at"`
}

type geminiModel struct {
	Name        string   `json:"name"`
	DisplayName string   `json:"displayName"`
	Input       int      `json:"inputTokenLimit"`
	Output      int      `json:"outputTokenLimit"`
	Methods     []string `json:"supportedGenerationMethods"`
}

// unknownLimit is told where a model's limits are not known: clients want a
// number, and a small one would make them cut prompts.
const unknownLimit = 1 << 20

func openAIInfo(m *gateway.Model, id string) any {
	return openAIModel{ID: id, Object: "model", Created: created.Unix(), OwnedBy: m.OwnedBy}
}

func anthropicInfo(_ *gateway.Model, id string) any {
	return anthropicModel{Type: "model", ID: id, DisplayName: id, CreatedAt: created}
}

func geminiInfo(m *gateway.Model, id string) any {
	context, output := m.Limits()
	return geminiModel{
		Name: "models/" + id, DisplayName: id, Input: cmp.Or(context, unknownLimit), Output: cmp.Or(output, unknownLimit),
		Methods: []string{"generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"},
	}
}

// models lists what the caller may ask for, or tells of one model, in the
// shape of the client's protocol.
func (s *Server) models(w http.ResponseWriter, r *http.Request, id string) {
	gw, g := s.caller(w, r)
	if g == nil {
		return
	}
	proto := protoOf(r)
	info := openAIInfo
	switch proto {
	case llm.ProtoAnthropic:
		info = anthropicInfo
	case llm.ProtoGemini:
		info = geminiInfo
		id = strings.TrimPrefix(id, "models/")
	}
	if id != "" {
		m, e := gw.Model(&llm.Request{Model: id}, g)
		if e != nil {
			s.fail(w, proto, e)
			return
		}
		writeJSON(w, info(m, id))
		return
	}
	ids, all := []string{}, []any{}
	for _, name := range gw.Names() {
		if m, ok := gw.Lookup(name); ok && g.May(name) {
			ids, all = append(ids, name), append(all, info(m, name))
		}
	}
	writeJSON(w, modelList(proto, ids, all))
}

// modelList is the list in a protocol's envelope.
func modelList(proto llm.Proto, ids []string, all []any) any {
	switch proto {
	case llm.ProtoGemini:
		return struct {
			Models []any `json:"models"`
		}{all}
	case llm.ProtoAnthropic:
		list := struct {
			Data    []any   `json:"data"`
			HasMore bool    `json:"has_more"`
			FirstID *string `json:"first_id"`
			LastID  *string `json:"last_id"`
		}{Data: all}
		if n := len(ids); n > 0 {
			list.FirstID, list.LastID = &ids[0], &ids[n-1]
		}
		return list
	}
	return struct {
		Object string `json:"object"`
		Data   []any  `json:"data"`
	}{"list", all}
}
