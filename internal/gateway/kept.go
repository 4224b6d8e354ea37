package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/store"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/upstream"
)

// The kinds of what vendors keep for clients.
const (
	KindResponse     = "response"
	KindFile         = "file"
	KindBatch        = "batch"
	KindMessageFile  = "message_file" // Anthropic's
	KindMessageBatch = "message_batch"
)

// Object is something that a vendor keeps for a client.
type Object = store.Object

// Kept binds what vendors keep to the provider and credential that made it, and
// to the key that may use it: no other key learns that it is there. Safe for
// concurrent use.
type Kept struct{ store *store.Store }

// NewKept returns the bindings in a store; nil: there is none, and nothing is
// kept.
func NewKept(s *store.Store) *Kept { return &Kept{s} }

// Ready returns nil if there is a store.
func (k *Kept) Ready() *llm.Error {
	if k.store == nil {
		return broken(store.ErrNoStore, "")
	}
	return nil
}

// Answer remembers an answer that its vendor keeps, without waiting.
func (k *Kept) Answer(id string, resp *llm.Response, owner string) {
	k.store.QueueObject(Object{ID: id, Kind: KindResponse, Target: resp.Target, Credential: resp.Credential, Owner: owner, Created: time.Now()})
}

// Put remembers an object. It is on disk when this returns.
func (k *Kept) Put(ctx context.Context, o Object) *llm.Error {
	o.Created = time.Now()
	if err := k.store.PutObject(context.WithoutCancel(ctx), o); err != nil {
		return broken(err, "")
	}
	return nil
}

// Find returns an owner's object of a kind.
func (k *Kept) Find(ctx context.Context, kind, id, owner string) (Object, *llm.Error) {
	o, err := k.store.Object(ctx, id)
	if err == nil && (o.Kind != kind || o.Owner != owner) {
		err = store.ErrNotFound
	}
	if err != nil {
		e := broken(err, "")
		if e.Kind == llm.KindNotFound {
			e.Message = notFound(kind, id)
		}
		return o, e
	}
	return o, nil
}

// List returns an owner's objects of a kind, the newest first, at most limit,
// and those behind the one with the id after where that is not "".
func (k *Kept) List(ctx context.Context, kind, owner, after string, limit int) ([]Object, *llm.Error) {
	all, err := k.store.Objects(ctx, kind, owner, after, limit)
	if err != nil {
		return nil, broken(err, "")
	}
	return all, nil
}

// Forget forgets an object.
func (k *Kept) Forget(ctx context.Context, id string) *llm.Error {
	if err := k.store.DeleteObject(context.WithoutCancel(ctx), id); err != nil {
		return broken(err, "")
	}
	return nil
}

// broken is what clients are told of an error of the store.
func broken(err error, param string) *llm.Error {
	switch {
	case errors.Is(err, store.ErrNoStore):
		return &llm.Error{Kind: llm.KindUnsupported, Param: param,
			Message: "this gateway has no store (store: none), so it cannot know what vendors keep for whom; its operator can give it one"}
	case errors.Is(err, store.ErrNotFound):
		return &llm.Error{Kind: llm.KindNotFound, Param: param, Err: err}
	}
	return &llm.Error{Kind: llm.KindInternal, Message: "the gateway's store cannot be used now; try again, and tell the operator", Err: err}
}

// notFound is what OpenAI and Anthropic say of what they do not know.
func notFound(kind, id string) string {
	name := map[string]string{KindResponse: "Response", KindFile: "File", KindMessageFile: "File"}[kind]
	if name == "" {
		name = "Batch"
	}
	return fmt.Sprintf("%s with id '%s' not found.", name, clip(id))
}

// pin binds a request to who keeps what it goes on from. A request to a model
// none of whose vendors keeps anything stays free: they say so.
func (g *Gateway) pin(ctx context.Context, m *Model, req *llm.Request, grant *tenant.Grant) *llm.Error {
	if !slices.ContainsFunc(m.Targets(), func(t *upstream.Target) bool { return t.Keeps }) {
		return nil
	}
	o, err := g.Kept.store.Object(ctx, req.Continues)
	if err == nil && (o.Kind != KindResponse || o.Owner != grant.Name) {
		err = store.ErrNotFound
	}
	if err != nil {
		e := broken(err, "previous_response_id")
		if e.Kind == llm.KindNotFound {
			e.Message = fmt.Sprintf("Previous response with id '%s' not found.", clip(req.Continues))
		}
		return e
	}
	provider, _, _ := strings.Cut(o.Target, "/")
	if _, configured := g.Provider(provider); !configured {
		return &llm.Error{Kind: llm.KindNotFound, Param: "previous_response_id", Message: "the provider that keeps the previous response is configured no more; send the whole conversation"}
	}
	req.Pin = &llm.Pin{Provider: provider, Credential: o.Credential}
	return nil
}

// Keeper returns the provider and the credential that keep an object.
func (g *Gateway) Keeper(o Object) (*Provider, *Credential, *llm.Error) {
	name, _, _ := strings.Cut(o.Target, "/")
	p, ok := g.Provider(name)
	if !ok {
		return nil, nil, &llm.Error{Kind: llm.KindNotFound, Message: "the provider that keeps it is configured no more"}
	}
	return p, p.With(o.Credential), nil
}
