package sim

import (
	"encoding/json"
	"strconv"
)

// responseEvent is an event that is no delta.
type responseEvent struct {
	Type      string          `json:"type"`
	Seq       int             `json:"sequence_number"`
	Response  *response       `json:"response,omitempty"`
	ItemID    string          `json:"item_id,omitempty"`
	Index     *int            `json:"output_index,omitempty"`
	Content   *int            `json:"content_index,omitempty"`
	Summary   *int            `json:"summary_index,omitempty"`
	Item      json.RawMessage `json:"item,omitempty"`
	Part      *outPart        `json:"part,omitempty"`
	Text      *string         `json:"text,omitempty"`
	Refusal   *string         `json:"refusal,omitempty"`
	Logprobs  *[]string       `json:"logprobs,omitempty"` // always empty
	Name      string          `json:"name,omitempty"`
	Arguments *string         `json:"arguments,omitempty"`
	Input     *string         `json:"input,omitempty"`
}

// event makes the next event.
func (a *responseAnswer) event(e responseEvent) step {
	e.Seq = a.seq
	a.seq++
	return step{frame: claudeFrame(nil, e.Type, encode(e))}
}

// broken is the event of a response that failed: the last one, or an error
// where it never began.
func (a *responseAnswer) broken() []byte {
	const message = "The server had an error while processing your request. Sorry about that!"
	if a.seq == 0 {
		return claudeFrame(nil, "error", encode(struct {
			Type    string  `json:"type"`
			Code    string  `json:"code"`
			Message string  `json:"message"`
			Param   *string `json:"param"`
			Seq     int     `json:"sequence_number"`
		}{"error", "server_error", message, nil, 0}))
	}
	failed := a.whole.begun("failed")
	failed.Error = &responseError{"server_error", message}
	return a.event(responseEvent{Type: "response.failed", Response: &failed}).frame
}

// steps yields the events of the answer's stream.
func (a *responseAnswer) steps(yield func(step) bool) {
	begun := a.whole.begun("in_progress")
	for _, name := range []string{"response.created", "response.in_progress"} {
		if !yield(a.event(responseEvent{Type: name, Response: &begun})) {
			return
		}
	}
	for i := range a.out.parts {
		if !a.stream(i, yield) {
			return
		}
	}
	end := a.event(responseEvent{Type: "response." + a.whole.Status, Response: &a.whole})
	end.end = true
	yield(end)
}

// stream yields the events of the i-th item.
func (a *responseAnswer) stream(i int, yield func(step) bool) bool {
	p := &a.out.parts[i]
	if !yield(a.event(responseEvent{Type: "response.output_item.added", Index: &i, Item: a.item(i, false)})) {
		return false
	}
	ok := true
	switch p.kind {
	case partThinking, partSecret:
		if a.summary {
			ok = a.spoken(i, "response.reasoning_summary_part", "response.reasoning_summary_text", yield)
		}
	case partCall:
		ok = a.called(i, yield)
	case partRefusal:
		ok = a.spoken(i, "response.content_part", "response.refusal", yield)
	default:
		ok = a.spoken(i, "response.content_part", "response.output_text", yield)
	}
	return ok && yield(a.event(responseEvent{Type: "response.output_item.done", Index: &i, Item: a.item(i, true)}))
}

// spoken yields the events of an item with a text in one part.
func (a *responseAnswer) spoken(i int, part, text string, yield func(step) bool) bool {
	p := &a.out.parts[i]
	base := responseEvent{ItemID: a.id(i), Index: &i}
	index := "content_index"
	if p.kind <= partSecret {
		base.Summary, index = new(int), "summary_index"
	} else {
		base.Content = new(int)
	}
	empty, whole, said := p.kind.part(""), p.kind.part(p.text()), p.text()
	head := base
	head.Type, head.Part = part+".added", &empty
	if !yield(a.event(head)) || !a.deltas(i, text+".delta", index, p.kind == partText, yield) {
		return false
	}
	done := base
	done.Type, done.Text = text+".done", &said
	switch p.kind {
	case partRefusal:
		done.Text, done.Refusal = nil, &said
	case partText:
		done.Logprobs = &[]string{}
	}
	tail := base
	tail.Type, tail.Part = part+".done", &whole
	return yield(a.event(done)) && yield(a.event(tail))
}

// called yields the events of a call.
func (a *responseAnswer) called(i int, yield func(step) bool) bool {
	p := &a.out.parts[i]
	name, text := "response.function_call_arguments", p.text()
	if p.tool.plain {
		name = "response.custom_tool_call_input"
	}
	if !a.deltas(i, name+".delta", "", false, yield) {
		return false
	}
	done := responseEvent{Type: name + ".done", ItemID: a.id(i), Index: &i, Name: p.tool.name, Arguments: &text}
	if p.tool.plain {
		done.Name, done.Arguments, done.Input = "", nil, &text
	}
	return yield(a.event(done))
}

// deltas yields the pieces of an item. index is the member that says which
// part they belong to; "": they belong to none.
func (a *responseAnswer) deltas(i int, name, index string, logprobs bool, yield func(step) bool) bool {
	head := `event: ` + name + "\n" + `data: {"type":"` + name + `","item_id":"` + a.id(i) + `","output_index":` + strconv.Itoa(i)
	if index != "" {
		head += `,"` + index + `":0`
	}
	tail := "}\n\n"
	if logprobs {
		tail = `,"logprobs":[]}` + "\n\n"
	}
	var b []byte
	for _, text := range a.out.parts[i].pieces {
		b = append(b[:0], head...)
		b = append(b, `,"sequence_number":`...)
		b = strconv.AppendInt(b, int64(a.seq), 10)
		b = append(b, `,"delta":`...)
		b = appendString(b, text)
		b = append(b, tail...)
		a.seq++
		if !yield(step{frame: b, tokens: 1}) {
			return false
		}
	}
	return true
}
