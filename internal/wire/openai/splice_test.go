package openai

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// vendors read one member of a body in the ways that real ones do.
var vendors = map[string]func(body, name string) string{
	"the last wins": func(body, name string) string {
		var m map[string]json.RawMessage
		_ = json.Unmarshal([]byte(body), &m)
		return string(m[name])
	},
	"the first wins": func(body, name string) string {
		ms, _ := scan.Object(nil, []byte(body))
		for _, m := range ms {
			if s, _ := scan.String([]byte(body[m.Key:m.KeyEnd])); s == name {
				return body[m.Start:m.End]
			}
		}
		return ""
	},
	"case is folded, the last wins": func(body, name string) string {
		found := ""
		ms, _ := scan.Object(nil, []byte(body))
		for _, m := range ms {
			if s, _ := scan.String([]byte(body[m.Key:m.KeyEnd])); strings.EqualFold(s, name) {
				found = body[m.Start:m.End]
			}
		}
		return found
	},
}

// However a client writes a name, each vendor sees what the operator set, and
// nothing of what the operator dropped.
func TestParamsHold(t *testing.T) {
	for _, body := range []string{
		`{}`, `{"x":1}`,
		`{"temperature":2,"x":1}`,
		`{"x":1,"temperature":2,"temperature":3}`,
		`{"temper\u0061ture":2}`,
		`{"temperature":2,"\u0074emperature":3,"x":1,"temperature":4}`,
		`{"Temperature":2,"x":1}`,
		`{"temperature":2,"TEMPERATURE":3}`,
	} {
		set := rewrite(t, body, wire.Rewrite{Params: &wire.Params{Set: []wire.Field{{Name: "temperature", Value: []byte("0")}}}})
		drop := rewrite(t, body, wire.Rewrite{Params: &wire.Params{Drop: []string{"temperature"}}})
		for name, see := range vendors {
			if got := see(set, "temperature"); got != "0" {
				t.Errorf("%s became %s: where %s, the vendor sees %q, the operator set 0", body, set, name, got)
			}
			if got := see(drop, "temperature"); got != "" {
				t.Errorf("%s became %s: where %s, the vendor sees %q, the operator dropped it", body, drop, name, got)
			}
			for _, out := range []string{set, drop} {
				if got, want := see(out, "x"), see(body, "x"); got != want || !json.Valid([]byte(out)) {
					t.Errorf("%s became %s: x is %q, want %q", body, out, got, want)
				}
			}
		}
	}
}

// What the operator says about stream_options goes before what the gateway
// would ask, and no name is sent twice.
func TestParamsAndUsage(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		p              wire.Params
	}{
		{"dropped", `{"a":1}`, `{"a":1}`, wire.Params{Drop: []string{"stream_options"}}},
		{"dropped from the client's", `{"a":1,"stream_options":{"include_usage":true}}`, `{"a":1}`, wire.Params{Drop: []string{"stream_options"}}},
		{"set", `{"a":1}`, `{"stream_options":{"x":1},"a":1}`, wire.Params{Set: []wire.Field{{Name: "stream_options", Value: []byte(`{"x":1}`)}}}},
		{"default", `{"a":1}`, `{"stream_options":{"include_usage":true},"a":1}`, wire.Params{Default: []wire.Field{{Name: "stream_options", Value: []byte(`{"x":1}`)}}}},
	} {
		if got := rewrite(t, c.in, wire.Rewrite{Stream: true, Params: &c.p}); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// However a client writes include_usage, the vendor is asked to count.
func TestUsageIsAsked(t *testing.T) {
	for _, options := range []string{
		`{}`, `{ "x":1 }`, `{"include_usage":false}`, `{"include_usage":true,"include_usage":false}`,
		`{"include\u005fusage":false,"x":{"include_usage":false}}`, `{"include_usage":null,"include_usage":true}`, `null`,
	} {
		out := rewrite(t, `{"stream_options":`+options+`}`, wire.Rewrite{Stream: true})
		for _, name := range []string{"the last wins", "the first wins"} {
			see := vendors[name]
			if got := see(see(out, "stream_options"), "include_usage"); got != "true" {
				t.Errorf("%s became %s: where %s, the vendor sees %q", options, out, name, got)
			}
		}
	}
}

// The buffer lives as long as the longest of those that read it: the request
// or any call that still sends, in whatever order they end, and no longer.
func TestBodyOutlivesItsRequest(t *testing.T) {
	var wg sync.WaitGroup
	for seed := range uint64(64) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 5))
			want := `{"model":"v","x":"` + strings.Repeat(string(rune('a'+seed%26)), 3000) + `"}`
			buf := wire.NewBuffer()
			buf.B = append(buf.B, strings.Replace(want, `"v"`, `"asked"`, 1)...)
			req := &llm.Request{}
			if err := Decode(llm.OpChat, buf, req); err != nil {
				t.Error(err)
				return
			}
			var calls sync.WaitGroup
			for range 3 {
				p := Payload(req.Body.(*wire.Form), wire.Rewrite{Model: []byte(`"v"`)})
				upTo := rnd.Int64N(int64(len(want)) * 2)
				calls.Go(func() {
					got, err := io.ReadAll(io.LimitReader(p, upTo)) // a vendor may answer before it has read all
					if err != nil || !strings.HasPrefix(want, string(got)) || upTo > int64(len(want)) && len(got) != len(want) {
						t.Errorf("a call sent %d bytes, %v, not those of its request", len(got), err)
					}
					_ = p.Close()
					_ = p.Close()
					if n, err := p.Read(make([]byte, 8)); n != 0 || err != io.EOF {
						t.Errorf("read %d bytes, %v after the close", n, err)
					}
				})
			}
			req.Body.Release()
			calls.Wait()
		})
	}
	wg.Wait()
}
