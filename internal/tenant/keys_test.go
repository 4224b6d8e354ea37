package tenant

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// FuzzMatch: a glob matches what the regular expression of the same meaning
// does, in any text, slashes and what is no UTF-8 included.
func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"claude-*", "claude-3/5"}, {"a*b*c", "aXbbYc"}, {"*ab*ab*", "abab"}, {"ab*ba", "aba"}, {"**", ""}, {"*.+?[", "x.+?["}, {"a*\n", "a\n\n"}, {"*\xff", "\xfe\xff"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		if len(glob) > 100 || len(name) > 1000 {
			return
		}
		latin := func(s string) string { // bytes as letters, so that each is one
			var b strings.Builder
			for i := range len(s) {
				b.WriteRune(rune(s[i]))
			}
			return b.String()
		}
		re := regexp.MustCompile(`(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(latin(glob)), `\*`, `.*`) + `\z`)
		if got, want := Match(glob, name), re.MatchString(latin(name)); got != want {
			t.Fatalf("Match(%q, %q): got %v, want %v", glob, name, got, want)
		}
	})
}

// A glob made to be slow is not: each star is matched once.
func TestMatchDoesNotBacktrack(t *testing.T) {
	glob, name := strings.Repeat("a*", 5000)+"b", strings.Repeat("a", 1_000_000)
	if Match(glob, name) {
		t.Error("matched without its last letter")
	}
}

// Many clients at once: each has the grant of its own key, and a value that
// is no key has none.
func TestAdmitAtOnce(t *testing.T) {
	var list []Key
	for i := range 50 {
		list = append(list, Key{Name: fmt.Sprint("team-", i), Secret: fmt.Sprint("secret-", i), Models: []string{fmt.Sprintf("m%d-*", i)}})
	}
	keys, err := NewKeys(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 500 {
				i := (n*7 + w) % 50
				g, ok := keys.Admit(fmt.Sprint("secret-", i))
				if !ok || g.Name != fmt.Sprint("team-", i) || !g.May(fmt.Sprintf("m%d-x", i)) || g.May(fmt.Sprintf("m%d-x", (i+1)%50)) {
					t.Errorf("key %d: got %+v, %v", i, g, ok)
					return
				}
				if g, ok := keys.Admit(fmt.Sprint("secret-", i, "0x")); ok {
					t.Errorf("no key: got %+v", g)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Keys are not kept as they are: neither grant nor sum shows one, and two sets of
// the same keys keep them under different sums.
func TestSecretsAreNotKept(t *testing.T) {
	list := []Key{{Name: "team", Secret: "the-secret-value", Models: []string{"m"}}}
	a, err := NewKeys(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewKeys(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, _ := a.Admit("the-secret-value")
	if dump := fmt.Sprintf("%#v", *g); strings.Contains(dump, "the-secret-value") {
		t.Errorf("the grant holds the key: %s", dump)
	}
	for sum := range a.byHash {
		if strings.Contains(string(sum[:]), "the-secret") {
			t.Error("the key stands in its sum")
		}
		if b.byHash[sum] != nil {
			t.Error("two processes keep a key under one sum: a table of sums would tell keys")
		}
	}
}

// The grant of those without a key and an empty key of the file are not to be
// confused: an empty secret is never looked up.
func TestNoSecret(t *testing.T) {
	keys, err := NewKeys([]Key{{Name: "empty", Secret: "", Operator: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := keys.Admit(""); ok {
		t.Errorf("a caller without a key is %+v", g)
	}
}
