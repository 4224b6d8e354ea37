package compose

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// spoken are the protocols of the recordings' APIs, as far as clients speak them.
var spoken = map[string]llm.Proto{"chat": llm.ProtoOpenAI, "responses": llm.ProtoResponses, "messages": llm.ProtoAnthropic, "streamGenerateContent": llm.ProtoGemini}

// drawn are ids that a codec draws for calls whose vendor has none.
var drawn = regexp.MustCompile(`call_[0-9a-z]{8,16}\b`)

// Every recorded stream is the same to the byte behind all gates as it is without
// any, in whatever pieces it comes: as it passes, and in another client's protocol.
func TestRecordedStreamsPass(t *testing.T) {
	synctest.Test(t, recordedStreamsPass) // the clock stands: what a codec dates is the same on both roads
}

func recordedStreamsPass(t *testing.T) {
	all := &Gates{Desk: NewDesk()}
	defer all.Desk.Close()
	for _, name := range quality.Names() {
		if name != "pattern" {
			all.Pure = append(all.Pure, gate(t, name, upstream.Flag, quality.Options{}))
		}
	}
	passed, flagged := 0, llm.Flags(0)
	for _, x := range recorded.Exchanges(t, func(x *recorded.Exchange) bool {
		return x.Stream && x.Status == 200 && spoken[x.API] != 0 && strings.HasSuffix(x.Response, ".sse")
	}) {
		proto := spoken[x.API]
		other := llm.ProtoAnthropic
		if proto == other {
			other = llm.ProtoOpenAI
		}
		for round := range uint64(2) {
			for _, client := range []llm.Proto{proto, other}[:2-round] {
				bare, bad, _ := through(t, &x, proto, client, round, nil)
				gated, worse, flags := through(t, &x, proto, client, round, all)
				if (bad == "") != (worse == "") || bad == "" && !bytes.Equal(bare, gated) { // what fails while it is held back is not seen
					t.Fatalf("%s to a client of %v, round %d: without gates\n%.3000s\n%v\nwith gates\n%.3000s\n%v", x.Case, client, round, bare, bad, gated, worse)
				}
				if bad == "" {
					passed++
				}
				flagged |= flags
			}
		}
	}
	if passed < 100 || flagged == 0 {
		t.Errorf("%d streams have passed, with the flags %v: too few to show anything", passed, flagged.Names())
	}
}

// through is what a client gets of a recorded stream, and how that broke off.
func through(t *testing.T, x *recorded.Exchange, proto, client llm.Proto, round uint64, gates *Gates) (out []byte, bad string, flags llm.Flags) {
	t.Helper()
	reg := upstream.NewRegistry()
	p := protocol.Of(proto)
	send := func(_ context.Context, req *llm.Request) (*llm.Response, error) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, ContentLength: -1,
			Body: &recorded.Pieces{Left: x.Answer, Rand: recorded.Seed(x.Case, round), Most: 200}}
		var s llm.Stream
		var e *llm.Error
		if client == proto {
			if s, e = wire.Pass(resp, p.Watch(req), func([]byte) *llm.Error { return nil }); e == nil && req.Events {
				s = wire.Both(s, p.Vendor.Decoder(&wire.Call{}))
			}
		} else {
			s, e = wire.Translate(resp, p.Vendor, &wire.Call{}, true, p.Stream)
		}
		if e != nil {
			return nil, e
		}
		return &llm.Response{Status: 200, Proto: proto, Stream: s, Fixed: true}, nil
	}
	cred := reg.Credential("c", "1")
	st := reg.State("p/m")
	target := &upstream.Target{ID: "p/m", Vendor: "m", State: st, Calls: []upstream.Call{{Credential: cred, Cooling: st.Cooling(cred), Send: send}},
		Timeouts: upstream.Timeouts{FirstToken: time.Minute, Idle: time.Minute, Total: time.Minute, Stream: time.Minute, Queue: time.Second}}
	pool := &upstream.Pool{Model: "m", Order: func([]*upstream.Option, upstream.Ask) {}, Options: []upstream.Option{{ID: "p/m", Weight: 1, Priority: 1, Target: target}},
		Policy: upstream.Policy{Attempts: 1}, Budget: reg.Budget("m"), Registry: reg}
	if gates != nil {
		pool.Accept = gates
	}
	req := request("Hello, what is it?")
	req.Stream, req.Proto = true, client
	enc := protocol.Of(client).Client.Encoder(&llm.Request{ID: req.ID, Op: llm.OpChat, Model: "m"})
	defer func() { req.Trail.Close(time.Now()) }()
	resp, err := pool.Do(context.Background(), req)
	if err != nil {
		return nil, llm.AsError(err).Kind.String(), 0
	}
	defer resp.Close()
	for {
		c, err := resp.Next()
		if err == io.EOF {
			if client != proto {
				out = enc.End(out)
			}
			return drawn.ReplaceAll(out, []byte("call_")), "", resp.Flags
		}
		if err != nil {
			return out, llm.AsError(err).Kind.String(), resp.Flags
		}
		if out = append(out, c.Raw...); len(c.Raw) == 0 {
			out = enc.Events(out, c.Events)
		}
	}
}
