package blackbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// cabinet is a vendor that keeps files and batches, OpenAI's and Anthropic's.
type cabinet struct {
	name string
	mu   sync.Mutex
	n    int
	kept map[string]string // id → content
}

func (k *cabinet) put(kind, content string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	id := fmt.Sprintf("%s-%s-%d", kind, k.name, k.n)
	k.kept[id] = content
	return id
}

func (k *cabinet) script(c *call) {
	path, _, _ := strings.Cut(c.path, "?")
	path = strings.TrimPrefix(path, "/v1")
	anthropic := c.header.Get("Anthropic-Version") != ""
	part := strings.Split(strings.Trim(path, "/"), "/")
	if part[0] == "messages" {
		part = part[1:]
	}
	k.mu.Lock()
	content, known := "", false
	if len(part) > 1 {
		content, known = k.kept[part[1]]
	}
	k.mu.Unlock()
	switch {
	case len(part) == 1 && c.method == "POST" && part[0] == "files":
		id := k.put("file", uploaded(c))
		c.answer(200, `{"id":"`+id+`","object":"file","purpose":"batch"}`)
	case len(part) == 1 && c.method == "POST" && anthropic:
		id := k.put("msgbatch", string(c.body))
		c.answer(200, `{"id":"`+id+`","type":"message_batch","results_url":null}`)
	case len(part) == 1 && c.method == "POST":
		id := k.put("batch", string(c.body))
		c.answer(200, `{"id":"`+id+`","object":"batch","output_file_id":null}`)
	case !known:
		c.answer(404, `{"error":{"message":"No such object","type":"invalid_request_error","param":"id","code":null}}`)
	case c.method == "DELETE":
		k.mu.Lock()
		delete(k.kept, part[1])
		k.mu.Unlock()
		c.answer(200, `{"id":"`+part[1]+`","deleted":true}`)
	case len(part) == 2 && part[0] == "files":
		c.answer(200, `{"id":"`+part[1]+`","object":"file","purpose":"batch","bytes":`+fmt.Sprint(len(content))+`}`)
	case len(part) == 2 && anthropic:
		c.answer(200, `{"id":"`+part[1]+`","type":"message_batch","results_url":"http://`+c.v.addr()+`/v1/messages/batches/`+part[1]+`/results"}`)
	case len(part) == 2: // done at once
		out := "file-" + part[1]
		k.mu.Lock()
		k.kept[out] = `{"custom_id":"0","response":{"body":{"usage":{"prompt_tokens":5}}}}` + "\n"
		k.mu.Unlock()
		c.answer(200, `{"id":"`+part[1]+`","object":"batch","output_file_id":"`+out+`","error_file_id":null}`)
	case part[2] == "content":
		c.answer(200, content, "Content-Type: application/octet-stream", `Content-Disposition: attachment; filename="x.jsonl"`)
	case part[2] == "cancel":
		c.answer(200, `{"id":"`+part[1]+`","status":"cancelling"}`)
	default:
		c.answer(200, `{"custom_id":"0","result":{"type":"succeeded","message":{"usage":{"input_tokens":5}}}}`+"\n", "Content-Type: application/x-jsonl")
	}
}

// uploaded is the file of a form.
func uploaded(c *call) string {
	_, params, _ := mime.ParseMediaType(c.header.Get("Content-Type"))
	form, err := multipart.NewReader(bytes.NewReader(c.body), params["boundary"]).ReadForm(1 << 20)
	if err != nil || len(form.File["file"]) != 1 || form.Value["model"] != nil {
		return fmt.Sprint("bad form: ", err, form)
	}
	f, _ := form.File["file"][0].Open()
	b := new(bytes.Buffer)
	_, _ = b.ReadFrom(f)
	return b.String()
}

const boundary = "----test"

func fileForm(model, content string) string {
	f := ""
	if model != "" {
		f = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n"
	}
	return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n" + f +
		"--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n" + content + "\r\n--" + boundary + "--\r\n"
}

