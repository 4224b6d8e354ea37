package openai

import (
	"strconv"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// Names that no SDK would send: each is refused with the field that is wrong,
// whatever the operation.
func TestRefusedField(t *testing.T) {
	for _, op := range []llm.Op{llm.OpChat, llm.OpCompletion, llm.OpEmbedding} {
		for _, name := range Keys {
			upper := strings.ToUpper(name[:1]) + name[1:]
			for _, body := range []string{
				`{"` + name + `":null,"x":1,"` + name + `":null}`,
				`{"` + upper + `":null}`,
				`{"\u00` + strconv.FormatInt(int64(name[0]), 16) + name[1:] + `":null,"` + name + `":null}`,
			} {
				_, err := decode(op, body)
				if err == nil || err.Kind != llm.KindInvalidRequest || err.Param != name {
					t.Errorf("%s %s: got %v, want invalid_request that names %q", op, body, err, name)
				}
			}
			if _, err := decode(op, `{"x":{"`+name+`":1,"`+upper+`":2},"x`+name+`":1,"x`+name+`":2}`); err != nil {
				t.Errorf("%s: refused deep inside: %v", name, err)
			}
		}
	}
}
