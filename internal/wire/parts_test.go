package wire

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// part is a part of a form as a test writes it.
type part struct{ name, file, text string }

// form writes parts as clients do.
func form(t testing.TB, parts ...part) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q", p.name))
		if p.file != "" {
			h.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q; filename=%q", p.name, p.file))
			h.Set("Content-Type", "application/octet-stream")
		}
		out, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(out, p.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

// parsed reads a form as Go's own library does.
func parsed(body []byte, contentType string) ([]part, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	var out []part
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return out, err
		}
		out = append(out, part{p.FormName(), p.FileName(), string(text)})
	}
}

func readPayload(t testing.TB, p *Payload) string {
	t.Helper()
	size := p.Size()
	b, err := io.ReadAll(p)
	if err != nil || int64(len(b)) != size {
		t.Fatalf("a payload of %d bytes says that it has %d, end %v", len(b), size, err)
	}
	_ = p.Close()
	return string(b)
}

// Where the model stands in a form does not matter: it is found, and what goes
// to the vendor is the same form with the vendor's name of it.
func TestPartsModel(t *testing.T) {
	sound := "RIFF\r\n\r\n--\r\n\x00\xff" + strings.Repeat("x", 5000)
	for name, parts := range map[string][]part{
		"before the file": {{"model", "", "whisper"}, {"file", "a.wav", sound}, {"language", "", "de"}},
		"after the file":  {{"file", "a.wav", sound}, {"language", "", "de"}, {"model", "", "whisper"}},
		"alone":           {{"model", "", "whisper"}},
		"with spaces":     {{"model", "", " whisper "}, {"file", "a.wav", sound}},
		"absent":          {{"file", "a.wav", sound}, {"prompt", "", strings.Repeat("long ", 2000)}},
		"empty":           {{"model", "", ""}, {"file", "a.wav", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			body, kind := form(t, parts...)
			p, e := NewParts(&Buffer{B: bytes.Clone(body)}, kind)
			if e != nil {
				t.Fatal(e)
			}
			defer p.Release()
			var req llm.Request
			if e := p.Fill(llm.OpTranscription, &req); e != nil {
				t.Fatal(e)
			}
			want := "whisper"
			if name == "absent" || name == "empty" {
				want = ""
			}
			if req.Model != want {
				t.Errorf("the model is %q, want %q", req.Model, want)
			}
			sent := readPayload(t, p.Payload("vendor/model-2"))
			got, err := parsed([]byte(sent), p.ContentType())
			if err != nil {
				t.Fatalf("what is sent is no form: %v", err)
			}
			var models []string
			rest := got[:0:0]
			for _, x := range got {
				if x.name == "model" {
					models = append(models, x.text)
				} else {
					rest = append(rest, x)
				}
			}
			if fmt.Sprint(models) != "[vendor/model-2]" {
				t.Errorf("models sent: %q", models)
			}
			var others []part
			for _, x := range parts {
				if x.name != "model" {
					others = append(others, x)
				}
			}
			if fmt.Sprint(rest) != fmt.Sprint(others) {
				t.Errorf("the other parts are not what they were")
			}
			if want != "" {
				same := readPayload(t, p.Payload(p.Field("model")))
				if same != string(body) {
					t.Errorf("a form whose model keeps its name keeps not its bytes")
				}
			}
		})
	}
}