// cabinets is a gateway before three vendors that keep things.
func cabinets(t *testing.T, extra string) (g *gateway, one, two, claude *vendor) {
	t.Helper()
	open := func(name string) *vendor {
		return newVendor(t, (&cabinet{name: name, kept: map[string]string{}}).script)
	}
	one, two, claude = open("one"), open("two"), open("claude")
	return serve(t, fmt.Sprintf(`
providers:
  plain: {kind: openai-compatible, base_url: "http://%[1]s/v1", api_key: %[4]s}
  one: {kind: openai, base_url: "http://%[1]s/v1", api_keys: [%[4]s, %[4]s-b]}
  two: {kind: openai, base_url: "http://%[2]s/v1", api_key: %[4]s}
  claude: {kind: anthropic, base_url: "http://%[3]s", api_key: %[4]s}
  claude2: {kind: anthropic, base_url: "http://%[3]s", api_key: %[4]s}
models:
  small: one/gpt-small
  other: two/gpt-other
  haiku: {targets: [claude2/claude-haiku, claude/claude-haiku]}
  opus: claude/claude-opus
keys: [{name: owner, key: %[5]s}, {name: other, key: %[6]s}, {name: listed, key: %[7]s, models: [small, haiku]}]
%[8]s`, one.addr(), two.addr(), claude.addr(), secret, keyState, keyOther, keyOne, extra)), one, two, claude
}

func (g *gateway) upload(key, query, model, content string, header ...string) (*reply, string) {
	g.t.Helper()
	req, err := http.NewRequest("POST", g.url+"/v1/files"+query, strings.NewReader(fileForm(model, content)))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	r := &reply{status: resp.StatusCode, header: resp.Header}
	b := new(bytes.Buffer)
	_, r.err = b.ReadFrom(resp.Body)
	r.body = b.Bytes()
	return r, r.objectID()
}

func (r *reply) objectID() string {
	var v struct{ ID string }
	_ = json.Unmarshal(r.body, &v)
	return v.ID
}

// ids are those of a list.
func (r *reply) ids() string {
	var v struct {
		Data []struct{ ID string }
		Last string `json:"last_id"`
		More bool   `json:"has_more"`
	}
	_ = json.Unmarshal(r.body, &v)
	var all []string
	for _, x := range v.Data {
		all = append(all, x.ID)
	}
	if v.More {
		all = append(all, "…")
	}
	return strings.Join(all, " ")
}

