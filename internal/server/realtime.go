package server

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// keyProtocol is how browsers, which cannot set headers, send a key: as a
// subprotocol with this beginning.
const keyProtocol = "openai-insecure-api-key."

// realtime is a session: a WebSocket to the client and one to a vendor, events
// both ways. The model is in the query.
func (s *Server) realtime(w http.ResponseWriter, r *http.Request, _ string) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		s.fail(w, llm.ProtoOpenAI, &llm.Error{Kind: llm.KindInvalidRequest, Message: "this path takes WebSockets only; open wss://…/v1/realtime?model=…"})
		return
	}
	model := r.URL.Query().Get("model")
	s.serve(asked{proto: llm.ProtoOpenAI, op: llm.OpRealtime, model: model, stream: true}, w, r)
}

// subprotocolKey is the key among the subprotocols, "" if there is none.
func subprotocolKey(r *http.Request) string {
	for _, v := range r.Header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(v, ",") {
			if key, ok := strings.CutPrefix(strings.TrimSpace(p), keyProtocol); ok {
				return key
			}
		}
	}
	return ""
}

// nothing is the body of a request that has none.
func nothing(op llm.Op, req *llm.Request) *llm.Error {
	f, e := wire.NewForm(&wire.Bare, &wire.Buffer{B: []byte("{}")})
	if e != nil {
		return e
	}
	req.Op, req.Proto, req.N, req.Body = op, llm.ProtoOpenAI, 1, f
	return nil
}

// session opens the vendor's side, so that a refusal is still an answer with a
// status, then the client's, and hands frames over until one side ends.
func (x *exchange) session() {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	resp, e := x.gw.Serve(ctx, x.req, x.grant)
	if e != nil {
		x.fail(x.stopping(e))
		return
	}
	defer resp.Close()
	first, err := resp.Next()
	if err != nil {
		x.fail(x.stopping(llm.AsError(err)))
		return
	}
	x.header(resp)
	delete(x.w.Header(), "Content-Type")
	conn, err := websocket.Accept(x.w, x.r, &websocket.AcceptOptions{
		Subprotocols: []string{"realtime"},
		// A key is no cookie: another site's page does not have it. Where none is
		// needed, any page could ask.
		InsecureSkipVerify: !x.gw.Keys.Open(),
	})
	if err != nil { // it has answered
		x.trail.Err = &llm.Error{Kind: llm.KindInvalidRequest, Message: "the WebSocket handshake failed", Err: err}
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(wire.MaxFrame)
	x.answered(resp, http.StatusSwitchingProtocols)
	x.trail.First = time.Now()
	back := make(chan error, 1)
	go func() { back <- forth(ctx, conn, resp) }()
	err = x.forward(ctx, conn, resp, first)
	code, why := websocket.StatusNormalClosure, ""
	if err != io.EOF {
		code, why = websocket.StatusInternalError, "the session with the vendor ended"
	}
	_ = conn.Close(code, why) // in order, before the context ends what reads
	cancel()
	switch left := <-back; {
	case err != io.EOF:
		x.trail.Err = x.stopping(llm.AsError(err))
	case left != nil && !clientClosed(left):
		x.trail.Err = &llm.Error{Kind: llm.KindCanceled, Message: "the client left", Err: left}
	}
}

// forward hands the vendor's frames to the client.
func (x *exchange) forward(ctx context.Context, conn *websocket.Conn, resp *llm.Response, c llm.Chunk) error {
	for {
		kind := websocket.MessageText
		if c.Binary {
			kind = websocket.MessageBinary
		}
		wctx, cancel := context.WithTimeout(ctx, writeStall)
		err := conn.Write(wctx, kind, c.Raw)
		cancel()
		if err != nil {
			return &llm.Error{Kind: llm.KindCanceled, Message: "the client left", Err: err}
		}
		if c, err = resp.Next(); err != nil {
			return err
		}
	}
}

// forth hands the client's frames to the vendor, whose session it ends when
// there are no more. It returns nil where the vendor ended first.
func forth(ctx context.Context, conn *websocket.Conn, resp *llm.Response) error {
	for {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			if resp.Send(ctx, nil, false) != nil {
				return nil
			}
			return err
		}
		if frame == nil {
			frame = []byte{}
		}
		if resp.Send(ctx, frame, kind == websocket.MessageBinary) != nil {
			return nil
		}
	}
}

// clientClosed reports whether the client ended the session in order.
func clientClosed(err error) bool {
	code := websocket.CloseStatus(err)
	return code == websocket.StatusNormalClosure || code == websocket.StatusGoingAway || code == websocket.StatusNoStatusRcvd
}
