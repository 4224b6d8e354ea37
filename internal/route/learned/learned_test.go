package learned

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// made are prompts of two tasks, of which each has a model that is good at it,
// and the other is not.
func made(n int) (out []Example) {
	for i := range n {
		e := Example{Prompt: fmt.Sprintf("Add the numbers %d and %d.", i, 7*i), Task: "sums",
			Outcomes: map[string]Outcome{"adder": {1, 0.1}, "writer": {0.1, 0.2}}}
		if i%2 == 1 {
			e = Example{Prompt: fmt.Sprintf("Write a poem about the river of the year %d!", 1000+i), Task: "poems",
				Outcomes: map[string]Outcome{"adder": {0.2, 0.1}, "writer": {0.9, 0.2}}}
		}
		out = append(out, e)
	}
	return out
}

func trained(t testing.TB) *Model {
	t.Helper()
	m, err := Train(made(200), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEstimate(t *testing.T) {
	m := trained(t)
	var e Estimate
	for prompt, want := range map[string]struct{ task, model string }{
		"please add the numbers 12 and 99":                    {"sums", "adder"},
		"Could you write a poem about the sea of the year 5?": {"poems", "writer"},
	} {
		m.Estimate(&e, prompt)
		task, p := e.Best()
		best := 0
		if e.Quality[1] > e.Quality[0] {
			best = 1
		}
		if m.Tasks[task] != want.task || p < 0.7 || m.Models[best] != want.model {
			t.Errorf("%q: %s (%.2f), %s; qualities %v", prompt, m.Tasks[task], p, m.Models[best], e.Quality)
		}
	}
	m.Estimate(&e, "қазақ тілінде жазылған сөйлем 你好世界")
	if e.Coverage > 0.3 {
		t.Errorf("words that were never seen are covered by %.2f", e.Coverage)
	}
	m.Estimate(&e, "")
	for _, x := range slices.Concat(e.Task, e.Quality) {
		if !(x >= 0 && x <= 1) {
			t.Errorf("of nothing: %v, %v", e.Task, e.Quality)
		}
	}
}

// A table that is a sum over the posterior and a linear estimate that is added
// to it stay between 0 and 1, whatever the text.
func FuzzEstimate(f *testing.F) {
	m := trained(f)
	var e Estimate
	f.Add("Add 1", []byte{0xff, 0xfe})
	f.Add(strings.Repeat("word ", 3000), []byte("你好"))
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		s += string(b)
		m.Estimate(&e, s)
		if len(e.features) > maxFeatures {
			t.Errorf("%d features of %d bytes", len(e.features), len(s))
		}
		var sum float64
		for _, p := range e.Task {
			sum += float64(p)
		}
		if math.Abs(sum-1) > 1e-3 {
			t.Errorf("the posterior sums to %f", sum)
		}
		for _, q := range e.Quality {
			if !(q >= 0 && q <= 1) {
				t.Errorf("quality %f", q)
			}
		}
		if upper := strings.ToUpper(s); isASCII(s) {
			var a, b reader
			a.read(s)
			b.read(upper)
			if n := max(0, len(a.features)-1); !slices.Equal(a.features[:n], b.features[:n]) { // the last tells how a text begins
				t.Errorf("%q has other features in capitals", s)
			}
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// What is added up in lanes is the sum, also where every weight is the largest.
func TestAdd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	m := &Model{words: 4, weights: make([]uint64, 4*64)}
	for _, span := range []int{0, 1, largest} {
		var want [64][4 * perWord]int32
		for i := range m.weights {
			m.weights[i] = 0
			for j := range perWord {
				x := largest // or any
				if span > 0 {
					x = rnd.IntN(2*span+1) - span
				}
				m.weights[i] |= uint64(zero+x) << (8 * j)
				want[i/m.words][i%m.words*perWord+j] = int32(x)
			}
		}
		for _, n := range []int{0, 1, 3, 4, 5, 100, lanes - 1, lanes, lanes + 1, 3*lanes + 2, maxFeatures} {
			var rows []uint32
			var sum [4 * perWord]int32
			for range n {
				r := rnd.IntN(64)
				rows = append(rows, uint32(r*m.words))
				for i, x := range want[r] {
					sum[i] += x
				}
			}
			var got [maxHeads]int32
			if m.add(&got, rows); [4 * perWord]int32(got[:]) != sum {
				t.Errorf("%d rows of weights up to %d: got %v, want %v", n, span, got[:4*perWord], sum)
			}
		}
	}
}

func TestExp(t *testing.T) {
	for x := float32(-80); x <= 80; x += 0.0137 {
		if want := math.Exp(float64(x)); math.Abs(float64(exp(x))-want) > 4e-7*want {
			t.Errorf("exp(%v) = %v, want %v", x, exp(x), want)
		}
	}
	for x, want := range map[float32]float32{0: 0.5, 1e30: 1, -1e30: 0} {
		if got := sigmoid(x); math.Abs(float64(got-want)) > 1e-9 {
			t.Errorf("sigmoid(%v) = %v, want %v", x, got, want)
		}
	}
}

// A weight that four lanes do not hold is refused, by a file with a good checksum too.
func TestFileOfLargeWeights(t *testing.T) {
	m := trained(t)
	for _, b := range []uint64{zero + largest + 1, zero - largest - 1, 255} {
		old := m.weights[m.words] // of the second row
		m.weights[m.words] = old&^0xff | b
		var file bytes.Buffer
		if err := m.Write(&file); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&file); err == nil || !strings.Contains(err.Error(), "beyond measure") {
			t.Errorf("a weight of %d as a byte: got %v, want it refused", b, err)
		}
		m.weights[m.words] = old
	}
}

func TestNoAllocation(t *testing.T) {
	m := trained(t)
	var e Estimate
	prompt := strings.Repeat("Add the numbers 5 and 12. ", 16)
	m.Estimate(&e, prompt)
	if n := testing.AllocsPerRun(100, func() { m.Estimate(&e, prompt) }); n != 0 {
		t.Errorf("an estimate allocates %v times", n)
	}
}

func TestFile(t *testing.T) {
	m := trained(t)
	m.Card.Source = "made"
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	file := bytes.Clone(b.Bytes())
	if !IsModel(bufio.NewReader(bytes.NewReader(file))) {
		t.Error("a model's file is not known as one")
	}
	back, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, back) {
		t.Error("what was read is not what was written")
	}
	for i := range file {
		if i%97 != 0 && i < len(file)-40 {
			continue
		}
		bad := bytes.Clone(file)
		bad[i] ^= 0x20
		if _, err := Read(bytes.NewReader(bad)); err == nil {
			t.Fatalf("byte %d was changed and nobody noticed", i)
		}
		if _, err := Read(bytes.NewReader(file[:i])); err == nil {
			t.Fatalf("the first %d of %d bytes were taken for the whole", i, len(file))
		}
	}
}

// Whoever makes a file with a good checksum cannot make more of it than a model.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := trained(f).Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes()[:b.Len()-sha256.Size])
	f.Add([]byte(format + "\n" + `{"topics":["a"],"tasks":["a"],"task":[0],"prior":[1],"models":["b"],"trust":[1],"table":[[1]],"scale":[1,1,1],"bias":[0,0],"rows":9}` + "\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		m, err := Read(bytes.NewReader(append(body, sum[:]...)))
		if err != nil {
			return
		}
		var e Estimate
		m.Estimate(&e, "Add the numbers")
		_, _ = e.Best()
	})
}