// Files and batches are found where they were made, by the key that made them,
// after a restart too.
func TestFilesAndBatches(t *testing.T) {
	t.Parallel()
	g, one, two, _ := cabinets(t, "")
	up := func(query, model, want string) string {
		t.Helper()
		r, id := g.upload(keyState, query, model, "{\"n\":"+want+"}")
		if r.status != 200 || !strings.HasPrefix(id, "file-"+want) {
			t.Fatalf("uploading to %s: %s", want, r)
		}
		leaks(t, "uploading", r)
		return id
	}
	f1, f2, f3 := up("", "", "one"), up("", "other", "two"), up("?model=two/anything&x=1", "", "two")
	if got := two.call(2).path; got != "/v1/files?x=1" {
		t.Errorf("the vendor saw %s", got)
	}
	if got := one.call(1); string(got.body) != fileForm("", "{\"n\":one}") {
		t.Errorf("the form was changed: %q", got.body)
	}
	if got := two.call(1); string(got.body) != fileForm("", "{\"n\":two}") {
		t.Errorf("the form was changed by more than its model: %q", got.body)
	}
	b2 := g.post("/v1/batches", `{"input_file_id":"`+f2+`","endpoint":"/v1/chat/completions"}`, bearer(keyState)...)
	if !strings.HasPrefix(b2.objectID(), "batch-two") || string(two.call(3).body) != `{"input_file_id":"`+f2+`","endpoint":"/v1/chat/completions"}` {
		t.Fatalf("a batch: %s", b2)
	}
	b := b2.objectID()
	var out struct {
		Output string `json:"output_file_id"`
	}
	done := g.get("/v1/batches/"+b, bearer(keyState)...)
	if err := json.Unmarshal(done.body, &out); err != nil || out.Output == "" {
		t.Fatalf("the batch: %s", done)
	}
	look := func(g *gateway) {
		t.Helper()
		for _, path := range []string{"/v1/files/" + f1, "/openai/v1/files/" + f2, "/files/" + f3 + "/content", "/v1/files/" + out.Output + "/content", "/v1/batches/" + b} {
			r := g.get(path, bearer(keyState)...)
			if r.status != 200 {
				t.Errorf("%s: %s", path, r)
			}
			if strings.HasSuffix(path, "/content") && r.header.Get("Content-Disposition") == "" {
				t.Errorf("%s: header %v", path, r.header)
			}
			if rec := g.record(r.id(), bearer(keyState)...); rec.Usage.Input != 0 || len(rec.Attempts) != 1 || rec.Outcome != "ok" {
				t.Errorf("%s: record %+v", path, rec)
			}
			if r := g.get(path, bearer(keyOther)...); r.status != 404 || r.code() != "not_found" {
				t.Errorf("%s by another key: %s", path, r)
			}
		}
		if r := g.get("/v1/files?limit=2", bearer(keyState)...); r.ids() != out.Output+" "+f3+" …" {
			t.Errorf("the first page: %s", r)
		}
		if r := g.get("/v1/files?limit=2&after="+f3, bearer(keyState)...); r.ids() != f2+" "+f1 {
			t.Errorf("the second page: %s", r)
		}
		if r := g.get("/v1/files?purpose=assistants", bearer(keyState)...); r.status != 200 || r.ids() != "" {
			t.Errorf("of another purpose: %s", r)
		}
		if r := g.get("/v1/batches", bearer(keyState)...); r.ids() != b {
			t.Errorf("batches: %s", r)
		}
		for _, path := range []string{"/v1/files", "/v1/batches"} {
			if r := g.get(path, bearer(keyOther)...); r.status != 200 || r.ids() != "" || !strings.Contains(string(r.body), `"data":[]`) {
				t.Errorf("%s of another key: %s", path, r)
			}
		}
	}
	look(g)
	g.stop()
	g = g.restart()
	again, _ := g.upload(keyState, "", "", "x") // lists grow; what was there stays behind
	do(t, "DELETE", g.url+"/v1/files/"+again.objectID(), "", bearer(keyState)...)
	look(g)
	if r := g.post("/v1/batches/"+b+"/cancel", "", bearer(keyState)...); r.status != 200 {
		t.Errorf("cancelling: %s", r)
	}
	calls := one.count() + two.count()
	for _, r := range []*reply{
		g.post("/v1/batches", `{"input_file_id":"`+f1+`"}`, bearer(keyOther)...),
		g.post("/v1/batches", `{"input_file_id":"`+b+`"}`, bearer(keyState)...),
		g.post("/v1/batches/"+b+"/cancel", "", bearer(keyOther)...),
		do(t, "DELETE", g.url+"/v1/files/"+f1, "", bearer(keyOther)...),
		g.get("/v1/files/"+f1, append(bearer(keyState), "Anthropic-Version", "2023-06-01")...),
	} {
		if r.status != 404 {
			t.Errorf("what is not there: %s", r)
		}
	}
	if r := g.post("/v1/batches", `{"input_file_id":"`+f1+`","input_file_id":"`+f2+`"}`, bearer(keyState)...); r.status != 400 {
		t.Errorf("two inputs: %s", r)
	}
	if n := one.count() + two.count(); n != calls {
		t.Errorf("%d calls went out for what was refused", n-calls)
	}
	if r := do(t, "DELETE", g.url+"/v1/files/"+f1, "", bearer(keyState)...); r.status != 200 {
		t.Errorf("deleting: %s", r)
	}
	if r := g.get("/v1/files/"+f1, bearer(keyState)...); r.status != 404 {
		t.Errorf("after deleting: %s", r)
	}
	for _, v := range []*vendor{one, two} {
		for _, c := range v.journal() {
			if a := c.header.Get("Authorization"); !strings.HasPrefix(a, "Bearer "+secret) {
				t.Errorf("%s %s was asked with %q", c.method, c.path, a)
			}
		}
	}
}

