package wire

import (
	"fmt"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxTask bounds the name of a task in bytes.
const maxTask = 64

const (
	wantContext = `write {"budget": "low" | "normal" | "high", "latency_critical": true | false, "safety_critical": true | false, "task": "coding"}, any of them`
	wantHeader  = "write such as budget=low; latency_critical; safety_critical; task=coding"
)

// Context reads the gateway's own object of a body; the zero value where there is
// none. The object is taken out on the way to a vendor. See Shape.Asked.
func (f *Form) Context() (c llm.Context, bad *llm.Error) {
	v := f.Value(KeyContext)
	if !f.own() || scan.Null(v) {
		if len(v) > 0 && !scan.Null(v) && f.shape.Codec != nil && f.Has(f.shape.Asked) {
			return c, contextError("\"context\" is "+clip(string(v)), wantContext)
		}
		return c, nil
	}
	members, err := scan.Object(nil, v)
	if err != nil {
		return c, contextError("\"context\" is "+err.Error(), wantContext)
	}
	var seen [len(contextNames)]bool
	for _, m := range members {
		name, _ := scan.String(v[m.Key:m.KeyEnd])
		i := contextMember(name)
		if i < 0 {
			return c, contextError(fmt.Sprintf("\"context\" has no %q", clip(name)), wantContext)
		}
		if seen[i] {
			return c, contextError(fmt.Sprintf("\"context.%s\" stands twice", name), wantContext)
		}
		seen[i] = true
		raw := v[m.Start:m.End]
		if scan.Null(raw) {
			continue
		}
		word, isText := scan.String(raw)
		if !isText {
			word = string(raw)
		}
		if isText == contextFlag(i) || !setContext(&c, i, word) {
			return c, contextError(fmt.Sprintf("\"context.%s\" is %s", name, clip(string(raw))), wantContext)
		}
	}
	return c, nil
}

// own reports whether the body has the gateway's own object, or in a chat nothing
// in its place.
func (f *Form) own() bool {
	v := f.Value(KeyContext)
	return len(v) > 0 && f.Has(f.shape.Asked) && (v[0] == '{' || f.shape.Codec != nil && scan.Null(v))
}

// ReadContext puts what the header x-sluice-context says into c: names with
// values, with semicolons between them; what is said of truth alone needs none.
func ReadContext(c *llm.Context, header string) *llm.Error {
	for part := range strings.SplitSeq(header, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, has := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		i := contextMember(name)
		if i >= 0 && contextFlag(i) && !has {
			value = "true"
		}
		if i < 0 || !setContext(c, i, value) {
			return contextError(fmt.Sprintf("x-sluice-context: %q is not understood", clip(part)), wantHeader)
		}
	}
	return nil
}

func contextError(what, want string) *llm.Error {
	return &llm.Error{Kind: llm.KindInvalidRequest, Param: "context", Message: what + "; " + want}
}

// contextNames are the members of a context, contextFlag says which are true or
// false.
var contextNames = [...]string{"budget", "task", "latency_critical", "safety_critical"}

func contextFlag(i int) bool { return i >= 2 }

func contextMember(name string) int {
	for i, n := range contextNames {
		if n == name {
			return i
		}
	}
	return -1
}

// setContext sets a member, if the value is one for it.
func setContext(c *llm.Context, i int, value string) bool {
	switch i {
	case 0:
		c.Budget = value
		return value == "low" || value == "normal" || value == "high"
	case 1:
		c.Task = value
		return isTask(value)
	}
	set := value == "true"
	if i == 2 {
		c.LatencyCritical = set
	} else {
		c.SafetyCritical = set
	}
	return set || value == "false"
}

// isTask reports whether s may be the name of a task: it goes to logs and headers.
func isTask(s string) bool {
	if s == "" || len(s) > maxTask {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
