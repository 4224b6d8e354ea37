//go:build !race

package quality

import (
	"bufio"
	"compress/gzip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
)

// answer is a row of XSTest's completions with what people said of them.
type answer struct {
	Model string `json:"model"`
	Text  string `json:"text"`
	Label string `json:"label"`
}

// refuses: what refuses in part is a refusal, as where it was measured before.
func (a *answer) refuses() bool { return a.Label != "1_full_compliance" }

func answers(t *testing.T) []answer {
	dir := os.Getenv("SLUICE_DATA")
	if dir == "" {
		t.Skip("SLUICE_DATA is not set: no answers with labels")
	}
	f, err := os.Open(filepath.Join(dir, "prompts", "xstest_refusals.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []answer
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

type score struct{ hit, miss, alarm, rest int }

func (s *score) add(got, want bool) {
	switch {
	case got && want:
		s.hit++
	case want:
		s.miss++
	case got:
		s.alarm++
	default:
		s.rest++
	}
}

func (s *score) f1() float64 { return 2 * float64(s.hit) / float64(2*s.hit+s.miss+s.alarm) }

// TestRefusals leaves each model's answers out in turn, trains on the others' and
// judges those.
func TestRefusals(t *testing.T) {
	all := answers(t)
	var models []string
	of := map[string][]answer{}
	for _, a := range all {
		if of[a.Model] == nil {
			models = append(models, a.Model)
		}
		of[a.Model] = append(of[a.Model], a)
	}
	var phrases, linear, both score
	for _, out := range models {
		var train []Labelled
		for _, a := range all {
			if a.Model != out {
				train = append(train, Labelled{a.Text, a.refuses()})
			}
		}
		m := TrainRefusals(train)
		var p, l, b score
		for _, a := range of[out] {
			var w terms
			w.read(a.Text)
			said, scored := w.phrase || unspacedRefusal(a.Text), m.score(&w) > sure
			for _, s := range []*score{&p, &phrases} {
				s.add(said, a.refuses())
			}
			for _, s := range []*score{&l, &linear} {
				s.add(scored, a.refuses())
			}
			for _, s := range []*score{&b, &both} {
				s.add(said || scored, a.refuses())
			}
		}
		t.Logf("%-16s phrases F1 %.3f %v, linear %.3f %v, both %.3f %v", out, p.f1(), p, l.f1(), l, b.f1(), b)
	}
	t.Logf("all: phrases F1 %.3f %v, linear %.3f %v, both %.3f %v", phrases.f1(), phrases, linear.f1(), linear, both.f1(), both)
	if both.f1() < 0.9 {
		t.Errorf("F1 %.3f", both.f1())
	}
}

// TestOrdinary: gates that need no format find nothing in what vendors answered to
// ordinary requests, but for the answers that have it.
func TestOrdinary(t *testing.T) {
	dir := os.Getenv("SLUICE_DATA")
	if dir == "" {
		t.Skip("SLUICE_DATA is not set: no recorded answers")
	}
	files, err := filepath.Glob(filepath.Join(dir, "wire", "*", "chat", "*", "response.json"))
	if err != nil {
		t.Fatal(err)
	}
	found, all := map[string]int{}, 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Choices []struct {
				Message struct {
					Content jsontext.Value `json:"content"`
				} `json:"message"`
			} `json:"choices"`
		}
		var text string
		if json.Unmarshal(b, &r) != nil || len(r.Choices) == 0 || json.Unmarshal(r.Choices[0].Message.Content, &text) != nil || len(text) < 20 {
			continue
		}
		all++
		a := Answer{Text: text, Stop: llm.StopEnd, Whole: true}
		for name, j := range map[string]judge{"refused": notRefused, "loops": noLoops, "truncated": notTruncated, "arithmetic": arithmetic} {
			if _, why := j(&a); why != "" {
				found[name]++
				t.Logf("%s: %s: %s: %.200q", filepath.Base(filepath.Dir(file)), name, why, text)
			}
		}
	}
	t.Logf("%d answers: %v", all, found)
	if all < 100 || found["refused"]*50 > all || found["loops"]*50 > all || found["truncated"]*50 > all || found["arithmetic"]*50 > all {
		t.Errorf("of %d answers: %v", all, found)
	}
}

// TestRefusalFile: the embedded model is what the command makes of the answers.
func TestRefusalFile(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors round otherwise")
	}
	var all []Labelled
	for _, a := range answers(t) {
		all = append(all, Labelled{a.Text, a.refuses()})
	}
	if got := string(TrainRefusals(all).Append(nil)); got != refusalFile {
		t.Errorf("refusal.bin is another model: go run ./internal/quality/gen writes it anew")
	}
}