// What could be read in two ways is refused: the vendor must not see another
// model than the one that was checked.
func TestPartsRefused(t *testing.T) {
	const kind = "multipart/form-data; boundary=b"
	field := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	for name, c := range map[string]struct{ kind, body, says string }{
		"another type":             {"multipart/mixed; boundary=b", field("model", "m") + "--b--", "boundary"},
		"no boundary":              {"multipart/form-data", field("model", "m") + "--b--", "boundary"},
		"no parts":                 {kind, "", "boundary"},
		"another boundary":         {kind, "--c\r\n\r\n--c--", "boundary"},
		"no end":                   {kind, field("model", "m"), "end"},
		"cut in a part":            {kind, field("model", "m") + "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nRIF", "end"},
		"cut in a header":          {kind, field("model", "m") + "--b\r\nContent-Disposition: form-da", "header"},
		"a part without a name":    {kind, "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "name"},
		"a part without a header":  {kind, "--b\r\n\r\nx\r\n" + field("model", "m") + "--b--", "header"},
		"model twice":              {kind, field("model", "a") + field("model", "b") + "--b--", "twice"},
		"stream twice":             {kind, field("stream", "true") + field("stream", "false") + "--b--", "twice"},
		"model in another case":    {kind, field("Model", "a") + "--b--", "spelled"},
		"both cases":               {kind, field("model", "a") + field("MODEL", "b") + "--b--", "spelled"},
		"model as a file":          {kind, "--b\r\nContent-Disposition: form-data; name=\"model\"; filename=\"m\"\r\n\r\nm\r\n--b--", "model"},
		"model is huge":            {kind, field("model", strings.Repeat("m", 5000)) + "--b--", "model"},
		"model with a line end":    {kind, field("model", "a\r\nb") + "--b--", "model"},
		"two dispositions":         {kind, "--b\r\nContent-Disposition: form-data; name=\"user\"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--", "name"},
		"a boundary in a header":   {kind, "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n--b: x\r\n\r\nm\r\n--b--", "header"},
		"a part begins with it":    {kind, "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n" + field("model", "a") + field("model", "b") + "--b--", "boundary"},
		"a bare line end":          {kind, "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\n" + field("model", "a") + field("model", "b") + "--b--", "boundary"},
		"a boundary goes on":       {kind, field("model", "m") + "--bc\r\n\r\n--b--", "boundary"},
		"a header without an end":  {kind, "--b\r\nX: " + strings.Repeat("x", 1<<20) + "\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nm\r\n--b--", "header"},
		"the boundary in the text": {kind, "prefix--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--", "boundary"},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := NewParts(&Buffer{B: []byte(c.body)}, c.kind)
			if e == nil {
				var req llm.Request
				e = p.Fill(llm.OpTranscription, &req)
				p.Release()
			}
			if e == nil || e.HTTPStatus() != 400 || !strings.Contains(e.Message, c.says) {
				t.Errorf("got %v, want a 400 that says %q", e, c.says)
			}
		})
	}
}

// Text around the parts, and boundaries in quotes, are allowed by RFC 2046.
func TestPartsFraming(t *testing.T) {
	const field = "Content-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n"
	for name, c := range map[string]struct{ kind, body string }{
		"preamble":          {"multipart/form-data; boundary=b", "to be ignored\r\n--b\r\n" + field + "--b--\r\n"},
		"epilogue":          {"multipart/form-data; boundary=b", "--b\r\n" + field + "--b--\r\nto be ignored\r\n--b\r\n"},
		"quoted":            {"multipart/form-data; boundary=\"a b'()+_,-./:=?\"", "--a b'()+_,-./:=?\r\n" + field + "--a b'()+_,-./:=?--"},
		"capitals":          {"Multipart/Form-Data; BOUNDARY=b", "--b\r\n" + field + "--b--\r\n"},
		"a further header":  {"multipart/form-data; boundary=b; charset=utf-8", "--b\r\nContent-Type: text/plain\r\n" + field + "--b--\r\n"},
		"no end of line":    {"multipart/form-data; boundary=b", "--b\r\n" + field + "--b--"},
		"a name unquoted":   {"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--b--"},
		"headers lower":     {"multipart/form-data; boundary=b", "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--"},
		"dashes in content": {"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nhere --b is not at\r\n-- a line's\r\n-b beginning\r\n--b\r\n" + field + "--b--"},
	} {
		p, e := NewParts(&Buffer{B: []byte(c.body)}, c.kind)
		if e != nil {
			t.Errorf("%s: %v", name, e)
			continue
		}
		if got := p.Field("model"); got != "m" {
			t.Errorf("%s: the model is %q", name, got)
		}
		if got, err := parsed([]byte(readPayload(t, p.Payload("n"))), c.kind); err != nil || got[len(got)-1] != (part{name: "model", text: "n"}) {
			t.Errorf("%s: sent %v, %v", name, got, err)
		}
		p.Release()
	}
}

// A form has at most 1,024 parts.
func TestPartsBound(t *testing.T) {
	for n, want := range map[int]bool{maxParts - 1: true, maxParts: true, maxParts + 1: false} {
		parts := make([]part, n)
		for i := range parts {
			parts[i] = part{name: "timestamp_granularities[]", text: "word"}
		}
		parts[n-1] = part{name: "model", text: "m"}
		body, kind := form(t, parts...)
		p, e := NewParts(&Buffer{B: body}, kind)
		if (e == nil) != want {
			t.Errorf("%d parts: %v", n, e)
		}
		if e == nil {
			if p.Field("model") != "m" {
				t.Errorf("%d parts: no model", n)
			}
			p.Release()
		}
	}
}

