package blackbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// paths of the operations that recordings exist for.
var paths = map[string]string{"chat": "/v1/chat/completions", "completions": "/v1/completions", "embeddings": "/v1/embeddings"}

// request is a recorded request of the OpenAI protocol.
type request struct {
	name string
	api  string
	body []byte
}

// requests are the recorded requests that a client of the OpenAI protocol
// might have sent.
func requests(t *testing.T) []request {
	t.Helper()
	dir, all := recordings(t)
	var out []request
	for _, x := range all {
		if !x.Request || paths[x.API] == "" || x.Provider == "cohere" || x.Provider == "gemini" || x.Provider == "voyage" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, x.Case, "request.json"))
		if os.IsNotExist(err) {
			continue // another form than JSON
		}
		if err != nil {
			t.Fatal(err)
		}
		if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '{' {
			out = append(out, request{x.Case, x.API, b})
		}
	}
	if len(out) < 500 {
		t.Fatalf("recorded requests: got %d, want at least 500", len(out))
	}
	return out
}

// member is one top-level member of an object: where its name begins, where
// its value begins and ends.
type member struct {
	name         string
	at, from, to int
}

// members reads the top level of an object by a road of the test's own.
func members(t *testing.T, b []byte) []member {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var out []member
	for d.More() {
		at := int(d.InputOffset())
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		to := int(d.InputOffset())
		out = append(out, member{name.(string), at, to - len(v), to})
	}
	return out
}

// replaceModel puts a name in the place of the request's model; without one it
// adds it in front.
func replaceModel(t *testing.T, b []byte, name string) []byte {
	t.Helper()
	for _, m := range members(t, b) {
		if m.name == "model" {
			return []byte(string(b[:m.from]) + `"` + name + `"` + string(b[m.to:]))
		}
	}
	if len(members(t, b)) == 0 {
		return []byte(`{"model":"` + name + `"}`)
	}
	return []byte(`{"model":"` + name + `",` + string(b[1:]))
}

// What a vendor receives is what the client sent, byte for byte, but for the
// model's name and, in streams, stream_options.
func TestPassthrough(t *testing.T) {
	t.Parallel()
	all := requests(t)
	v := newVendor(t, func(c *call) {
		switch {
		case strings.HasSuffix(c.path, "/embeddings"):
			c.answer(200, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}`)
		case strings.HasSuffix(c.path, "/chat/completions"):
			c.whole("ok")
		case c.stream:
			c.begin()
			c.events(`{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"ok","finish_reason":"stop","logprobs":null}]}`, "[DONE]")
			c.end()
		default:
			c.answer(200, `{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"ok","finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
		}
	})
	g := serve(t, "log: {level: error}\nproviders:\n"+v.provider("a", "k")+"models: {alias: a/vendor-name, same: a/same}\n")
	var wg sync.WaitGroup
	work := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range work {
				for _, names := range [][2]string{{"alias", "vendor-name"}, {"same", "same"}} {
					if err := passes(t, g, all[i], fmt.Sprintf("%d-%s", i, names[0]), names[0]); err != nil {
						t.Errorf("%s as %s: %v", all[i].name, names[0], err)
					}
				}
			}
		})
	}
	for i := range all {
		work <- i
	}
	close(work)
	wg.Wait()
	seen := map[string]*call{}
	for _, c := range v.journal() {
		seen[c.header.Get("X-Test-Case")] = c
	}
	compared := 0
	for i, r := range all {
		for _, names := range [][2]string{{"alias", "vendor-name"}, {"same", "same"}} {
			c := seen[fmt.Sprintf("%d-%s", i, names[0])]
			if c == nil {
				continue // refused, which passes has judged
			}
			compared++
			want := replaceModel(t, r.body, names[1])
			if err := sameBytes(t, c.body, want, c.stream); err != nil {
				t.Errorf("%s as %s: %v", r.name, names[0], err)
			}
			if c.path != paths[r.api] {
				t.Errorf("%s: path at the vendor: got %s, want %s", r.name, c.path, paths[r.api])
			}
		}
	}
	t.Logf("%d bodies compared, of %d requests", compared, len(all))
}

// passes sends a request and judges the client's answer.
func passes(t *testing.T, g *gateway, r request, id, model string) error {
	got, err := try(http.MethodPost, g.url+paths[r.api], string(replaceModel(t, r.body, model)), "X-Test-Case", id)
	if err != nil {
		return err
	}
	if got.status != 200 {
		return fmt.Errorf("refused: %s", got)
	}
	return nil
}

// sameBytes compares what a vendor received with what was sent. In streams
// stream_options may be added, or may have gained include_usage.
func sameBytes(t *testing.T, got, want []byte, stream bool) error {
	if bytes.Equal(got, want) {
		return nil
	}
	if !stream {
		return fmt.Errorf("%s", difference(got, want))
	}
	g, w := without(t, got, "stream_options"), without(t, want, "stream_options")
	if !bytes.Equal(g, w) {
		return fmt.Errorf("beside stream_options: %s", difference(g, w))
	}
	var o struct {
		StreamOptions map[string]any `json:"stream_options"`
	}
	if err := json.Unmarshal(got, &o); err != nil || o.StreamOptions["include_usage"] != true {
		return fmt.Errorf("stream_options: got %v, want include_usage", o.StreamOptions)
	}
	return nil
}

// without takes a member and one comma beside it out of an object.
func without(t *testing.T, b []byte, name string) []byte {
	for i, m := range members(t, b) {
		if m.name != name {
			continue
		}
		head, rest := b[:m.at], b[m.to:]
		if i > 0 {
			head = bytes.TrimSuffix(bytes.TrimRight(head, " \t\r\n"), []byte(","))
		} else {
			rest = bytes.TrimPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(","))
		}
		return append(append([]byte{}, head...), rest...)
	}
	return b
}
