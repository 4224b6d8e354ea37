package catalog

import (
	"strings"
	"testing"
)

// TestOrder: of models that everybody knows, each is better than the next at every
// kind of task.
func TestOrder(t *testing.T) {
	for _, row := range []string{
		"gpt-4o gpt-4o-mini gpt-3.5-turbo",
		"gpt-4o-2024-08-06 llama-3.1-8b-instant gemma2-2b-it",
		"gpt-4.1 gpt-4.1-mini gpt-4.1-nano",
		"gpt-5.5 gpt-5 gpt-5-mini gpt-5-nano",
		"gpt-4-turbo gpt-3.5-turbo",
		"o3 gpt-4o",
		"claude-opus-4-7 claude-sonnet-4-6 claude-haiku-4-5 claude-3-haiku-20240307",
		"claude-sonnet-4-5 claude-haiku-4-5",
		"claude-sonnet-4-5-20250929 claude-3-haiku-20240307",
		"anthropic.claude-3-5-sonnet-20240620-v1:0 gpt-4o-mini",
		"gemini-2.5-pro gemini-2.5-flash gemini-2.5-flash-lite",
		"llama-3.1-405b-instruct llama-3.3-70b-versatile llama-3.1-8b-instant",
		"meta.llama3-1-70b-instruct-v1:0 meta.llama3-1-8b-instruct-v1:0",
		"deepseek-r1 llama-3.3-70b-versatile",
		"mistral-large-latest mistral-small-latest",
		"mistral-large-2512 mistral-small-2603",
		"mixtral-8x7b-instruct-v0.1 mistral-7b-instruct-v0.3",
		"qwen3-235b-a22b qwen3-32b",
		"gpt-4o no-such-model-of-3b",
	} {
		names := strings.Fields(row)
		for _, word := range []string{Coding, Math, Reason, Knowledge, Writing, General, "creative", "extraction"} {
			for i, name := range names[1:] {
				a, ok := Quality(names[i], word)
				b, known := Quality(name, word)
				if known && (!ok || a.Quality <= b.Quality) {
					t.Errorf("%s: %s %.3f is to be better than %s %.3f", word, names[i], a.Quality, name, b.Quality)
				}
			}
		}
	}
}
