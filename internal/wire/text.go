package wire

import (
	"math/rand/v2"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// NewCallID makes an id for a tool call that came without one.
func NewCallID() string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	var b [24]byte
	for i := range b {
		b[i] = digits[rand.IntN(len(digits))]
	}
	return "call_" + string(b[:])
}

// AppendString appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func AppendString(b []byte, s string) []byte {
	out, err := jsontext.AppendQuote(b, s)
	if err != nil {
		out, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return out
}
