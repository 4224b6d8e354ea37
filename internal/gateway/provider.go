package gateway

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// Provider is a configured account at a vendor as it is asked beside its models:
// about what it keeps, or anything as it is. What such calls show of the vendor
// changes no target's state. Immutable.
type Provider struct {
	Name   string
	Protos []llm.Proto // of its models, first the one for clients of others
	// Files: the vendor is known to keep files and batches.
	Files       bool
	Credentials []Credential // at least one
	// Bounds of a call: until its header, between two reads, and of the whole.
	Header, Idle, Total time.Duration
	// Price is that of the vendor's model of that name, nil where it is not known.
	Price func(model string) *llm.Price
}

// Credential is one of a provider's.
type Credential struct {
	ID, Label string
	// Ask makes a call. Errors are *llm.Error, or ctx's.
	Ask func(ctx context.Context, r *llm.Raw) (*http.Response, error)
}

// Provider returns the provider of that name.
func (g *Gateway) Provider(name string) (*Provider, bool) {
	i := slices.IndexFunc(g.Providers, func(p *Provider) bool { return p.Name == name })
	if i < 0 {
		return nil, false
	}
	return g.Providers[i], true
}

// Speaks reports whether the vendor's models are asked in a protocol.
func (p *Provider) Speaks(proto llm.Proto) bool { return slices.Contains(p.Protos, proto) }

// Own returns the credential that asks for a key, the same for all its calls by
// rendezvous, so that it finds again what it left at the vendor.
func (p *Provider) Own(key string) *Credential {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	best, top := 0, uint64(0)
	for i := range p.Credentials {
		if n := upstream.Mix(h.Sum64(), p.Credentials[i].ID); i == 0 || n > top {
			best, top = i, n
		}
	}
	return &p.Credentials[best]
}

// With returns the credential with an id, or the first where it is configured no
// more: a key that took its place sees the same account.
func (p *Provider) With(id string) *Credential {
	return &p.Credentials[max(0, slices.IndexFunc(p.Credentials, func(c Credential) bool { return c.ID == id }))]
}

// Inquiry is a call of a provider that is counted.
type Inquiry struct {
	Provider   *Provider
	Credential *Credential
	Trail      *llm.Trail
	Target     string // as the ledger names it: the provider, or provider/model
	Model      string // the vendor's name, which the price goes by; "": no price
	Raw        *llm.Raw
	Deadline   time.Time // zero: the provider's bounds only
	// Read makes the answer of the vendor's.
	Read func(*http.Response) llm.Stream
}

// Ask makes the call. The caller closes the response.
func (q *Inquiry) Ask(ctx context.Context) (*llm.Response, *llm.Error) {
	p := q.Provider
	ctx, cancel := context.WithCancelCause(ctx)
	a := &inquired{q: q, cancel: cancel, begun: time.Now()}
	a.end = a.begun.Add(p.Total)
	if d := q.Deadline; !d.IsZero() && d.Before(a.end) {
		a.end = d
	}
	a.attempt = q.Trail.Begin(q.Target, q.Target, q.Credential.Label, a.begun)
	a.timer = time.AfterFunc(min(p.Header, time.Until(a.end)), a.late)
	resp, err := q.Credential.Ask(ctx, q.Raw)
	if err != nil {
		e := a.explain(ctx, err)
		a.finish(e)
		return nil, e
	}
	a.attempt.Status = resp.StatusCode
	a.ctx, a.Stream = ctx, q.Read(resp)
	a.renew()
	return &llm.Response{Status: resp.StatusCode, Header: resp.Header, Proto: q.Raw.Proto, Model: q.Target, Target: q.Target, Credential: q.Credential.ID, Strategy: "direct", Stream: a}, nil
}

// inquired is the answer to an Inquiry with its accounting and its bounds.
type inquired struct {
	llm.Stream
	q       *Inquiry
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	begun   time.Time
	end     time.Time // the latest
	attempt *llm.Attempt
	usage   llm.Usage
	over    bool
}

func (a *inquired) late() {
	a.cancel(&llm.Error{Kind: llm.KindTimeout, Message: "the vendor took longer than it may (timeouts)"})
}

// renew gives the vendor time for the next read.
func (a *inquired) renew() {
	a.timer.Reset(min(a.q.Provider.Idle, time.Until(a.end)))
}

// Next implements llm.Stream.
func (a *inquired) Next() (llm.Chunk, error) {
	c, err := a.Stream.Next()
	if err == io.EOF {
		a.finish(nil)
		return c, err
	}
	if err != nil {
		e := a.explain(a.ctx, err)
		a.finish(e)
		return c, e
	}
	if c.Usage != nil {
		a.usage = *c.Usage
	}
	a.renew()
	return c, nil
}

// Close implements llm.Stream.
func (a *inquired) Close() error {
	err := a.Stream.Close()
	a.finish(&llm.Error{Kind: llm.KindCanceled, Message: "the answer was no longer wanted"})
	return err
}

// explain finds the cause of err.
func (a *inquired) explain(ctx context.Context, err error) *llm.Error {
	var e *llm.Error
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &e):
		return e
	case cause != nil:
		return &llm.Error{Kind: llm.KindCanceled, Message: "the client closed the request", Err: err}
	case errors.As(err, &e):
		return e
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's connection broke", Err: err}
}

// finish settles the call, once.
func (a *inquired) finish(e *llm.Error) {
	if a.over {
		return
	}
	a.over = true
	a.timer.Stop()
	outcome := "ok"
	if told := Unwell(a.attempt.Status); e == nil && told != nil {
		outcome = told.Kind.String()
	}
	if e != nil {
		outcome, a.attempt.Detail = e.Kind.String(), e.Error()
		if e.Status != 0 {
			a.attempt.Status = e.Status
		}
	}
	now := time.Now()
	var cost llm.Money
	if a.q.Model != "" {
		cost = a.q.Provider.Price(a.q.Model).At(a.begun).Cost(a.usage)
	}
	a.attempt.Finish(outcome, a.usage, cost, now)
	a.cancel(nil)
}

// Unwell is what an answer counts as that was relayed with its status, nil for a
// good one.
func Unwell(status int) *llm.Error {
	switch {
	case status == http.StatusTooManyRequests:
		return &llm.Error{Kind: llm.KindRateLimited, Message: "the vendor's rate limit, as it told it"}
	case status >= 500:
		return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's error, as it told it"}
	case status >= 400:
		return &llm.Error{Kind: llm.KindCaller, Message: "the vendor's refusal, as it told it"}
	}
	return nil
}
