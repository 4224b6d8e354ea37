package gemini

import (
	"strconv"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// CountRequest writes the body of countTokens for a chat: on the Gemini API
// the whole request is wrapped, Vertex AI takes the members that count. What
// only shapes the answer is neither sent nor lost.
func CountRequest(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	asked := *c
	asked.Left, asked.N, asked.LogProbs, asked.TopLogProbs, asked.Stop, asked.Store, asked.Tier = nil, 1, false, 0, nil, nil, ""
	w, err := write(&asked, t)
	if err != nil {
		return nil, err
	}
	w.out.Lossy = nil
	if t.Dialect == Vertex {
		return w.marshal(&request{Contents: w.req.Contents, SystemInstruction: w.req.SystemInstruction, Tools: w.req.Tools})
	}
	w.req.Model = "models/" + trimModel(t.Model)
	return w.marshal(&request{Counted: &w.req})
}

func trimModel(name string) string {
	if len(name) > 7 && name[:7] == "models/" {
		return name[7:]
	}
	return name
}

// ParseCount reads the answer of countTokens.
func ParseCount(body []byte) (int64, bool) {
	for _, name := range [...]string{"totalTokens", "total_tokens"} {
		if n, ok := count(scan.Get(body, name)); ok {
			return n, true
		}
	}
	return 0, false
}

// AppendCount appends the answer of countTokens.
func AppendCount(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(append(dst, `{"totalTokens":`...), n, 10)
	return append(dst, '}')
}
