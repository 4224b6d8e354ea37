package config

import (
	"fmt"
	"io"
	"log/slog"
)

// mask is what every rendering of a secret shows.
const mask = "***"

// Secret is a value that no message, log line or dump may show. Every way of
// printing it gives "***"; only Reveal returns it. It must not be the key of a
// map that is encoded: encoding/json writes keys of type string as they are.
type Secret string

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// Format implements fmt.Formatter: no verb shows the value, not even one that
// does not fit a string.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

func (s Secret) String() string { return mask }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return mask }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// MarshalJSON implements json.Marshaler.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + mask + `"`), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(mask) }
