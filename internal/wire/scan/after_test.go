package scan

import "testing"

func TestAfter(t *testing.T) {
	for in, want := range map[string]string{
		`{"usage":1}`: "1}", "{\"usage\" :\r\n 1}": "1}", `{"x":"\"usage\":2","usage":1}`: "1}", `{"x":"usage","usage":1}`: "1}", `{"x":"usage"}`: "", `{"usage"`: "", ``: "",
	} {
		if got := After([]byte(in), []byte(`"usage"`)); string(got) != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestTextLen(t *testing.T) {
	for in, want := range map[string]int{`""`: 0, `"abc",`: 3, `"a\"b"`: 4, `"a\\"b`: 3, `"cut`: 3, `"cut\`: 4} {
		if got := TextLen([]byte(in)); got != want {
			t.Errorf("%s: %d, want %d", in, got, want)
		}
	}
}
