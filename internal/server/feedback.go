package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
)

// Bounds of feedback.
const (
	maxOpinion = 64 << 10 // bytes of the body
	maxLabels  = 16
	maxLabel   = 64   // bytes
	maxComment = 2000 // bytes
)

// opinion is what POST /gateway/feedback takes.
type opinion struct {
	RequestID string   `json:"request_id"`
	Score     *float64 `json:"score"`
	Labels    []string `json:"labels"`
	Comment   string   `json:"comment"`
}

// feedback notes what a client says of an answer that its key was given.
func (s *Server) feedback(w http.ResponseWriter, r *http.Request, _ string) {
	_, g := s.caller(w, r)
	if g == nil {
		return
	}
	fail := func(e *llm.Error) { s.fail(w, llm.ProtoOpenAI, e) }
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(writeStall))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxOpinion+1))
	switch {
	case err != nil:
		fail(&llm.Error{Kind: llm.KindCanceled, Message: "the body did not come", Err: err})
		return
	case len(body) > maxOpinion:
		fail(&llm.Error{Kind: llm.KindTooLarge, Message: fmt.Sprintf("feedback may have %d bytes", maxOpinion)})
		return
	}
	var o opinion
	if err := json.Unmarshal(body, &o, json.RejectUnknownMembers(true)); err != nil {
		fail(&llm.Error{Kind: llm.KindInvalidJSON, Message: `send a JSON object: {"request_id": "…", "score": -1 to 1, "labels": ["…"], "comment": "…"}, and no other members`, Err: err})
		return
	}
	if e := o.check(); e != nil {
		fail(e)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), writeStall)
	defer cancel()
	if e := s.deps.Feedback(ctx, g, o.RequestID, &gateway.Feedback{Score: *o.Score, Labels: o.Labels, Comment: o.Comment, Time: time.Now().UTC()}); e != nil {
		fail(e)
		return
	}
	writeJSON(w, struct {
		RequestID string `json:"request_id"`
		Recorded  bool   `json:"recorded"`
	}{o.RequestID, true})
}

// check says what is wrong with an opinion, nil for nothing.
func (o *opinion) check() *llm.Error {
	bad := func(param, msg string) *llm.Error {
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: param, Message: msg}
	}
	switch {
	case o.RequestID == "" || len(o.RequestID) > maxLabel:
		return bad("request_id", `"request_id" must be the x-request-id of an answer`)
	case o.Score == nil || !(*o.Score >= -1 && *o.Score <= 1):
		return bad("score", `"score" must be a number from -1, bad, to 1, good`)
	case len(o.Labels) > maxLabels:
		return bad("labels", fmt.Sprintf(`"labels" may be %d at most`, maxLabels))
	case len(o.Comment) > maxComment:
		return bad("comment", fmt.Sprintf(`"comment" may have %d bytes`, maxComment))
	}
	for _, l := range o.Labels {
		if l == "" || len(l) > maxLabel || !printable(l) {
			return bad("labels", fmt.Sprintf(`each of "labels" must have 1 to %d bytes on one line`, maxLabel))
		}
	}
	return nil
}

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
