package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/coder/websocket"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// session is a WebSocket to a vendor as an answer: its frames are the chunks.
type session struct {
	ctx   context.Context
	conn  *websocket.Conn
	ended atomic.Bool // by the client
	usage llm.Usage
	over  error
}

// dial opens a session with a vendor.
func (l *line) dial(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	u := l.urls[route{proto: llm.ProtoOpenAI, op: llm.OpRealtime, stream: true}]
	if u == nil {
		return nil, unasked(req.Op)
	}
	if e := l.lacks(req.Credential); e != nil {
		return nil, e
	}
	h := l.headers(req, llm.ProtoOpenAI, "")
	h.Del("Content-Type")
	if s := l.acc.set.Signer; s != nil {
		if err := sign(ctx, s, &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: h, Body: http.NoBody}); err != nil {
			return nil, err
		}
	}
	conn, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: l.acc.upgrade, CheckRedirect: stay}, HTTPHeader: h, Subprotocols: []string{"realtime"},
	})
	if err != nil {
		if resp != nil && resp.StatusCode >= 400 {
			return nil, l.refused(llm.ProtoOpenAI, resp)
		}
		return nil, l.broken(ctx, err)
	}
	conn.SetReadLimit(wire.MaxFrame)
	out := l.response(llm.ProtoOpenAI, resp)
	out.Status, out.Header = http.StatusOK, http.Header{}
	s := &session{ctx: ctx, conn: conn}
	out.Stream, out.Send = s, s.send
	return out, nil
}

// stay follows no redirect, which would carry the credential elsewhere.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// realtimeURL is where sessions with a model are opened.
func realtimeURL(v *Vendor, base, model string) string {
	full := v.URL(base, route{proto: llm.ProtoOpenAI, op: llm.OpRealtime, stream: true}, model)
	scheme, rest, _ := strings.Cut(full, "://")
	ws := map[string]string{"https": "wss", "http": "ws"}[scheme]
	name := "model="
	if v.Name == "azure" { // its v1 API knows both
		name = "deployment="
	}
	sep := "?"
	if strings.Contains(rest, "?") {
		sep = "&"
	}
	return ws + "://" + rest + sep + name + url.QueryEscape(model)
}

// Next implements llm.Stream: one frame.
func (s *session) Next() (llm.Chunk, error) {
	if s.over != nil {
		return llm.Chunk{}, s.over
	}
	kind, frame, err := s.conn.Read(s.ctx)
	if err != nil {
		if s.over = closed(err); s.ended.Load() {
			s.over = io.EOF
		}
		return llm.Chunk{}, s.over
	}
	s.count(frame)
	u := s.usage
	return llm.Chunk{Raw: frame, Binary: kind == websocket.MessageBinary, Level: llm.LevelContent, Usage: &u}, nil
}

// closed explains the end of a session: a close in order is a clean end.
func closed(err error) error {
	var end websocket.CloseError
	if errors.As(err, &end) && (end.Code == websocket.StatusNormalClosure || end.Code == websocket.StatusGoingAway) {
		return io.EOF
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor broke the session off", Err: err}
}

var responseDone = []byte(`"response.done"`)

// count adds the usage of a response that is done.
func (s *session) count(frame []byte) {
	if !bytes.Contains(frame, responseDone) {
		return
	}
	var e struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(frame, &e) != nil || e.Type != "response.done" {
		return
	}
	if c, ok := protocol.FindUsage(frame); ok {
		s.usage = s.usage.Add(c.Usage)
	}
}

// send passes a client's frame on; nil ends the session in order.
func (s *session) send(ctx context.Context, frame []byte, binary bool) error {
	if frame == nil {
		s.ended.Store(true)
		return s.conn.Close(websocket.StatusNormalClosure, "")
	}
	kind := websocket.MessageText
	if binary {
		kind = websocket.MessageBinary
	}
	if err := s.conn.Write(ctx, kind, frame); err != nil {
		return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor broke the session off", Err: err}
	}
	return nil
}

// Close implements llm.Stream.
func (s *session) Close() error {
	if s.over == nil {
		s.over = io.ErrClosedPipe
	}
	_ = s.conn.Close(websocket.StatusNormalClosure, "")
	return s.conn.CloseNow()
}
