// Package tenant decides who may ask, and for what.
package tenant

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluicegate/sluice/internal/llm"
)

// Key is a client's key as configured.
type Key struct {
	Name   string
	Secret string
	Models []string // globs; nil: all
	// Operator: may read status, metrics and every request.
	Operator bool
	Priority llm.Priority
}

// Grant is what a caller may do. Immutable but for Use.
type Grant struct {
	Name     string
	Operator bool
	// Use counts what the caller has under way; nil where it is the only one, or
	// the operator.
	Use      *Use
	Priority llm.Priority
	models   []string
	all      bool
}

// Use is what the holder of a key has under way. Safe for concurrent use.
type Use struct{ held atomic.Int64 }

// greed is how many times what is free one caller may hold (dynamic thresholds
// of shared buffers, Choudhury and Hahne 1998): alone it reaches 4/5 of a limit,
// two reach 4/9 each, and whoever comes new always finds room.
const greed = 4

// Take counts a request to the caller, until Give. It reports false where the
// caller holds so much of what may be under way that too little is free for
// others; free is what is, this request not counted. Give is due either way.
func (u *Use) Take(free int64) bool { return u.held.Add(1)-1 < greed*free }

// Give takes back what Take counted.
func (u *Use) Give() { u.held.Add(-1) }

// May reports whether the caller may ask for the model of that name.
func (g *Grant) May(model string) bool {
	if g.all {
		return true
	}
	for _, m := range g.models {
		if m == model || Match(m, model) {
			return true
		}
	}
	return false
}

// Match reports whether name fits a glob in which * stands for any text,
// slashes included.
func Match(glob, name string) bool {
	if !strings.Contains(glob, "*") {
		return glob == name
	}
	parts := strings.Split(glob, "*")
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	last := len(parts) - 1
	for _, p := range parts[1:last] {
		i := strings.Index(name, p)
		if i < 0 {
			return false
		}
		name = name[i+len(p):]
	}
	return strings.HasSuffix(name, parts[last])
}

// digest is a key as it is kept: secrets are not in memory after the load.
type digest [sha256.Size]byte

// Keys is an immutable set of keys, looked up by HMAC under a secret of this
// process, so that the time a look-up takes says nothing about any key.
type Keys struct {
	open   *Grant // who comes without a key; nil: nobody
	ruled  bool   // there is an operator's key
	byHash map[digest]*Grant
	macs   sync.Pool
}

// NewKeys returns a set. open admits callers without a key as well.
func NewKeys(keys []Key, open *Grant) (*Keys, error) {
	var pepper [32]byte
	if _, err := rand.Read(pepper[:]); err != nil {
		return nil, fmt.Errorf("drawing the secret for keys: %w", err)
	}
	k := &Keys{open: open, byHash: make(map[digest]*Grant, len(keys))}
	k.macs.New = func() any { return &mac{h: hmac.New(sha256.New, pepper[:])} }
	for _, x := range keys {
		d := k.sum(x.Secret)
		if _, twice := k.byHash[d]; twice {
			return nil, fmt.Errorf("key %q has the same value as another", x.Name)
		}
		k.byHash[d] = &Grant{Name: x.Name, Operator: x.Operator, Priority: x.Priority, models: x.Models, all: x.Models == nil}
		k.ruled = k.ruled || x.Operator
	}
	k.share()
	return k, nil
}

// share gives each caller a count of its own where there are several.
func (k *Keys) share() {
	var clients []*Grant
	if k.open != nil {
		clients = append(clients, k.open)
	}
	for _, g := range k.byHash {
		if !g.Operator {
			clients = append(clients, g)
		}
	}
	if len(clients) < 2 {
		return
	}
	for _, g := range clients {
		g.Use = &Use{}
	}
}

// Continue makes the counts of old those of the same callers in k, so that what
// they have under way is still counted to them. k may not be in use yet.
func (k *Keys) Continue(old *Keys) {
	counts := map[string]*Use{}
	for _, g := range old.byHash {
		counts[g.Name] = g.Use
	}
	for _, g := range k.byHash {
		if u := counts[g.Name]; u != nil && g.Use != nil {
			g.Use = u
		}
	}
	if k.open != nil && old.open != nil && k.open.Use != nil && old.open.Use != nil {
		k.open.Use = old.open.Use
	}
}

// Anyone is the grant of callers where nobody authenticates.
func Anyone() *Grant { return &Grant{all: true} }

// mac is an HMAC with room for what goes in and comes out.
type mac struct {
	h   hash.Hash
	in  [256]byte
	out digest
}

func (k *Keys) sum(secret string) digest {
	m := k.macs.Get().(*mac)
	defer k.macs.Put(m)
	m.h.Reset()
	for len(secret) > 0 {
		n := copy(m.in[:], secret)
		_, _ = m.h.Write(m.in[:n])
		secret = secret[n:]
	}
	clear(m.in[:])
	m.h.Sum(m.out[:0])
	return m.out
}

// Open reports whether callers need no key.
func (k *Keys) Open() bool { return k.open != nil }

// Ruled reports whether there is an operator's key.
func (k *Keys) Ruled() bool { return k.ruled }

// Admit returns the grant of a secret. Where no key is needed, any secret
// that is no key has the grant of those without one: SDKs insist on sending
// something.
func (k *Keys) Admit(secret string) (*Grant, bool) {
	if secret != "" {
		if g := k.byHash[k.sum(secret)]; g != nil {
			return g, true
		}
	}
	return k.open, k.open != nil
}
