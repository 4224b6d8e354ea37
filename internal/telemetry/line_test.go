package telemetry

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
)

var update = flag.Bool("update", false, "write the golden files anew")

func trails(t testing.TB) []*llm.Trail {
	return []*llm.Trail{
		whole(t),
		settled(t, 701, func(t *llm.Trail) { t.Queued = 60 * time.Microsecond }, plainCall),
		settled(t, 701, nil, failed, second),
		settled(t, 100.2, func(t *llm.Trail) {
			t.Answered, t.Target = "", ""
			t.Status, t.Outcome = 502, "upstream_error"
			t.Err = &llm.Error{Kind: llm.KindUpstream, Message: "not logged", Raw: []byte("nor this")}
		}, failed),
		settled(t, 0.083, func(t *llm.Trail) {
			t.Op, t.Model, t.Status, t.Outcome = 0, "", 401, "invalid_api_key"
			t.Err = &llm.Error{Kind: llm.KindInvalidKey}
		}),
		settled(t, 3, func(t *llm.Trail) {
			t.Status, t.Outcome, t.Risk, t.Err = 400, "request_blocked", "high", &llm.Error{Kind: llm.KindRequestBlocked}
			t.Guards = []llm.Verdict{{Guard: "words", Stage: llm.StageInput, Action: llm.GuardMask}, {Guard: "vendor", Stage: llm.StageInput, Action: llm.GuardFlag, Risk: "high", Found: []string{"not logged"}}}
		}),
		settled(t, -5, func(t *llm.Trail) { t.Op = llm.OpEmbedding; t.Model = "模型 é" },
			call{"m", "local/m", 0, 1, "ok", llm.Usage{Input: 3}, 1}),
	}
}

func TestGolden(t *testing.T) {
	for name, f := range map[string]format{"json": jsonFormat, "text": textFormat} {
		var got []byte
		for _, trail := range trails(t) {
			got = f.line(got, trail)
		}
		got = f.missing(got, at(0), 17)
		file := filepath.Join("testdata", "lines."+name+".golden")
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestFlat: each JSON line is one object, without nesting but for tried.
func TestFlat(t *testing.T) {
	for _, trail := range trails(t) {
		line := jsonLine(nil, trail)
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for k, v := range got {
			if _, nested := v.(map[string]any); nested {
				t.Errorf("%s is nested in %s", k, line)
			}
		}
		if _, err := time.Parse(time.RFC3339, got["time"].(string)); err != nil {
			t.Error(err)
		}
	}
}

func hostile(t testing.TB, s string) *llm.Trail {
	return settled(t, 1, func(t *llm.Trail) {
		t.ID, t.Model, t.Answered, t.Target, t.Strategy, t.Outcome = s, s, s, s, s, s
		t.Caller = llm.Caller{Key: s, Session: s, Tags: s}
	}, call{s, s, 0, 1, s, llm.Usage{}, 0}, call{s, s, 0, 1, s, llm.Usage{}, 0})
}

var hostiles = []string{
	"a\nb", "a\r\nb", "a\"b\\c", "\x00\x1b[31m", "\x7f\u0085\u009b", "a\u2028b\u2029c", "\u202eabc\u2066", "\xff\xfe", "\xed\xa0\x80",
	"😀\U000e0001", "}\n{\"level\":\"error\"", strings.Repeat("x", 10_000), strings.Repeat("é", 10_000),
	strings.Repeat("a", 255) + "é", strings.Repeat("\x80", 1000),
}

func checkHostile(t *testing.T, s string) {
	t.Helper()
	trail := hostile(t, s)
	for _, f := range []format{jsonFormat, textFormat} {
		line := f.line(nil, trail)
		body, end := line[:len(line)-1], line[len(line)-1]
		if end != '\n' || !utf8.Valid(body) {
			t.Errorf("%q: not one line of UTF-8: %q", s, line)
		}
		for _, r := range string(body) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q: %U stands in %q", s, r, line)
			}
		}
	}
	line := jsonLine(nil, trail)
	var got struct {
		Level, Model string
		Tried        []string
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%q: %v in %s", s, err, line)
	}
	want := strings.ToValidUTF8(s, "\ufffd")
	if len(s) > maxName {
		if !strings.HasSuffix(got.Model, "…") || len(line) > 10*6*(maxName+8) {
			t.Errorf("%.20q…: got %d bytes, model %q", s, len(line), got.Model)
		}
		return
	}
	if utf8.ValidString(s) && got.Model != want {
		t.Errorf("got model %q, want %q", got.Model, want)
	}
	if got.Level != "info" || len(got.Tried) != 2 {
		t.Errorf("%q: got level %q, tried %q", s, got.Level, got.Tried)
	}
}

func TestHostile(t *testing.T) {
	for _, s := range hostiles {
		if s != "" {
			checkHostile(t, s)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range hostiles {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" || len(s) > 1<<16 {
			return
		}
		checkHostile(t, s)
	})
}

func TestClip(t *testing.T) {
	for _, s := range []string{strings.Repeat("é", 300), "a" + strings.Repeat("é", 300), strings.Repeat("😀", 100), "ab" + strings.Repeat("模", 100)} {
		got := clip(s)
		if !utf8.ValidString(got) || len(got) > maxName || len(got) < maxName-3 {
			t.Errorf("got %d bytes, valid %v", len(got), utf8.ValidString(got))
		}
	}
}

func TestMillis(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0"}, {-time.Second, "0"}, {999, "0"}, {time.Microsecond, "0.001"}, {83 * time.Microsecond, "0.083"},
		{812500 * time.Microsecond, "812.5"}, {time.Minute, "60000"}, {1010 * time.Microsecond, "1.01"},
	} {
		if got := string(millis(nil, tc.d)); got != tc.want {
			t.Errorf("%v: got %s, want %s", tc.d, got, tc.want)
		}
	}
}
