package blackbox

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// held is a vendor whose streams stop after the first word until they are
// released.
type held struct {
	*vendor
	release chan struct{}
}

func newHeld(t *testing.T) *held {
	h := &held{release: make(chan struct{})}
	h.vendor = newVendor(t, func(c *call) {
		if !c.stream {
			c.whole("ok")
			return
		}
		c.begin()
		c.events(roleChunk, contentChunk("first "))
		select {
		case <-h.release:
		case <-c.left:
			c.cut()
			return
		case <-c.v.stop:
			c.cut()
			return
		}
		c.events(contentChunk("last"), stopChunk, "[DONE]")
		c.end()
	})
	return h
}

// begun asks for a stream and returns when its first word has come; rest
// gives the remaining bytes.
func begun(t *testing.T, url, model string) (rest func() (string, error)) {
	t.Helper()
	tr := &http.Transport{}
	resp, err := (&http.Client{Transport: tr}).Post(url+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"`+model+`","stream":true,`+hello+`}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close(); tr.CloseIdleConnections() })
	r := bufio.NewReader(resp.Body)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended before its first word: %v", err)
		}
		if strings.Contains(line, "first ") {
			break
		}
	}
	return func() (string, error) {
		b, err := io.ReadAll(r)
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
		return string(b), err
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	rest := begun(t, g.url, "a")
	if r := g.get("/readyz"); r.status != 200 {
		t.Errorf("ready: got %d, want 200", r.status)
	}
	client.CloseIdleConnections()
	g.signal(syscall.SIGTERM)
	eventually(t, "not ready", func() bool { return g.get("/readyz").status == 503 })
	if r := g.get("/healthz"); r.status != 200 {
		t.Errorf("alive while draining: got %d, want 200", r.status)
	}
	r := g.chat("a")
	if r.status != 200 {
		t.Errorf("a request in the lame duck's second: got %s, want 200", r)
	}
	resp, err := http.Get(g.url + "/healthz")
	if err != nil {
		t.Fatalf("a new connection in the lame duck's second: %v", err)
	}
	_ = resp.Body.Close()
	if !resp.Close {
		t.Error("no Connection: close while draining")
	}
	eventually(t, "the closing of the listener", func() bool {
		c, err := net.DialTimeout("tcp", g.addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case <-g.done:
		t.Fatal("the gateway ended before the stream did")
	default:
	}
	close(v.release)
	if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") || !strings.Contains(got, "last") {
		t.Errorf("the running stream: got %q, %v, want it whole", got, err)
	}
	if code := g.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	if rep := usageOf(t, g); rep.Total.Requests != 2 {
		t.Errorf("requests in the ledger: got %d, want 2", rep.Total.Requests)
	}
}

func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	g := serve(t, "drain: 300ms\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	rest := begun(t, g.url, "a")
	g.signal(syscall.SIGTERM)
	got, _ := rest()
	if !strings.Contains(got, `{"error":{"message":`) || strings.Contains(got, "[DONE]") {
		t.Errorf("a stream that outlives the drain: got %q, want an error event and no [DONE]", got)
	}
	if code := g.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	closed(t, "the close of the vendor's connection", v.call(1).left)
}

func TestSecondSignal(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	g := serve(t, "drain: 10m\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	begun(t, g.url, "a")
	g.signal(syscall.SIGTERM)
	g.line("stopping")
	g.signal(syscall.SIGTERM)
	g.wait() // in less than patience, against ten minutes
	if rep := usageOf(t, g); rep.Total.Requests != 1 {
		t.Errorf("requests in the ledger: got %d, want 1: it is written all the same", rep.Total.Requests)
	}
}

// report is what `sluice usage -o json` prints.
type report struct {
	Rows  []map[string]any `json:"rows"`
	Total struct {
		Requests int64            `json:"requests"`
		Tokens   map[string]int64 `json:"tokens"`
		Nano     int64            `json:"cost_nano_usd"`
		USD      json.Number      `json:"cost_usd"`
	} `json:"total"`
}

func usageOf(t *testing.T, g *gateway, by ...string) report {
	t.Helper()
	args := []string{"usage", "-c", g.file, "--data", g.data, "-o", "json"}
	if len(by) > 0 {
		args = append(args, "--by", strings.Join(by, ","))
	}
	code, out, errs := run(t, g.dir, "", nil, args...)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("sluice usage: exit %d, %v\n%s%s", code, err, out, errs)
	}
	return r
}

func TestReload(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	config := func(models string) string {
		return "providers:\n" + v.provider("a", "k") + "models: {" + models + "}\n"
	}
	g := serve(t, config("one: a/m"))
	if r := g.chat("two"); r.status != 404 {
		t.Fatalf("before: got %s, want 404", r)
	}
	reloads := func() int { return g.said(`"msg":"reloaded"`, "reload failed") }
	// The file's change alone.
	write(t, g.file, config("two: a/m"))
	eventually(t, "the reload", func() bool { return g.chat("two").status == 200 })
	if r := g.chat("one"); r.status != 404 {
		t.Errorf("the old model: got %s, want 404", r)
	}
	// A file that is put in its place, as editors and Kubernetes do.
	next := filepath.Join(g.dir, "next")
	write(t, next, config("three: a/m"))
	if err := os.Rename(next, g.file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reload", func() bool { return g.chat("three").status == 200 })
	// SIGHUP.
	n := reloads()
	g.signal(syscall.SIGHUP)
	eventually(t, "the reload", func() bool { return reloads() > n })
	g.line(`"msg":"reloaded".*SIGHUP`)
	// A file that does not build changes nothing and says where.
	write(t, g.file, config("three: nowhere/m")+"bogus: 1\n")
	g.signal(syscall.SIGHUP)
	line := g.line(`(.*reload failed.*)`)[1]
	for _, want := range []string{g.file + ":3:", g.file + ":4:1: "} {
		if !strings.Contains(line, want) {
			t.Errorf("what the log says of a bad file: got %s, want %s in it", line, want)
		}
	}
	if r := g.chat("three"); r.status != 200 {
		t.Errorf("after a bad file: got %s, want what was good before", r)
	}
	if g.get("/readyz").status != 200 {
		t.Error("not ready after a bad file")
	}
	// The operator's order, which says what is wrong.
	if r := g.post("/admin/v1/reload", ""); r.status != 400 || !strings.Contains(string(r.body), g.file+":4:1: ") {
		t.Errorf("an order to reload a bad file: got %s, want 400 and where it is wrong", r)
	}
	write(t, next, config("four: a/m"))
	if err := os.Rename(next, g.file); err != nil {
		t.Fatal(err)
	}
	if r := g.post("/admin/v1/reload", ""); r.status != 200 {
		t.Errorf("an order to reload: got %s, want 200", r)
	}
	if r := g.chat("four"); r.status != 200 {
		t.Errorf("after the order: got %s, want the new model", r)
	}
}

// A running stream finishes though a reload has taken its target away.
func TestFault112ReloadUnderStream(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	rest := begun(t, g.url, "a")
	write(t, g.file, "providers:\n"+v.provider("b", "k")+"models: {b: b/m}\n")
	g.signal(syscall.SIGHUP)
	eventually(t, "the reload", func() bool { return g.chat("b").status == 200 })
	close(v.release)
	if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the running stream: got %q, %v, want it whole", got, err)
	}
}

// A file of ten thousand models is put in force under load, and its successor
// that cannot be read changes nothing.
func TestFault112LargeFile(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	head := "providers:\n" + v.provider("a", "k") + "models:\n  m: a/m\n"
	g := serve(t, head)
	g.chat("m") // it serves, so it hears signals
	var big strings.Builder
	big.WriteString(head)
	models := 9_999
	if raced() {
		models = 1_999
	}
	last := fmt.Sprint("model-", models-1)
	for i := range models {
		fmt.Fprintf(&big, "  model-%d: {targets: [{target: a/m%d, weight: 2}], fallback: [m]}\n", i, i)
	}
	write(t, g.file, big.String())
	g.signal(syscall.SIGHUP)
	for g.said(`"msg":"reloaded"`) == 0 {
		if r := g.chat("m"); r.status != 200 {
			t.Fatalf("while the large file is read: got %s, want 200", r)
		}
		if g.said("reload failed") > 0 {
			t.Fatalf("the large file is refused:\n%s", tail(g.log(), 2000))
		}
	}
	if r := g.chat(last); r.status != 200 || r.header.Get("X-Sluice-Target") != fmt.Sprint("a/m", models-1) {
		t.Errorf("%s: got %s, want 200 by its target", last, r)
	}
	write(t, g.file, big.String()+"  model-1: a/m\n") // twice
	g.signal(syscall.SIGHUP)
	eventually(t, "the refusal", func() bool { return g.said("reload failed") > 0 })
	if r := g.chat(last); r.status != 200 {
		t.Errorf("after a file that is refused: got %s, want the last good one in force", r)
	}
}

func TestFault111ReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) { c.whole("a b c") })
	config := func(i int) string {
		return fmt.Sprintf("providers:\n%smodels: {m: {targets: [{target: a/m%d}]}, n%d: a/n}\n", v.provider("a", "k"), i%2, i)
	}
	g := serve(t, config(0))
	g.chat("m") // it serves, so it hears signals
	ctx, stop := context.WithCancel(context.Background())
	var asked, lost atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
				stream := w%2 == 0
				r, err := try(http.MethodPost, g.url+"/v1/chat/completions", fmt.Sprintf(`{"model":"m","stream":%v,%s}`, stream, hello))
				asked.Add(1)
				if err != nil || r.status != 200 || r.err != nil || stream && !strings.HasSuffix(string(r.body), "data: [DONE]\n\n") {
					if lost.Add(1) == 1 {
						t.Errorf("a request was lost: %v %v", err, r)
					}
				}
			}
		})
	}
	done := func() int { return g.said(`"msg":"reloaded"`, "reload failed") }
	for i := 1; i <= 100; i++ {
		n := done()
		if i%3 == 0 {
			write(t, g.file, "models: [\n")
		} else {
			write(t, g.file, config(i))
		}
		g.signal(syscall.SIGHUP)
		eventually(t, "a reload", func() bool { return done() > n })
	}
	stop()
	wg.Wait()
	if lost.Load() > 0 {
		t.Errorf("lost %d of %d requests", lost.Load(), asked.Load())
	}
	if r := g.chat("n100"); r.status != 200 {
		t.Errorf("the last configuration: got %s, want it in force", r)
	}
	t.Logf("%d requests, %d reloads", asked.Load(), done())
}

