package sim

import "time"

// Demo returns the models behind `sluice demo`: each fails 5 % of its calls, and the
// cheapest declines what "pick a lock" is in.
func Demo(seed uint64) Config {
	vendor := func(name string, latency time.Duration) Model {
		return Model{
			Name: name, Latency: latency, Sigma: 0.15, TokensPerSecond: 80, Tokens: 40, Spread: 10,
			Errors: 0.05, Cache: 5 * time.Minute,
		}
	}
	cheap := vendor("llama-2", 300*time.Millisecond)
	cheap.Moods = []Mood{{Kind: MoodRefusal, When: "pick a lock"}}
	return Config{
		Seed: seed, Control: true,
		Models: []Model{
			vendor("gpt-4", 800*time.Millisecond),
			vendor("claude-3", 650*time.Millisecond),
			vendor("gemini-pro", 600*time.Millisecond),
			cheap,
		},
	}
}

// Default returns the configuration of `sluice sim` without a file: some
// well-known names, and every other one too. Nothing fails.
func Default() Config {
	like := Model{Latency: 300 * time.Millisecond, Sigma: 0.2, TokensPerSecond: 80, Tokens: 60, Spread: 20, Cache: 5 * time.Minute}
	c := Config{Seed: 1, Control: true, AnyModel: true, Default: like}
	for _, name := range []string{"gpt-4o", "gpt-4o-mini", "gpt-5", "claude-sonnet-4-5", "gemini-2.5-flash", "llama-3.3-70b", "mistral-large"} {
		m := like
		m.Name = name
		c.Models = append(c.Models, m)
	}
	c.Models = append(c.Models, Model{Name: "text-embedding-3-small", Latency: 50 * time.Millisecond, Dimensions: 1536})
	return c
}
