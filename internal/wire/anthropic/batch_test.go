package anthropic

import (
	"strings"
	"testing"
)

func TestBatch(t *testing.T) {
	for body, want := range map[string]string{
		`{"requests":[{"custom_id":"0","params":{"model":"a","messages":[]}},  {"params":{"x":{"model":"z"},"model":"b"}}]}`: "a b",
		`{"x":[{"params":{"model":"a"}}],"requests":[{"params":{"model":"a"}}],"y":1}`:                                       "a",
		`{"requests":[]}`: "", `{"requests":[{"params":{"model":"a"}},{"params":{"model":"a"}}]}`: "a a",
		`{"requests":[{"params":{"model":"\u0061"}}]}`: "a",
	} {
		all, e := Batch([]byte(body))
		var got []string
		out := ""
		at := 0
		for _, x := range all {
			got = append(got, x.Model)
			out += body[at:x.Start] + `"NEW"`
			at = x.End
		}
		out += body[at:]
		if e != nil || strings.Join(got, " ") != want || strings.Count(out, `"NEW"`) != len(all) || strings.Contains(out[max(0, strings.Index(out, `"requests"`)):], `"model":"a"`) {
			t.Errorf("%s: %v, %v, %s", body, got, e, out)
		}
	}
	for _, body := range []string{
		``, `[]`, `{}`, `{"requests":{}}`, `{"requests":[1]}`, `{"requests":[{}]}`, `{"requests":[{"params":{}}]}`, `{"requests":[{"params":{"model":1}}]}`,
		`{"requests":[{"params":{"model":"a","model":"b"}}]}`, `{"requests":[{"params":{"model":"a","MODEL":"b"}}]}`, `{"requests":[{"params":{"model":"a"},"Params":{}}]}`,
		`{"requests":[],"requests":[]}`, `{"requests":[{"params":{"model":"a\nb"}}]}`, `{"requests":[{"params":{"model":"a"}}`,
	} {
		if all, e := Batch([]byte(body)); e == nil {
			t.Errorf("%s: %v, want an error", body, all)
		}
	}
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte(`{"requests":[{"params":{"model":"a"}},{"params":{"model":"b"}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		all, e := Batch(body)
		at := 0
		for _, x := range all {
			if x.Start < at || x.End > len(body) || x.Start >= x.End || body[x.Start] != '"' || body[x.End-1] != '"' {
				t.Fatalf("%q: %+v after %d, %v", body, x, at, e)
			}
			at = x.End
		}
	})
}
