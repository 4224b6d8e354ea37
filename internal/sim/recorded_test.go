package sim

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorded are the vendors' recorded exchanges of an API that hold a request.
type recorded struct {
	name string
	body []byte
	ok   bool // the vendor answered it
}

func recordings(t *testing.T, provider string, apis ...string) (all []recorded) {
	t.Helper()
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: no recorded exchanges to read")
	}
	root = filepath.Join(root, "wire")
	f, err := os.Open(filepath.Join(root, "index.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var e struct {
			Case, Provider, API string
			Status              int
			Request             bool
		}
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if !e.Request || e.Provider != provider || !strings.Contains(" "+strings.Join(apis, " ")+" ", " "+e.API+" ") {
			continue
		}
		body, err := os.ReadFile(filepath.Join(root, e.Case, "request.json"))
		if err == nil {
			all = append(all, recorded{e.Case, body, e.Status < 400})
		}
	}
	if err := sc.Err(); err != nil || len(all) == 0 {
		t.Fatalf("got %d requests of %s, %v", len(all), provider, err)
	}
	return all
}

// TestRecorded: the simulator accepts what the vendors accepted, but for seals,
// which are the vendor's, and things that a vendor keeps, which it has not.
func TestRecorded(t *testing.T) {
	for _, tc := range []struct {
		provider string
		apis     []string
		read     func(s *Server, body []byte) string // what is refused
		seals    []string
	}{
		{"anthropic", []string{"messages", "count_tokens"}, func(s *Server, body []byte) string {
			r := &reader{s: s, counts: true, version: versionKey}
			r.read(body)
			return r.bad
		}, []string{"Invalid `signature`", "Invalid `data`"}},
		{"gemini", []string{"generateContent", "streamGenerateContent", "countTokens"}, func(s *Server, body []byte) string {
			r := &geminiReader{s: s, model: "m"}
			if r.read(body) {
				return ""
			}
			return r.bad.message
		}, []string{"Corrupted thought signature"}},
		{"openai", []string{"responses", "input_tokens"}, func(s *Server, body []byte) string {
			r := &itemReader{s: s}
			if r.read(body) {
				return ""
			}
			return r.bad.message
		}, []string{"could not be verified", "not found"}},
		{"openai", []string{"chat"}, func(_ *Server, body []byte) string {
			var r chatRequest
			if err := json.Unmarshal(body, &r); err != nil {
				return err.Error()
			}
			bad := r.check()
			if bad == nil {
				bad = r.checkMessages()
			}
			if bad != nil {
				return bad.message
			}
			return ""
		}, nil},
	} {
		s := must(t, Config{})
		accepted, sealed := 0, 0
	next:
		for _, e := range recordings(t, tc.provider, tc.apis...) {
			why := tc.read(s, e.body)
			if why == "" {
				accepted++
				continue
			}
			for _, seal := range tc.seals {
				if strings.Contains(why, seal) {
					sealed++
					continue next
				}
			}
			if e.ok {
				t.Errorf("%s: refused with %q", e.name, why)
			}
		}
		t.Logf("%s %v: %d accepted, %d with seals of the vendor", tc.provider, tc.apis, accepted, sealed)
	}
}