func TestTrainRefuses(t *testing.T) {
	one := []Example{{Prompt: "a", Outcomes: map[string]Outcome{"m": {1, 0}}}}
	many := made(2)
	for i := range maxHeads {
		many = append(many, Example{Prompt: "a", Task: fmt.Sprint(i), Outcomes: many[0].Outcomes})
	}
	for want, data := range map[string][]Example{"fewer than two models": one, "at most 255": many} {
		if _, err := Train(data, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestReadExamples(t *testing.T) {
	const good = `{"prompt": "p", "task": "t", "outcomes": {"a": {"quality": 1, "cost": 0.5}}}`
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte(good + "\n\n" + good + "\n"))
	_ = w.Close()
	for _, in := range []string{good + "\n\n" + good, z.String()} {
		es, err := ReadExamples(strings.NewReader(in))
		if err != nil || len(es) != 2 || es[1].Outcomes["a"] != (Outcome{1, 0.5}) {
			t.Errorf("%+v, %v", es, err)
		}
	}
	for in, want := range map[string]string{
		good + "\n{":      "line 2",
		`{"prompt": "p"}`: "line 1: want",
		"\n\n" + `{"prompt": "p", "outcomes": {"a": {"quality": 1}}}`:                "line 3: model \"a\": want a quality and a cost",
		`{"prompt": "p", "outcomes": {"a": {"score": 1, "cost": 1}}}`:                "line 1: model \"a\": want",
		good + "\n\n" + `{"prompt": "` + strings.Repeat("x", maxLine) + `", "o": 1}`: "line 3: longer than 4 MiB",
		`{"prompt": "", "outcomes": {"a": {}}}`:                                      "line 1: want",
		`{"prompt": "p", "outcomes": {"a": {"quality": 1.5, "cost": 0}}}`:            "quality is 0 to 1",
		`{"prompt": "p", "outcomes": {"a": {"quality": 1, "cost": -0.01}}}`:          "cost is not negative",
		"\x1f\x8bnot gzip": "gzip",
	} {
		if _, err := ReadExamples(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

// What is read holds to the contract of the data, and is not more than was
// written.
func FuzzReadExamples(f *testing.F) {
	f.Add([]byte(`{"prompt": "p", "task": "t", "outcomes": {"a": {"quality": 1, "cost": 0.5}}}` + "\n\n" + `{"prompt": "q", "outcomes": {"b": {}}}`))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		es, err := ReadExamples(bytes.NewReader(b))
		if err != nil {
			return
		}
		if b[0] != 0x1f && len(es) > 1+bytes.Count(b, []byte("\n")) {
			t.Errorf("%d examples of %d bytes", len(es), len(b))
		}
		for _, e := range es {
			if e.Prompt == "" || len(e.Outcomes) == 0 {
				t.Errorf("an example without prompt or outcomes: %+v", e)
			}
		}
	})
}

func TestIndex(t *testing.T) {
	m := &Model{Models: []string{"gpt-4-1106", "llama-3.1-8b-instruct", "mixtral-8x7b", "qwen2.5-7b-instruct"}}
	for name, want := range map[string]int{
		"gpt-4-1106": 0, "openai/gpt-4-1106-preview": 0, "gpt-4": -1, "gpt-4o": -1,
		"meta-llama/Meta-Llama-3.1-8B-Instruct": 1, "llama-3.1-8b-instant": 1, "llama-3.1-70b-instruct": -1,
		"mistralai/Mixtral-8x7B-Instruct-v0.1": 2, "open-mixtral-8x7b": 2, "mixtral-8x22b": -1,
		"qwen2.5:7b": 3, "": -1,
	} {
		if got := m.Index(name); got != want {
			t.Errorf("%q is %d, want %d", name, got, want)
		}
	}
}

// A cell without outcomes is what topic and model are elsewhere, together.
func TestTable(t *testing.T) {
	var data []Example
	for i := range 400 {
		hard, easy := Outcome{Quality: 0.2}, Outcome{Quality: 0.8}
		switch i % 4 {
		case 0:
			data = append(data, Example{Prompt: "hard one", Task: "hard", Outcomes: map[string]Outcome{"a": hard, "b": {Quality: 0.3}}})
		case 1:
			data = append(data, Example{Prompt: "easy one", Task: "easy", Outcomes: map[string]Outcome{"a": easy, "b": {Quality: 0.9}}})
		case 2: // c is known from the easy topic alone, where it is like a
			data = append(data, Example{Prompt: "easy two", Task: "easy", Outcomes: map[string]Outcome{"a": easy, "c": easy}})
		case 3: // the topic is of the same task as the hard one
			data = append(data, Example{Prompt: "other one", Task: "other", Outcomes: map[string]Outcome{"c": {Quality: 0.5}}})
		}
	}
	m, err := Train(data, Options{Task: map[string]string{"hard": "work", "other": "play", "easy": "play"}})
	if err != nil {
		t.Fatal(err)
	}
	at := func(model, topic string) float32 {
		return m.table[m.Index(model)][slices.Index(m.Topics, topic)]
	}
	if got := m.Tasks; !slices.Equal(got, []string{"play", "work"}) {
		t.Errorf("tasks %v", got)
	}
	for _, x := range []struct {
		model, topic string
		want         float64
	}{{"a", "hard", 0.2}, {"b", "hard", 0.3}, {"a", "easy", 0.8}, {"c", "easy", 0.8}, {"c", "hard", 0.2}, {"c", "other", 0.5}, {"b", "other", 0.6}} {
		if got := at(x.model, x.topic); math.Abs(float64(got)-x.want) > 0.05 {
			t.Errorf("%s at %s is %.3f, want %.3f", x.model, x.topic, got, x.want)
		}
	}
}

func BenchmarkEstimate(b *testing.B) {
	data := made(200)
	for i := range data { // 16 models
		for k := range 14 {
			data[i].Outcomes[fmt.Sprint(k)] = Outcome{float64(k) / 14, 0.1}
		}
	}
	m, err := Train(data, Options{})
	if err != nil {
		b.Fatal(err)
	}
	prompt := strings.Repeat("Write a poem about the river, and add the numbers. ", 8)[:400]
	for name, m := range map[string]*Model{"16models": m, "embedded": Embedded()} {
		b.Run(name, func(b *testing.B) {
			var e Estimate
			m.Estimate(&e, prompt)
			b.ReportAllocs()
			for b.Loop() {
				m.Estimate(&e, prompt)
			}
		})
	}
}
