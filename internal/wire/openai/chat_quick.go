package openai

import (
	"bytes"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// quick reads a chunk that brings more text or thinking of one answer and
// nothing else, as nearly all do. It reports false, with nothing done, for any
// other.
func (d *decoder) quick(data []byte) bool {
	var space [24]scan.Member
	ms, err := scan.Object(space[:0], data)
	if err != nil || !d.started {
		return false
	}
	var one []byte
	for _, m := range ms {
		v := data[m.Start:m.End]
		switch string(data[m.Key+1 : m.KeyEnd-1]) {
		case "choices":
			one = only(v)
		case "id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation", "provider", "p":
		default:
			if !scan.Null(v) {
				return false
			}
		}
	}
	ms, err = scan.Object(space[:0], one)
	if err != nil {
		return false
	}
	var delta []byte
	index := int64(0)
	for _, m := range ms {
		v := one[m.Start:m.End]
		switch string(one[m.Key+1 : m.KeyEnd-1]) {
		case "delta":
			delta = v
		case "index":
			ok := false
			if index, ok = scan.Int(v); !ok {
				return false
			}
		case "content_filter_results":
		default:
			if !scan.Null(v) {
				return false
			}
		}
	}
	return d.quickDelta(delta, index)
}

func (d *decoder) quickDelta(delta []byte, index int64) bool {
	var space [16]scan.Member
	ms, err := scan.Object(space[:0], delta)
	if err != nil {
		return false
	}
	var text []byte
	kind := llm.BlockText
	for _, m := range ms {
		v := delta[m.Start:m.End]
		name := string(delta[m.Key+1 : m.KeyEnd-1])
		if name == "role" || scan.Null(v) || string(v) == `""` || string(v) == "[]" {
			continue
		}
		if text != nil || v[0] != '"' {
			return false
		}
		switch text = v; name {
		case "content":
		case "reasoning_content", "reasoning":
			kind = llm.BlockThinking
		default:
			return false
		}
	}
	if text == nil {
		return false
	}
	s, ok := scan.String(text)
	a := d.answer(&number{index, true})
	if !ok || a == nil || a.ended || kind == llm.BlockThinking && a.detail.Type != "" {
		return false
	}
	d.piece(a, kind, s)
	return true
}

// only is the only element of an array, nil if there is not one.
func only(v []byte) []byte {
	if len(v) < 2 || v[0] != '[' {
		return nil
	}
	v = bytes.TrimLeft(v[1:], " \t\r\n")
	n, err := scan.End(v)
	if err != nil || string(bytes.TrimSpace(v[n:])) != "]" {
		return nil
	}
	return v[:n]
}
