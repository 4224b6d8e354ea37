package config

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzParse: whatever the file, Parse does not panic, every mistake has a
// place in the file, and no value of ${…} is told.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		for _, data := range corpus(f, dir) {
			if len(data) < 4096 {
				f.Add(data)
			}
		}
	}
	f.Add([]byte(secrets))
	f.Add([]byte("a: |\n  x\n ${SECRET}: y\n"))
	f.Add([]byte("listen: >-\n\n  ${SECRET}\n\nlimits:\n  - \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), canary) || strings.Contains(string(data), "file:") {
			t.Skip("the file shows the canary itself, or reads this machine")
		}
		c, err := Parse("fuzz.yaml", data, env)
		if err != nil {
			if c != nil {
				t.Error("got a config beside an error")
			}
			checkErrors(t, data, err)
			return
		}
		checkPositions(t, data, c)
		for _, m := range c.Models {
			for _, values := range []map[string][]byte{m.Params.Default, m.Params.Set} {
				for name, v := range values {
					if !json.Valid(v) {
						t.Errorf("params %q: got %s, want JSON", name, v)
					}
				}
			}
		}
	})
}