func TestAdminListen(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	v := newVendor(t, nil)
	g := serve(t, "admin: {key: "+adminKey+", listen: \""+addr+"\"}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\nkeys: [{name: one, key: "+keyOne+"}]\n")
	g.chat("a", bearer(keyOne)...)
	r := do(t, http.MethodGet, "http://"+addr+"/metrics", "")
	if r.status != 200 || !strings.Contains(string(r.body), "sluice_requests_total") {
		t.Errorf("metrics on the admin listener: got %d, want them without a key", r.status)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := do(t, http.MethodGet, "http://"+addr+path, ""); r.status != 200 {
			t.Errorf("%s on the admin listener: got %d, want 200", path, r.status)
		}
	}
	if r := do(t, http.MethodPost, "http://"+addr+"/v1/chat/completions", `{"model":"a",`+hello+`}`, bearer(keyOne)...); r.status != 404 {
		t.Errorf("a model on the admin listener: got %d, want 404", r.status)
	}
	if r := do(t, http.MethodGet, "http://"+addr+"/gateway/status", "", bearer(adminKey)...); r.status != 200 {
		t.Errorf("status on the admin listener: got %d, want 200", r.status)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	t.Run("nothing", func(t *testing.T) {
		code, _, errs := run(t, t.TempDir(), "", nil, "serve", "--listen", "127.0.0.1:0")
		if code != 1 || !strings.Contains(errs, "OPENAI_API_KEY") || !strings.Contains(errs, "OLLAMA_HOST") || !strings.Contains(errs, "sluice demo") {
			t.Errorf("no key anywhere: exit %d, %q; want 1, what to set, and sluice demo", code, errs)
		}
	})
	t.Run("a live vendor", func(t *testing.T) {
		v := newVendor(t, nil)
		dir := t.TempDir()
		p := launch(t, dir, []string{"OLLAMA_HOST=" + v.addr(), "OPENAI_API_KEY=canary", "SLUICE_LISTEN=127.0.0.1:0"}, "serve", "--data", dir)
		g := &gateway{process: p, addr: p.line(listens)[1], dir: dir}
		g.url = "http://" + g.addr
		t.Cleanup(g.stop)
		if r := g.chat("ollama/llama3.2"); r.status != 200 || r.header.Get("X-Sluice-Target") != "ollama/llama3.2" {
			t.Errorf("ollama/llama3.2: got %s, want 200", r)
		}
		asked := slices.DeleteFunc(v.journal(), func(c *call) bool { return c.path == "/v1/models" }) // it lists its models by itself
		if len(asked) == 0 {
			t.Fatal("the vendor was not asked")
		}
		if c := asked[0]; c.model != "llama3.2" || c.path != "/v1/chat/completions" || c.header.Get("Authorization") != "" {
			t.Errorf("at the vendor: %s %s %v", c.model, c.path, c.header)
		}
		r := g.post("/gateway/route", `{"model":"gpt-4o",`+hello+`}`)
		if r.status != 200 || !strings.Contains(string(r.body), `"target":"openai/gpt-4o"`) {
			t.Errorf("the bare name gpt-4o: got %s, want openai/gpt-4o", r)
		}
		if len(asked) != 1 {
			t.Errorf("calls: got %d, want 1", len(asked))
		}
	})
	t.Run("SLUICE_KEY and SLUICE_ADMIN_KEY", func(t *testing.T) {
		v := newVendor(t, nil)
		g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n", withEnv("SLUICE_KEY="+keyOne, "SLUICE_ADMIN_KEY="+adminKey))
		if r := g.chat("a"); r.status != 401 {
			t.Errorf("without the key: got %s, want 401", r)
		}
		if r := g.chat("a", bearer(keyOne)...); r.status != 200 {
			t.Errorf("with the key: got %s, want 200", r)
		}
		if r := g.get("/gateway/status", bearer(adminKey)...); r.status != 200 {
			t.Errorf("status for the operator: got %s, want 200", r)
		}
	})
	t.Run("SLUICE_CONFIG", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "other.yaml")
		write(t, file, "providers: {a: {kind: openai-compatible, base_url: \"http://127.0.0.1:1/v1\"}}\nmodels: {only: a/m}\n")
		if code, out, errs := run(t, dir, "", []string{"SLUICE_CONFIG=" + file}, "check"); code != 0 || !strings.Contains(out, "1 models") {
			t.Errorf("check: exit %d, %s%s", code, out, errs)
		}
	})
	t.Run("open to the network without a key", func(t *testing.T) {
		code, _, errs := run(t, t.TempDir(), "", []string{"OPENAI_API_KEY=x"}, "serve", "--listen", "0.0.0.0:0")
		if code != 1 || !strings.Contains(errs, "key") {
			t.Errorf("exit %d, %q; want 1 and a word on keys", code, errs)
		}
	})
	t.Run("an address that is taken", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		dir := t.TempDir()
		code, _, errs := run(t, dir, "", []string{"OPENAI_API_KEY=x"}, "serve", "--listen", ln.Addr().String(), "--data", dir)
		if code != 1 || !strings.Contains(errs, "listen") {
			t.Errorf("exit %d, %q; want 1 and what is wrong", code, errs)
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	write(t, file, `listen: 127.0.0.1:0
bogus: 1
providers:
  a: {kind: openai-compatible, base_url: "http://127.0.0.1:1/v1", api_key: "${NOT_SET_ANYWHERE}"}
models:
  one: a/m
  one: a/n
  two: nowhere/m
cache: {exact: {ttl: 1m}}
timeouts: {connect: fast}
breaker: {success_rate: 7}
`)
	code, _, errs := run(t, dir, "", []string{"SECRET=canary-secret"}, "check", "-c", file)
	if code != 1 {
		t.Errorf("exit code: got %d, want 1", code)
	}
	for _, at := range []string{"2:1", "4:", "7:3", "8:8", "9:", "10:21", "11:"} {
		if !regexp.MustCompile(regexp.QuoteMeta(file + ":" + at)).MatchString(errs) {
			t.Errorf("no mistake told at %s:\n%s", at, errs)
		}
	}
	if !strings.Contains(errs, "not built yet") {
		t.Errorf("cache is named and not built: %s", errs)
	}
	write(t, file, "providers: {a: {kind: openai-compatible, base_url: \"http://127.0.0.1:1/v1\"}}\nmodels: {one: a/m}\n")
	if code, out, errs := run(t, dir, "", nil, "check"); code != 0 || errs != "" { // ./sluice.yaml
		t.Errorf("a good file: exit %d, %s%s", code, out, errs)
	}
	code, out, _ := run(t, dir, "", nil, "check", "--schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(out), &schema); err != nil || code != 0 || schema["properties"] == nil {
		t.Errorf("check --schema: exit %d, %v", code, err)
	}
	v := newVendor(t, nil)
	write(t, file, "providers:\n"+v.provider("a", "k")+"models: {one: a/m}\n")
	if code, out, errs := run(t, dir, "", nil, "check", "--live"); code != 0 || v.count() != 1 || !strings.Contains(out, "a/m") {
		t.Errorf("check --live: exit %d after %d calls, %s%s", code, v.count(), out, errs)
	}
	if code, _, _ := run(t, dir, "", nil, "check", "-c", filepath.Join(dir, "missing.yaml")); code != 1 {
		t.Errorf("a missing file: exit %d, want 1", code)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models:\n  m: {targets: [{target: a/m, price: {input: 1, output: 2}}]}\nkeys: [{name: team-a, key: "+keyOne+"}]\n")
	ids := []string{g.chat("m", bearer(keyOne)...).id(), g.stream("m", bearer(keyOne)...).id(), g.chat("m", bearer(keyOne)...).id()}
	g.record(ids[2], bearer(keyOne)...)
	g.stop()
	dir := []string{"-c", g.file, "--data", g.data}
	t.Run("usage", func(t *testing.T) {
		r := usageOf(t, g, "model", "key")
		// 3 × (5 tokens at 1 USD + 7 at 2 USD per million)
		if r.Total.Requests != 3 || r.Total.Tokens["input"] != 15 || r.Total.Tokens["output"] != 21 || r.Total.Nano != 57000 || r.Total.USD != "0.000057" {
			t.Errorf("total: got %+v, want 3 requests, 15 and 21 tokens, 57000 nano-USD", r.Total)
		}
		if len(r.Rows) != 1 || r.Rows[0]["model"] != "m" || r.Rows[0]["key"] != "team-a" || r.Rows[0]["requests"] != 3.0 {
			t.Errorf("rows: got %v", r.Rows)
		}
		for _, o := range []string{"table", "csv"} {
			if code, out, errs := run(t, g.dir, "", nil, append([]string{"usage", "--by", "model", "-o", o}, dir...)...); code != 0 || !strings.Contains(out, "m") {
				t.Errorf("usage -o %s: exit %d, %s%s", o, code, out, errs)
			}
		}
		if code, _, _ := run(t, g.dir, "", nil, append([]string{"usage", "-o", "xml"}, dir...)...); code != 2 {
			t.Errorf("usage -o xml: exit %d, want 2", code)
		}
	})
	t.Run("explain", func(t *testing.T) {
		for _, args := range [][]string{{"explain", ids[2]}, {"explain", "--last"}} {
			code, out, errs := run(t, g.dir, "", nil, append(append(args, "-o", "json"), dir...)...)
			var rec record
			if err := json.Unmarshal([]byte(out), &rec); err != nil || code != 0 || rec.ID != ids[2] || rec.Target != "a/m" || len(rec.Attempts) != 1 {
				t.Errorf("%v: exit %d, %v, %s%s", args, code, err, out, errs)
			}
		}
		if code, out, _ := run(t, g.dir, "", nil, append([]string{"explain", ids[0]}, dir...)...); code != 0 || !strings.Contains(out, "a/m") {
			t.Errorf("explain as a table: exit %d, %s", code, out)
		}
		if code, _, _ := run(t, g.dir, "", nil, append([]string{"explain", "01JD8Z3X7M3Q5W9Y2V4B6N8P0R"}, dir...)...); code != 1 {
			t.Errorf("an unknown id: exit %d, want 1", code)
		}
		if code, _, _ := run(t, g.dir, "", nil, append([]string{"explain"}, dir...)...); code != 2 {
			t.Errorf("neither id nor --last: exit %d, want 2", code)
		}
	})
	t.Run("route", func(t *testing.T) {
		code, out, errs := run(t, g.dir, `{"model":"m"}`, nil, "route", "-c", g.file, "-o", "json")
		if code != 0 || !strings.Contains(out, `"target": "a/m"`) {
			t.Errorf("exit %d, %s%s", code, out, errs)
		}
		if code, out, _ := run(t, g.dir, `{"model":"m"}`, nil, "route", "-c", g.file); code != 0 || !strings.Contains(out, "a/m") {
			t.Errorf("as a table: exit %d, %s", code, out)
		}
		if code, _, errs := run(t, g.dir, `{"model":"mm"}`, nil, "route", "-c", g.file); code != 1 || !strings.Contains(errs, `"mm"`) {
			t.Errorf("an unknown model: exit %d, %s", code, errs)
		}
		if n := v.count(); n != 3 {
			t.Errorf("calls: got %d, want 3: route calls nobody", n)
		}
	})
	t.Run("providers", func(t *testing.T) {
		code, out, _ := run(t, g.dir, "", []string{"GROQ_API_KEY=canary-groq"}, "providers", "-o", "json")
		var rows []struct {
			Kind       string
			Configured bool
			Env        []string
		}
		if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 {
			t.Fatalf("exit %d, %v, %s", code, err, out)
		}
		var kinds []string
		for _, r := range rows {
			kinds = append(kinds, r.Kind)
			if r.Configured != (r.Kind == "groq") {
				t.Errorf("%s configured: got %v", r.Kind, r.Configured)
			}
		}
		for _, k := range []string{"openai", "azure", "groq", "deepseek", "mistral", "xai", "openrouter", "perplexity", "ollama", "llamacpp", "openai-compatible"} {
			if !slices.Contains(kinds, k) {
				t.Errorf("no row %s in %v", k, kinds)
			}
		}
		if strings.Contains(out, "canary-groq") {
			t.Error("a key was printed")
		}
	})
	t.Run("version", func(t *testing.T) {
		if code, out, _ := run(t, g.dir, "", nil, "version"); code != 0 || !strings.HasPrefix(out, "sluice ") {
			t.Errorf("exit %d, %q", code, out)
		}
	})
	t.Run("help", func(t *testing.T) {
		for _, c := range []string{"serve", "demo", "sim", "check", "route", "explain", "usage", "providers", "version"} {
			code, out, _ := run(t, g.dir, "", nil, c, "-h")
			if code != 0 || !strings.Contains(out, "Example") || !strings.Contains(out, "sluice "+c) {
				t.Errorf("%s -h: exit %d, want help with an example, got %s", c, code, out)
			}
		}
		if code, _, _ := run(t, g.dir, "", nil, "no-such-command"); code != 2 {
			t.Errorf("an unknown command: exit %d, want 2", code)
		}
		if code, _, _ := run(t, g.dir, "", nil, "serve", "--no-such-flag"); code != 2 {
			t.Errorf("an unknown flag: exit %d, want 2", code)
		}
	})
}

func TestDemo(t *testing.T) {
	t.Parallel()
	t.Run("tour", func(t *testing.T) {
		t.Parallel()
		tmp := t.TempDir()
		code, out, errs := run(t, tmp, "", []string{"TMPDIR=" + tmp, "HOME=" + tmp}, "demo", "--tour")
		if code != 0 {
			t.Fatalf("exit %d:\n%s%s", code, out, errs)
		}
		for _, step := range []string{"weighted", "round_robin", "latency_based", "cost_optimized", "least_busy", "adaptive", "ordered", "auto", "cascade", "split", "stream", "failover", "circuit", "rate limit", "frozen"} {
			if !strings.Contains(out, step) {
				t.Errorf("no step %q in:\n%s", step, out)
			}
		}
		noFiles(t, tmp)
	})
	t.Run("serve", func(t *testing.T) {
		t.Parallel()
		tmp := t.TempDir()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		_ = ln.Close()
		p := launch(t, tmp, []string{"TMPDIR=" + tmp, "HOME=" + tmp}, "demo", "--listen", addr)
		g := &gateway{process: p, addr: addr, url: "http://" + addr}
		eventually(t, "the demo's first answer", func() bool {
			r, err := try(http.MethodGet, g.url+"/readyz", "")
			return err == nil && r.status == 200
		})
		if r := g.post("/v1/chat/completions", `{"max_tokens":5,`+hello+`}`); r.status != 200 { // default_model: any
			t.Errorf("a request without a model: got %s, want 200", r)
		}
		st := g.status()
		if st.Models != 8 || st.RoutingStrategy != "weighted" || !st.FallbackEnabled || len(st.CircuitBreakers) != 4 {
			t.Errorf("status: got %+v, want eight models, weighted, fallback, four breakers", st)
		}
		g.stop()
		noFiles(t, tmp)
	})
}

func noFiles(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

// 1,000 streams with 20 ms between their chunks, all at once, all whole.
func TestThousandStreams(t *testing.T) {
	const streams, words = 1000, 30
	v := newVendor(t, func(c *call) {
		c.begin()
		c.events(roleChunk)
		for i := range words {
			if !c.pause(20 * time.Millisecond) {
				return
			}
			c.events(contentChunk(fmt.Sprintf("w%d ", i)))
		}
		c.events(stopChunk, "[DONE]")
		c.end()
	})
	g := serve(t, "limits: {in_flight: 4000}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	var want strings.Builder
	for i := range words {
		fmt.Fprintf(&want, "w%d ", i)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	var wg sync.WaitGroup
	var broken atomic.Int64
	for range streams {
		wg.Go(func() {
			resp, err := c.Post(g.url+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"a","stream":true,`+hello+`}`))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if events := datas(b); err != nil || text(events) != want.String() || events[len(events)-1] != "[DONE]" {
				if broken.Add(1) == 1 {
					t.Errorf("a stream: %v, %s", err, tail(string(b), 400))
				}
			}
		})
	}
	wg.Wait()
	if n := broken.Load(); n > 0 {
		t.Errorf("streams that are not whole: %d of %d", n, streams)
	}
}

// Who reads that the gateway listens may send signals.
func TestSignalAfterListening(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	for range 10 {
		g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
		g.signal(syscall.SIGHUP)
		time.Sleep(time.Millisecond)
		select {
		case <-g.done:
			t.Fatalf("SIGHUP right after the line ended the gateway with exit code %d, want a reload", g.code)
		default:
		}
		g.line(`"msg":"reloaded"`)
		g.stop()
	}
}
