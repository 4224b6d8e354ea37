package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A panic in an errand is a line of the log, without what may be secret.
func TestErrandPanics(t *testing.T) {
	var log bytes.Buffer
	a := &App{log: slog.New(slog.NewJSONHandler(&log, nil))}
	a.errand(func() { panic("sk-secret") })
	if got := log.String(); !strings.Contains(got, `"type":"string"`) || !strings.Contains(got, "TestErrandPanics") || strings.Contains(got, "sk-secret") {
		t.Errorf("got %s", got)
	}
}