// A key with a list runs batches of the models on it only.
func TestBatchModels(t *testing.T) {
	t.Parallel()
	g, one, _, _ := cabinets(t, "")
	line := func(model string) string {
		return `{"custom_id":"0","method":"POST","url":"/v1/chat/completions","body":{"model":"` + model + `"}}` + "\n"
	}
	for _, c := range []struct {
		content string
		status  int
	}{
		{line("gpt-small") + line("gpt-small"), 200}, {line("gpt-small") + line("gpt-large"), 403}, {line("gpt-small") + `{"custom_id":"1","body":{}}`, 400},
		{`{"custom_id":"1","body":{"model":"gpt-small","model":"gpt-large"}}`, 400},
		{`{"custom_id":"1","body":{"model":"gpt-small"},"body":{"model":"gpt-large"}}`, 400}, {`{"custom_id":"1","body":{"model":"gpt-small"}}{"body":{}}`, 400},
	} {
		_, id := g.upload(keyOne, "", "", c.content)
		if r := g.post("/v1/batches", `{"input_file_id":"`+id+`"}`, bearer(keyOne)...); r.status != c.status {
			t.Errorf("%q: %s, want %d", c.content, r, c.status)
		}
	}
	if r, _ := g.upload(keyOne, "", "other", "x"); r.status != 403 {
		t.Errorf("a model that is not on the list: %s", r)
	}
	for _, c := range one.journal() {
		if c.method == "POST" && c.path == "/v1/batches" && !strings.Contains(string(c.body), "file-one-1") {
			t.Errorf("a batch that was refused went out: %s", c.body)
		}
	}
}

// Message batches go to the provider that their models have in common, by the
// vendor's names, and their results come by the gateway.
func TestMessageBatches(t *testing.T) {
	t.Parallel()
	g, _, _, claude := cabinets(t, "")
	head := func(key string) []string { return []string{"X-Api-Key", key, "Anthropic-Version", "2023-06-01"} }
	body := func(models ...string) string {
		var all []string
		for i, m := range models {
			all = append(all, fmt.Sprintf(`{"custom_id":"%d", "params":{"model":"%s","x":{"model":"opus"}}}`, i, m))
		}
		return `{"requests":[` + strings.Join(all, ", ") + `]}`
	}
	r := g.post("/v1/messages/batches", body("haiku", "opus"), head(keyState)...)
	id := r.objectID()
	if r.status != 200 || !strings.HasPrefix(id, "msgbatch-claude") {
		t.Fatalf("making one: %s", r)
	}
	sent := claude.call(1)
	if string(sent.body) != strings.NewReplacer(`{"model":"haiku"`, `{"model":"claude-haiku"`, `"params":{"model":"opus"`, `"params":{"model":"claude-opus"`).Replace(body("haiku", "opus")) {
		t.Errorf("the vendor saw %s", sent.body)
	}
	if rec := g.record(r.id(), head(keyState)...); rec.Target != "claude" {
		t.Errorf("asked %q, want the one in common", rec.Target)
	}
	for _, prefix := range []string{"/v1", "/anthropic/v1", "/anthropic"} {
		r := g.get(prefix+"/messages/batches/"+id, head(keyState)...)
		if !strings.Contains(string(r.body), `"results_url":"/v1/messages/batches/`+id+`/results"`) {
			t.Errorf("%s: %s", prefix, r)
		}
		leaks(t, prefix, r)
		if r := g.get(prefix+"/messages/batches/"+id+"/results", head(keyState)...); r.status != 200 || r.header.Get("Content-Type") != "application/x-jsonl" || !strings.HasPrefix(string(r.body), `{"custom_id"`) {
			t.Errorf("%s: results: %s", prefix, r)
		}
		for _, path := range []string{"", "/results"} {
			if r := g.get(prefix+"/messages/batches/"+id+path, head(keyOther)...); r.status != 404 || !strings.Contains(string(r.body), `"not_found_error"`) {
				t.Errorf("another key: %s", r)
			}
		}
	}
	if r := g.get("/v1/messages/batches?limit=5", head(keyState)...); r.ids() != id || !strings.Contains(string(r.body), `"first_id":"`+id+`","last_id":"`+id+`","has_more":false`) {
		t.Errorf("list: %s", r)
	} else {
		leaks(t, "list", r)
	}
	if r := g.get("/v1/messages/batches", head(keyOther)...); r.status != 200 || !strings.Contains(string(r.body), `{"data":[],"first_id":null,"last_id":null,"has_more":false}`) {
		t.Errorf("another key's list: %s", r)
	}
	if r := g.post("/v1/messages/batches/"+id+"/cancel", "", head(keyState)...); r.status != 200 {
		t.Errorf("cancel: %s", r)
	}
	calls := claude.count()
	for _, c := range []struct {
		key, body string
		status    int
	}{
		{keyState, body("haiku", "small"), 400}, {keyState, body("small"), 400}, {keyState, body("nothing"), 404}, {keyOne, body("haiku", "opus"), 403},
		{keyState, body(), 400}, {keyState, `{"requests":[{"params":{"model":"haiku","model":"opus"}}]}`, 400}, {keyState, `x`, 400},
	} {
		if r := g.post("/v1/messages/batches", c.body, head(c.key)...); r.status != c.status || !strings.Contains(string(r.body), `"type":"error"`) {
			t.Errorf("%s: %s, want %d", c.body, r, c.status)
		}
	}
	if n := claude.count(); n != calls {
		t.Errorf("%d calls went out for what was refused", n-calls)
	}
	r, file := g.upload(keyState, "", "", "pdf", "Anthropic-Version", "2023-06-01", "Anthropic-Beta", "files-api-2025-04-14")
	if r.status != 200 || !strings.HasPrefix(file, "file-claude") || claude.call(calls+1).header.Get("Anthropic-Beta") == "" {
		t.Fatalf("a file: %s", r)
	}
	if r := g.get("/v1/files/"+file+"/content?beta=true", head(keyState)...); string(r.body) != "pdf" {
		t.Errorf("its content: %s", r)
	}
	if r := g.get("/v1/files", head(keyState)...); r.ids() != file {
		t.Errorf("files: %s", r)
	}
	if r := g.get("/v1/files", bearer(keyState)...); r.ids() != "" {
		t.Errorf("OpenAI's files: %s", r)
	}
	if r := g.get("/v1/files/"+file, head(keyOther)...); r.status != 404 {
		t.Errorf("another key: %s", r)
	}
}

