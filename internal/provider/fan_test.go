package provider

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

// Several whole answers are one chunk with the usage of all.
func TestSeveralAnswersAtOnce(t *testing.T) {
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := calls.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"msg_%d","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":%d}}`, n, n)
	}))
	defer srv.Close()
	v, _ := VendorByName("anthropic")
	transports := &Transports{}
	defer transports.Close()
	acc, err := NewAccount(Settings{Name: "a", Vendor: v, BaseURL: srv.URL}, transports)
	if err != nil {
		t.Fatal(err)
	}
	send, err := acc.Line(Model{Name: "m"}, "k")
	if err != nil {
		t.Fatal(err)
	}
	req := &llm.Request{Header: http.Header{}}
	if e := openai.Decode(llm.OpChat, &wire.Buffer{B: []byte(`{"model":"m","n":3,"messages":[{"role":"user","content":"hi"}]}`)}, req); e != nil {
		t.Fatal(e)
	}
	defer req.Body.Release()
	resp, err := send(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	c, err := resp.Next()
	if err != nil {
		t.Fatal(err)
	}
	var all llm.Collector
	all.Add(c.Events...)
	r := all.Reply()
	if len(r.Answers) != 3 || c.Usage == nil || c.Usage.Input != 30 || c.Usage.Output != 6 || calls.Load() != 3 {
		t.Errorf("%d calls, answers %+v, usage %+v", calls.Load(), r.Answers, c.Usage)
	}
	for i, a := range r.Answers {
		if len(a.Blocks) != 1 || a.Blocks[0].Text != "x" || a.Stop != llm.StopEnd {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
}

// A fan is as wide as the calls that send makes.
func TestFan(t *testing.T) {
	transports := &Transports{}
	defer transports.Close()
	for _, c := range []struct {
		vendor, body string
		want         int64
	}{
		{"anthropic", `"n":3`, 3},
		{"anthropic", `"n":1`, 1},
		{"anthropic", `"n":99`, maxFan},
		{"deepseek", `"n":3`, 3},
		{"deepseek", `"stop":"x"`, 1},
		{"openai", `"n":3`, 1},
	} {
		v, _ := VendorByName(c.vendor)
		acc, err := NewAccount(Settings{Name: "a", Vendor: v}, transports)
		if err != nil {
			t.Fatal(err)
		}
		got := int64(1)
		if fan := acc.Fan(Model{Name: "m"}); fan != nil {
			got = fan(request(t, llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[{"role":"user","content":"hi"}],`+c.body+`}`))
		}
		if got != c.want {
			t.Errorf("%s, %s: got %d, want %d", c.vendor, c.body, got, c.want)
		}
	}
}
