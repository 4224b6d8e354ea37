package anthropic

import (
	"bytes"
	"strconv"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Entry is a request of a message batch: where in the batch's body its model
// stands, as a JSON string, and which it is.
type Entry struct {
	Start, End int
	Model      string
}

// Batch finds the models in the body of a message batch.
func Batch(body []byte) ([]Entry, *llm.Error) {
	m, ok := member(body, "requests")
	if !ok || body[m.Start] != '[' {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "requests", Message: "\"requests\" must be a list of requests"}
	}
	at := m.Start + 1
	var all []Entry
	var bad *llm.Error
	err := scan.Elements(body[m.Start:m.End], func(one []byte) bool {
		at += bytes.Index(body[at:], one) // between two are only commas and white space
		var e Entry
		if e, bad = entry(one, "requests["+strconv.Itoa(len(all))+"].params.model"); bad != nil {
			return false
		}
		e.Start, e.End = e.Start+at, e.End+at
		all = append(all, e)
		at += len(one)
		return true
	})
	if err != nil && bad == nil {
		bad = &llm.Error{Kind: llm.KindInvalidJSON, Param: "requests", Message: "\"requests\" is no list"}
	}
	return all, bad
}

// entry finds the model in one request; param is where it stands.
func entry(one []byte, param string) (e Entry, bad *llm.Error) {
	wrong := &llm.Error{Kind: llm.KindInvalidRequest, Param: param, Message: "\"" + param + "\" must be a string, once"}
	params, ok := member(one, "params")
	if !ok {
		return e, wrong
	}
	model, ok := member(one[params.Start:params.End], "model")
	if !ok {
		return e, wrong
	}
	e.Start, e.End = params.Start+model.Start, params.Start+model.End
	if e.Model, ok = scan.String(one[e.Start:e.End]); !ok {
		return e, wrong
	}
	return e, wire.CheckName(e.Model)
}

// member finds the member of an object that has a name, whatever its letters'
// case and escapes; ok is false unless there is one, spelled like that.
func member(object []byte, name string) (m scan.Member, ok bool) {
	ms, err := scan.Object(nil, object)
	if err != nil {
		return m, false
	}
	for _, x := range ms {
		key, _ := scan.String(object[x.Key:x.KeyEnd])
		if !bytes.EqualFold([]byte(key), []byte(name)) {
			continue
		}
		if ok || key != name {
			return m, false
		}
		m, ok = x, true
	}
	return m, ok
}