// Where nothing can be kept, it is said before anything is made.
func TestFilesNowhere(t *testing.T) {
	t.Parallel()
	g, one, _, _ := cabinets(t, "store: none")
	r, _ := g.upload(keyState, "", "", "x")
	if r.status != 400 || r.code() != "unsupported_parameter" || !strings.Contains(string(r.body), "store") {
		t.Errorf("without a store: %s", r)
	}
	v := newVendor(t, nil)
	plain := serve(t, "providers:\n"+v.provider("a", secret)+"models: {m: a/m}\nkeys: [{name: owner, key: "+keyState+"}]\n")
	if r, _ := plain.upload(keyState, "", "", "x"); r.status != 400 || !strings.Contains(string(r.body), "model") {
		t.Errorf("with no vendor that is known to: %s", r)
	}
	if one.count()+v.count() != 0 {
		t.Error("calls went out")
	}
}

// Recorded exchanges about files and batches pass as they came.
func TestRecordedFiles(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	type exchange struct {
		name, method, path, kind string
		request, response        []byte
		status                   int
	}
	var now exchange
	var mu sync.Mutex
	vendors := map[string]*vendor{}
	yaml := "providers:\n"
	for name, kind := range map[string]string{"openai": "openai", "anthropic": "anthropic", "mistral": "mistral", "xai": "xai"} {
		vendors[name] = newVendor(t, func(c *call) {
			mu.Lock()
			defer mu.Unlock()
			c.answer(now.status, string(now.response), "Content-Type: "+now.kind)
		})
		yaml += fmt.Sprintf("  %s: {kind: %s, base_url: \"http://%s/v1\", api_key: %s}\n", name, kind, vendors[name].addr(), secret)
	}
	g := serve(t, yaml+"models: {m: openai/m}\nkeys: [{name: owner, key: "+keyState+"}]\n")
	passed := 0
	for _, api := range []string{"openai/files", "openai/batches", "anthropic/files", "anthropic/batches", "mistral/files", "xai/batches"} {
		cases, err := filepath.Glob(filepath.Join(dir, "wire", api, "*"))
		if err != nil || len(cases) == 0 {
			t.Fatalf("no recordings in %s: %v", api, err)
		}
		vendor, _, _ := strings.Cut(api, "/")
		for _, path := range cases {
			var head struct {
				Method, URL string
				Status      int
				Request     map[string]string `json:"request_headers"`
				Response    map[string]string `json:"response_headers"`
			}
			raw, err := os.ReadFile(filepath.Join(path, "headers.json"))
			if err != nil || json.Unmarshal(raw, &head) != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if strings.Contains(head.URL, "/vector_stores/") { // another API
				continue
			}
			x := exchange{name: path, method: head.Method, status: head.Status, kind: head.Response["content-type"]}
			files, _ := filepath.Glob(filepath.Join(path, "re*.*"))
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(filepath.Base(f), "request.") {
					x.request = b
				} else {
					x.response = b
				}
			}
			_, x.path, _ = strings.Cut(head.URL[len("https://"):], "/")
			mu.Lock()
			now = x
			mu.Unlock()
			x.path = "/" + strings.TrimPrefix(x.path, "v1/")
			if !recorded(t, g, vendors[vendor], vendor, x.method, x.path, head.Request["content-type"], x.request, x.response, func(answer string) {
				mu.Lock()
				now.response, now.kind = []byte(answer), "application/json"
				mu.Unlock()
			}, func() {
				mu.Lock()
				now = x
				mu.Unlock()
			}) {
				t.Errorf("%s failed", x.name)
				continue
			}
			passed++
		}
	}
	t.Logf("%d recorded exchanges passed", passed)
}

