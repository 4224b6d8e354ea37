package signal

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// counted is what a vendor said of the tokens of a recorded request.
type counted struct {
	Case     string `json:"case"`
	Provider string `json:"provider"`
	API      string `json:"api"`
	Input    int64  `json:"input_tokens"`
}

// TestTokensOfVendors compares the bounds with what vendors counted of recorded
// requests: of those that are text and functions alone, where the vendor adds
// nothing that the request does not show.
func TestTokensOfVendors(t *testing.T) {
	dir := os.Getenv("SLUICE_DATA")
	if dir == "" {
		t.Skip("SLUICE_DATA is not set: no counts of vendors")
	}
	f, err := os.Open(filepath.Join(dir, "wire", "token_oracle.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	protos := map[string]llm.Proto{"chat": llm.ProtoOpenAI, "responses": llm.ProtoResponses, "messages": llm.ProtoAnthropic, "generateContent": llm.ProtoGemini, "streamGenerateContent": llm.ProtoGemini}
	all, under := 0, 0
	var ratios []float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c counted
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		p, ok := protos[c.API]
		if !ok || c.Provider == "cohere" || c.Provider == "ollama" || c.Provider == "venice" {
			continue // other protocols, and one with a page of its own instructions
		}
		body, err := os.ReadFile(filepath.Join(dir, "wire", c.Case, "request.json"))
		if err != nil {
			continue
		}
		chat, bad := protocol.Of(p).ClientOf(llm.OpChat).Chat(body)
		if bad != nil || !plain(chat) || strings.Contains(string(body), "cache_control") || strings.Contains(string(body), "previous_response_id") {
			continue
		}
		n := TokensOfChat(chat)
		all++
		ratios = append(ratios, float64(n.Expected)/float64(c.Input))
		if float64(n.Most) < 0.95*float64(c.Input) {
			under++
			t.Logf("%s: %d counted, %v", c.Case, c.Input, n)
		}
	}
	slices.Sort(ratios)
	t.Logf("%d requests, %d above the bound; expected by counted: %.2f to %.2f, median %.2f", all, under, ratios[all/10], ratios[all*9/10], ratios[all/2])
	if all < 200 || under*50 > all {
		t.Errorf("%d of %d requests had more tokens than the bound", under, all)
	}
}

// plain reports whether a chat is text and functions alone.
func plain(c *llm.Chat) bool {
	for _, l := range c.Left {
		if l.Must {
			return false
		}
	}
	for _, t := range c.Tools {
		if t.Kind != llm.ToolFunction {
			return false
		}
	}
	for _, m := range c.Messages {
		for _, b := range m.Blocks {
			switch b.Kind {
			case llm.BlockText, llm.BlockCall, llm.BlockResult:
			default:
				return false
			}
		}
	}
	return true
}
