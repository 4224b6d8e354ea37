package signal

import (
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// ask is a request of about a kilobyte as people write them.
func ask() (*llm.Chat, string) {
	text := strings.Repeat("I have a list of orders in this form: 2026-03-04, 1,299.00 EUR, shipped to Hamburg; see https://example.com/orders?id=17 for more.\n", 3) +
		"Please write a Python function that groups them by month and returns the totals as JSON. It should not fail on empty lines.\n" +
		"```python\ndef totals(rows):\n    return {r[0][:7]: float(r[1]) for r in rows if r}\n```\n" +
		strings.Repeat("The customer wrote on Monday that the second delivery was damaged and that he would like to talk to somebody about it. ", 5)
	text = text[:min(len(text), 1024-64)] + "\nWhat would you change, and why? Mail me at jane.roe@example.org.."
	return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Blocks: []llm.Block{{Text: text}}}}}, text
}

// BenchmarkOf is all signals of a kilobyte.
func BenchmarkOf(b *testing.B) {
	chat, text := ask()
	lexical()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s := Of(chat, text)
		if s.Language != "en" {
			b.Fatal(s)
		}
	}
}

func TestOfAllocates(t *testing.T) {
	chat, text := ask()
	lexical()
	if n := testing.AllocsPerRun(100, func() { Of(chat, text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
