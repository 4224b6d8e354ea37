package tenant

import (
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		glob, name string
		want       bool
	}{
		{"gpt-4", "gpt-4", true}, {"gpt-4", "gpt-4o", false}, {"gpt-*", "gpt-4o", true}, {"gpt-*", "xgpt-4", false},
		{"openai/*", "openai/a/b", true}, {"*", "", true}, {"*", "a/b", true}, {"a*b*c", "abc", true}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "acb", false},
		{"ab*ba", "aba", false}, {"**", "x", true}, {"", "", true}, {"", "x", false}, {"GPT-*", "gpt-4", false}, {"a?c", "abc", false},
	} {
		if got := Match(c.glob, c.name); got != c.want {
			t.Errorf("Match(%q, %q): got %v, want %v", c.glob, c.name, got, c.want)
		}
	}
}

func TestAdmit(t *testing.T) {
	list := []Key{{Name: "all", Secret: "s1", Priority: llm.PriorityCritical}, {Name: "some", Secret: "s2", Models: []string{"gpt-4", "claude-*"}}, {Name: "operator", Secret: "s3", Models: []string{}, Operator: true}}
	k, err := NewKeys(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		secret, name string
		ok           bool
		may, not     string
	}{
		{"s1", "all", true, "anything/at-all", ""},
		{"s2", "some", true, "claude-3", "gpt-4o"},
		{"s3", "operator", true, "", "gpt-4"},
		{"", "", false, "", ""}, {"s", "", false, "", ""}, {"s1 ", "", false, "", ""}, {"S1", "", false, "", ""},
	} {
		g, ok := k.Admit(c.secret)
		if ok != c.ok {
			t.Errorf("%q: admitted %v, want %v", c.secret, ok, c.ok)
		}
		if !ok {
			continue
		}
		if g.Name != c.name || c.may != "" && !g.May(c.may) || c.not != "" && g.May(c.not) {
			t.Errorf("%q: got %+v", c.secret, g)
		}
	}
	if g, _ := k.Admit("s1"); g.Priority != llm.PriorityCritical {
		t.Errorf("priority: got %v, want critical", g.Priority)
	}
	if _, err := NewKeys(append(list, Key{Name: "twin", Secret: "s1"}), nil); err == nil || !strings.Contains(err.Error(), "twin") || strings.Contains(err.Error(), "s1") {
		t.Errorf("a value twice: got %v, want the key's name and not its value", err)
	}
	open, err := NewKeys(list, Anyone())
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := open.Admit("whatever an SDK sends"); !ok || g.Name != "" || !g.May("m") || g.Operator {
		t.Errorf("open: got %+v, %v", g, ok)
	}
	if g, ok := open.Admit("s2"); !ok || g.Name != "some" || g.May("gpt-4o") {
		t.Errorf("a key keeps its limits where none is needed: got %+v, %v", g, ok)
	}
}

// However many want in, some room is left for the next; and who is alone may have
// all.
func TestUse(t *testing.T) {
	const limit = 1000
	for _, c := range []struct{ callers, each int }{{1, 800}, {2, 445}, {3, 308}, {10, 98}} {
		total := 0
		uses := make([]Use, c.callers)
		for range limit { // all ask again and again
			for i := range uses {
				if uses[i].Take(int64(limit - total)) {
					total++
				} else {
					uses[i].Give()
				}
			}
		}
		if total >= limit {
			t.Errorf("%d callers leave no room", c.callers)
		}
		for i := range uses {
			if n := int(uses[i].held.Load()); n < c.each-5 || n > c.each+5 {
				t.Errorf("caller %d of %d holds %d, want about %d", i, c.callers, n, c.each)
			}
		}
	}
}

// What a caller has under way counts across configurations, by its name.
func TestContinue(t *testing.T) {
	made := func(names ...string) *Keys {
		var list []Key
		for _, n := range names {
			list = append(list, Key{Name: n, Secret: "secret-" + n, Operator: n == "operator"})
		}
		k, err := NewKeys(list, nil)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	use := func(k *Keys, name string) *Use {
		g, _ := k.Admit("secret-" + name)
		return g.Use
	}
	old := made("a", "b", "operator")
	use(old, "a").Take(100)
	next := made("b", "a", "c", "operator")
	next.Continue(old)
	if use(next, "a") != use(old, "a") || use(next, "b") != use(old, "b") || use(next, "c") == nil || use(next, "operator") != nil {
		t.Error("counts are not those of the same callers")
	}
	one := made("a", "operator")
	if use(one, "a") != nil {
		t.Error("the only caller is counted")
	}
	one.Continue(old)
	back := made("a", "b")
	back.Continue(one)
	if use(one, "a") != nil || use(back, "a") == nil {
		t.Error("who is alone is counted, or who is not is not")
	}
}