// recorded plays one exchange: what it is about is made first.
func recorded(t *testing.T, g *gateway, v *vendor, vendor, method, path, kind string, request, want []byte, answer func(string), asRecorded func()) bool {
	t.Helper()
	header := []string{"Authorization", "Bearer " + keyState}
	anthropic := vendor == "anthropic"
	if anthropic {
		header = append(header, "Anthropic-Version", "2023-06-01")
	}
	make := func(id, api string) {
		answer(`{"id":"` + id + `"}`)
		switch {
		case api == "files":
			g.upload(keyState, "?model="+vendor+"/x", "", "x", header...)
		case anthropic:
			g.post("/v1/messages/batches", `{"requests":[{"params":{"model":"anthropic/x"}}]}`, header...)
		default:
			g.post("/v1/batches?model="+vendor+"/x", `{}`, header...)
		}
		asRecorded()
	}
	bare, _, _ := strings.Cut(strings.TrimPrefix(path, "/messages"), "?")
	if part := strings.Split(strings.Trim(bare, "/"), "/"); len(part) > 1 {
		make(part[1], part[0])
	} else if in := (struct {
		File string `json:"input_file_id"`
	}{}); json.Unmarshal(request, &in) == nil && in.File != "" {
		make(in.File, "files")
	}
	body, sent := request, request
	if method == "POST" && strings.HasPrefix(path, "/messages/batches") && bytes.Contains(body, []byte(`"requests"`)) {
		body = bytes.ReplaceAll(body, []byte(`"model":"`), []byte(`"model":"anthropic/`))
	}
	query := ""
	if bare == "/files" && method == "POST" {
		query = "?model=" + vendor + "/x"
	}
	before := v.count()
	req, err := http.NewRequest(method, g.url+"/v1"+path+query, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := new(bytes.Buffer)
	if _, err := got.ReadFrom(resp.Body); err != nil {
		t.Error(err)
	}
	text := strings.ReplaceAll(got.String(), `"results_url":"/v1/`, `"results_url":"https://api.anthropic.com/v1/`)
	if resp.StatusCode != 200 || text != string(want) || v.count() != before+1 {
		t.Errorf("%s %s: %d %s, want %s", method, path, resp.StatusCode, tail(got.String(), 400), tail(string(want), 400))
		return false
	}
	c := v.call(before + 1)
	if c.method != method || c.path != "/v1"+path || len(request) > 0 && method == "POST" && !bytes.Equal(c.body, sent) {
		t.Errorf("the vendor saw %s %s %q, want %s %q", c.method, c.path, tail(string(c.body), 400), path, tail(string(sent), 400))
		return false
	}
	return true
}