// A large file is never copied, and calls that are still sending it keep it
// when the request is over.
func TestPartsOutliveTheirRequest(t *testing.T) {
	sound := strings.Repeat("0123456789abcdef", 9<<16)
	body, kind := form(t, part{"file", "a.wav", sound}, part{"model", "", "whisper"})
	buf := NewBuffer()
	if err := buf.Spool(bytes.NewReader(body), 32<<20); err != nil {
		t.Fatal(err)
	}
	p, e := NewParts(buf, kind)
	if e != nil {
		t.Fatal(e)
	}
	var wait sync.WaitGroup
	for i := range 4 {
		out := p.Payload(fmt.Sprint("model-", i))
		wait.Go(func() {
			got, err := parsed([]byte(readPayload(t, out)), kind)
			if err != nil || len(got) != 2 || got[0].text != sound || got[1].text != fmt.Sprint("model-", i) {
				t.Errorf("payload %d is not the form: %v", i, err)
			}
		})
	}
	p.Release()
	wait.Wait()
	if buf.B != nil || buf.file != nil {
		t.Error("the file is held after the last call")
	}
}

// Whatever the body is: no panic; what is taken goes out byte for byte where
// the model keeps its name, and as the same form with another one.
func FuzzParts(f *testing.F) {
	for _, parts := range [][]part{
		{{"model", "", "m"}, {"file", "a", "RIFF\r\n--"}},
		{{"file", "a", ""}, {"stream", "", "true"}, {"model", "", "m/n"}},
		{{"prompt", "", "\r\n\r\n"}},
	} {
		body, kind := form(f, parts...)
		f.Add(body, kind)
	}
	f.Add([]byte("x\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\n\r\n--b--y"), "multipart/form-data; boundary=b")
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		p, e := NewParts(&Buffer{B: bytes.Clone(body)}, kind)
		if e != nil {
			return
		}
		defer p.Release()
		var req llm.Request
		if p.Fill(llm.OpTranscription, &req) != nil {
			return
		}
		before, err := parsed(body, kind)
		if _, has := p.field("model"); has {
			if same := readPayload(t, p.Payload(p.Field("model"))); same != string(body) {
				t.Fatalf("%q went out as %q", body, same)
			}
		}
		sent := readPayload(t, p.Payload("other-model"))
		if err != nil {
			return // our reader takes more than Go's
		}
		after, err := parsed([]byte(sent), kind)
		if err != nil {
			t.Fatalf("%q became %q, which is no form: %v", body, sent, err)
		}
		var models int
		rest := map[bool][]part{}
		for i, list := range [][]part{before, after} {
			for _, x := range list {
				if x.name == "model" && x.file == "" {
					if i == 1 {
						models++
						if x.text != "other-model" {
							t.Fatalf("the model is %q in %q", x.text, sent)
						}
					}
					continue
				}
				rest[i == 1] = append(rest[i == 1], x)
			}
		}
		if models != 1 || fmt.Sprintf("%q", rest[false]) != fmt.Sprintf("%q", rest[true]) {
			t.Fatalf("%d models in %q, and the rest: %q, was %q", models, sent, rest[true], rest[false])
		}
	})
}

// Forms of random parts, large and small, are found whole.
func TestPartsRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for range 200 {
		var parts []part
		for i := range r.IntN(6) {
			p := part{name: fmt.Sprint("f", i), text: strings.Repeat("\r\n-", r.IntN(3)) + strings.Repeat("z", r.IntN(6000))}
			if r.IntN(2) == 0 {
				p.file = "f.bin"
			}
			parts = append(parts, p)
		}
		at := r.IntN(len(parts) + 1)
		parts = append(parts[:at:at], append([]part{{name: "model", text: "m"}}, parts[at:]...)...)
		body, kind := form(t, parts...)
		p, e := NewParts(&Buffer{B: body}, kind)
		if e != nil {
			t.Fatal(e)
		}
		got, err := parsed([]byte(readPayload(t, p.Payload("n"))), kind)
		parts[at].text = "n"
		if err != nil || fmt.Sprint(got) != fmt.Sprint(parts) {
			t.Fatalf("sent %v, want %v (%v)", got, parts, err)
		}
		p.Release()
	}
}
