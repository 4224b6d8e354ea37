package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
)

// idempotencyKey is the client's name for a request that it may send again, ""
// for none. It goes no further than here: transports send again what carries
// it.
func idempotencyKey(r *http.Request) string {
	if r.Method != http.MethodPost {
		return ""
	}
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v := r.Header[name]; len(v) > 0 && v[0] != "" {
			return v[0]
		}
	}
	return ""
}

// once serves a request unless one with the same idempotency key was, or is:
// then the client gets that one's answer.
func (x *exchange) once(key string, serve func(*exchange)) {
	ctx := x.r.Context()
	deadline, e := x.deadline()
	if e != nil {
		x.fail(e)
		return
	}
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	load := x.load
	if x.asked.op == llm.OpPassthrough { // as it is, encoded or not
		load = x.raw
	}
	body, e := load()
	if e != nil {
		x.fail(e)
		return
	}
	turn, a, e := x.s.deps.Replays.Begin(ctx, x.scope(key), x.content(body.B))
	if turn == nil {
		body.Free()
		if e != nil {
			x.fail(x.stopping(e))
		} else {
			x.replay(a)
		}
		return
	}
	x.early = body
	t := &tape{ResponseWriter: x.w, turn: turn}
	x.w = t
	var whole *gateway.Answer
	defer func() { // a panic leaves no answer
		if x.early != nil {
			x.early.Free()
		}
		turn.End(whole)
	}()
	serve(x)
	whole = x.recorded(t)
}

// scope is a key as one caller's, for one route.
func (x *exchange) scope(key string) (d gateway.Digest) {
	h := sha256.New()
	for _, s := range [...]string{x.grant.Name, x.own.Header, x.own.Secret, x.asked.proto.String(), x.asked.op.String(), x.place(), key} {
		put(h, s)
	}
	h.Sum(d[:0])
	return d
}

// place is where the vendor is asked, where no model is.
func (x *exchange) place() string {
	if x.asked.op < llm.OpResponse {
		return ""
	}
	return x.r.URL.EscapedPath()
}

// content identifies what is asked. The boundaries of forms are left out: SDKs
// draw new ones when they send a form again.
func (x *exchange) content(body []byte) (d gateway.Digest) {
	h := sha256.New()
	put(h, x.asked.model)
	put(h, strconv.FormatBool(x.asked.stream)+strconv.FormatBool(x.asked.array))
	if x.asked.op >= llm.OpResponse {
		put(h, x.r.URL.RawQuery)
		put(h, x.r.Header.Get("Content-Encoding"))
	}
	kind, params, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if boundary := params["boundary"]; boundary != "" && strings.HasPrefix(kind, "multipart/") {
		for part := range bytes.SplitSeq(body, []byte(boundary)) {
			put(h, part)
		}
	} else {
		put(h, body)
	}
	h.Sum(d[:0])
	return d
}

// put hashes s so that nothing else that is put reads the same.
func put[S string | []byte](h hash.Hash, s S) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	_, _ = h.Write(n[:]) // never fails
	_, _ = h.Write([]byte(s))
}

// passing are headers of an answer that are one request's own.
var passing = [...]string{
	"X-Request-Id", "Request-Id", "X-Sluice-Attempts", "X-Sluice-Cost-Usd", "Server-Timing", "Connection", "Content-Length", "Date",
	"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests",
	"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens",
}

// recorded is the answer that the client got, nil if it got none that is whole:
// it left, the answer broke off, or it is larger than what is kept. What stood in
// for an answer that no vendor gave is none: it cost nothing.
func (x *exchange) recorded(t *tape) *gateway.Answer {
	tr := x.trail
	switch {
	case t.status == 0, t.over, tr.Degraded > 0 && tr.Target == "":
		return nil
	case tr.Err == nil:
	case tr.Err.Kind == llm.KindCanceled && t.status >= 400:
		return nil
	case t.header.Get("Content-Length") != strconv.Itoa(len(t.body)):
		return nil
	}
	a := &gateway.Answer{
		ID: tr.ID, Model: tr.Model, Answered: tr.Answered, Target: tr.Target, Stream: tr.Stream, Status: t.status, Header: t.header, Body: bytes.Clone(t.body),
	}
	if t.status >= 300 {
		a.Err = tr.Err
	}
	for _, k := range passing {
		delete(a.Header, k)
	}
	return a
}

// replay gives the client an answer that was given before. It costs nothing.
func (x *exchange) replay(a *gateway.Answer) {
	t := x.trail
	t.Model, t.Answered, t.Target, t.Stream, t.Strategy, t.Status, t.Err = a.Model, a.Answered, a.Target, a.Stream, "replay", a.Status, a.Err
	t.Admitted = time.Now()
	h := x.w.Header()
	for k, v := range a.Header {
		h[k] = v
	}
	h["X-Request-Id"] = []string{t.ID}
	h["Request-Id"] = h["X-Request-Id"]
	h["X-Sluice-Idempotent-Replay"] = []string{a.ID}
	h["X-Sluice-Attempts"] = []string{"0"}
	h["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	if !a.Stream && !x.asked.op.Relayed() {
		var b [24]byte
		h["X-Sluice-Cost-Usd"] = []string{string(llm.Money(0).Append(b[:0]))}
	}
	x.w.WriteHeader(a.Status)
	t.First = time.Now()
	if err := x.write(a.Body); err != nil {
		t.Err = &llm.Error{Kind: llm.KindCanceled, Message: "the client left", Err: err}
	}
}

// tape is a ResponseWriter that keeps a copy of the answer, as long as that may
// be kept. It keeps what the client did not take, too.
type tape struct {
	http.ResponseWriter
	turn   *gateway.Turn
	status int // 0 until the header is written
	header http.Header
	body   []byte
	over   bool // larger than what is kept, or than there is room for
}

// WriteHeader implements http.ResponseWriter.
func (t *tape) WriteHeader(status int) {
	if t.status == 0 && status >= 200 {
		t.status, t.header = status, t.Header().Clone()
		if strings.HasPrefix(t.header.Get("Content-Type"), "text/event-stream") {
			t.turn.Private()
		}
	}
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *tape) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.WriteHeader(http.StatusOK)
	}
	if !t.over && !t.grow(len(t.body)+len(b)) {
		t.over, t.body = true, nil
		t.turn.Release()
		t.turn.Private()
	}
	if !t.over {
		t.body = append(t.body, b...)
	}
	return t.ResponseWriter.Write(b)
}

// grow makes room for n bytes of the body; false: they cannot be kept.
func (t *tape) grow(n int) bool {
	if n <= cap(t.body) {
		return true
	}
	room := min(max(n, 2*cap(t.body), 1<<10), gateway.MaxAnswer)
	if n > room || !t.turn.Reserve(room-cap(t.body)) {
		return false
	}
	t.body = append(make([]byte, 0, room), t.body...)
	return true
}

// Flush implements http.Flusher.
func (t *tape) Flush() { _ = http.NewResponseController(t.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (t *tape) Unwrap() http.ResponseWriter { return t.ResponseWriter }
