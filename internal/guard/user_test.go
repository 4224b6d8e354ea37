package guard

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// user remembers the end users of the requests that it gets.
type user struct {
	model
	names []string
}

func (u *user) Plan(req *llm.Request) llm.Plan {
	u.names = append(u.names, req.EndUser())
	return u.model.Plan(req)
}

// What is sticky by user still tells users apart whose names are masked, and the
// model's body does not have them.
func TestMaskedUsersStayApart(t *testing.T) {
	m := &user{}
	inner := &Handler{Model: m, Guards: []*Guard{personal(Mask)}}
	h := &Handler{Model: inner, Guards: []*Guard{personal(Mask)}} // of a model of models
	for _, name := range []string{"ann@example.com", "bob@example.com", "u3"} {
		body := fmt.Sprintf(`{"model":"m","user":%q,"messages":[{"role":"user","content":"write to x@example.com"}]}`, name)
		req := &llm.Request{ID: "id"}
		if bad := protocol.Of(llm.ProtoOpenAI).Decode(llm.OpChat, &wire.Buffer{B: []byte(body)}, req); bad != nil {
			t.Fatal(bad)
		}
		if seen := h.Plan(req).Model; strings.Contains(seen, "@") {
			t.Errorf("the model sees %s", seen)
		}
	}
	if got := strings.Join(m.names, " "); got != "ann@example.com bob@example.com u3" {
		t.Errorf("users = %s", got)
	}
}
