package app

import (
	"net"
	"slices"
	"strings"
	"testing"
)

func TestPassedOn(t *testing.T) {
	const pid = 42
	for name, c := range map[string]struct {
		env  string
		want []passed
		err  string
	}{
		"nothing":           {"", nil, ""},
		"by another sluice": {"SLUICE_SOCKETS=main=127.0.0.1:8080,admin,ready", []passed{{3, "main", "127.0.0.1:8080"}, {4, "admin", ""}, {5, "ready", ""}}, ""},
		"one":               {"LISTEN_PID=42 LISTEN_FDS=1", []passed{{3, "main", ""}}, ""},
		"one with a name":   {"LISTEN_PID=42 LISTEN_FDS=1 LISTEN_FDNAMES=sluice.socket", []passed{{3, "main", ""}}, ""},
		"two":               {"LISTEN_PID=42 LISTEN_FDS=2 LISTEN_FDNAMES=admin:x", []passed{{3, "admin", ""}, {4, "main", ""}}, ""},
		"for another one":   {"LISTEN_PID=43 LISTEN_FDS=1", nil, ""},
		"no number":         {"LISTEN_PID=42 LISTEN_FDS=x", nil, `LISTEN_FDS says "x"`},
		"none":              {"LISTEN_PID=42 LISTEN_FDS=0", nil, `LISTEN_FDS says "0"`},
		"too many":          {"LISTEN_PID=42 LISTEN_FDS=3", nil, "3 sockets"},
		"two for clients":   {"LISTEN_PID=42 LISTEN_FDS=2", nil, "FileDescriptorName=admin"},
		"none for clients":  {"LISTEN_PID=42 LISTEN_FDS=1 LISTEN_FDNAMES=admin", nil, "one must be for clients"},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		got, err := passedOn(func(k string) string { return env[k] }, pid)
		switch {
		case c.err == "" && err != nil, c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want %q", name, err, c.err)
		case !slices.Equal(got, c.want):
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// A listener that was passed on is used for the address that it was made for,
// and wherever the configuration does not choose.
func TestSocketAt(t *testing.T) {
	open := func(s *socket) bool {
		c, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	for name, c := range map[string]struct {
		configured, address string
		same                bool
	}{
		"the same address":    {"localhost:8080", "localhost:8080", true},
		"systemd's":           {"", "localhost:8080", true},
		"another address":     {"localhost:8080", "127.0.0.1:0", false},
		"no address any more": {"localhost:8080", "", false},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &socket{l, c.configured}
		got, err := s.at(c.address)
		if err != nil {
			t.Fatal(err)
		}
		if same := got == s; same != c.same || open(s) != c.same || (got == nil) != (c.address == "") {
			t.Errorf("%s: the same listener %v, open %v; want %v", name, same, open(s), c.same)
		}
		if got != nil {
			_ = got.Close()
		}
	}
	var none *socket
	if got, err := none.at(""); got != nil || err != nil || none.fixed() {
		t.Errorf("nothing passed on and nothing configured: got %v, %v", got, err)
	}
}
