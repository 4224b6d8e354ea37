package openai

import (
	"io"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// TestContextOfCompletions: no vendor sees it, of embeddings it is the vendor's.
func TestContextOfCompletions(t *testing.T) {
	for _, x := range []struct {
		op         llm.Op
		body, want string
		task       string
	}{
		{llm.OpCompletion, `{"model":"a","prompt":"x","context":{"task":"math"}}`, `{"model":"a","prompt":"x"}`, "math"},
		{llm.OpCompletion, `{"model":"a","prompt":"x","context":null}`, `{"model":"a","prompt":"x"}`, ""},
		{llm.OpEmbedding, `{"model":"a","input":"x","context":{"task":"math"}}`, `{"model":"a","input":"x","context":{"task":"math"}}`, ""},
	} {
		req := &llm.Request{}
		if bad := Decode(x.op, &wire.Buffer{B: []byte(x.body)}, req); bad != nil {
			t.Fatal(bad)
		}
		f := req.Body.(*wire.Form)
		if c, bad := f.Context(); bad != nil || c.Task != x.task {
			t.Errorf("%s: %+v, %v", x.body, c, bad)
		}
		p := Payload(f, wire.Rewrite{Op: x.op})
		if got, err := io.ReadAll(p); err != nil || string(got) != x.want {
			t.Errorf("%s goes out as %s, want %s; %v", x.body, got, x.want, err)
		}
		p.Close()
		f.Release()
	}
}
