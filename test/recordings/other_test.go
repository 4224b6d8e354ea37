package recordings

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// endpoint is where an operation beside chat is asked for: what the recorded
// path ends in, the gateway's path, the protocol and a body; %s is the model.
type endpoint struct {
	tail, path, proto, body string
	counts                  bool // tokens
}

var endpoints = []endpoint{
	{"/embeddings", "/v1/embeddings", "openai", `{"model":"%s","input":"Hello"}`, false},
	{"/moderations", "/v1/moderations", "openai", `{"model":"%s","input":"Hello"}`, false},
	{"/images/generations", "/v1/images/generations", "openai", `{"model":"%s","prompt":"Hello"}`, false},
	{"/images/edits", "/v1/images/edits", "openai", `{"model":"%s","prompt":"Hello","image":"aGk="}`, false},
	{"/audio/speech", "/v1/audio/speech", "openai", `{"model":"%s","input":"Hello","voice":"v"}`, false},
	{"/audio/transcriptions", "/v1/audio/transcriptions", "openai", "", false},
	{"/audio/translations", "/v1/audio/translations", "openai", "", false},
	{"/rerank", "/v1/rerank", "cohere", `{"model":"%s","query":"Hello","documents":["a"]}`, false},
	{"/messages/count_tokens", "/v1/messages/count_tokens", "anthropic", `{"model":"%s","messages":[{"role":"user","content":"Hello"}]}`, true},
	{":countTokens", "/v1beta/models/%s:countTokens", "gemini", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`, true},
	{":embedContent", "/v1beta/models/%s:embedContent", "gemini", `{"content":{"parts":[{"text":"Hello"}]}}`, false},
	{":batchEmbedContents", "/v1beta/models/%s:batchEmbedContents", "gemini", `{"requests":[{"model":"models/m","content":{"parts":[{"text":"Hello"}]}}]}`, false},
	{"/responses/input_tokens", "/v1/responses/input_tokens", "responses", `{"model":"%s","input":"Hello"}`, true},
}

// unheaded says which of them an API is where no URL was recorded.
var unheaded = map[string]string{"moderations": "/moderations", "images": "/images/generations", "rerank": "/rerank"}

// endpoint finds the operation of an exchange, nil for one that only the
// vendor's own path can ask for.
func (x *exchange) endpoint() *endpoint {
	path := unheaded[x.API]
	switch u, err := url.Parse(x.head.URL); {
	case x.head.URL != "" && (err != nil || x.head.Method != http.MethodPost):
		return nil
	case x.head.URL != "":
		path = u.Path
	case x.API == "audio" && x.Response == "response.txt":
		path = "/audio/speech"
	case x.API == "audio":
		path = "/audio/transcriptions"
	case x.API == "embeddings" && bytes.Contains(x.response, []byte(`"object"`)):
		path = "/embeddings"
	}
	for i := range endpoints {
		if strings.HasSuffix(path, endpoints[i].tail) {
			return &endpoints[i]
		}
	}
	return nil
}

// fill makes the path, body and content type for model.
func (e *endpoint) fill(x *exchange, model string) (path, body, kind string) {
	path, body, kind = strings.ReplaceAll(e.path, "%s", model), strings.ReplaceAll(e.body, "%s", model), "application/json"
	if body == "" { // the model comes after the file
		const edge = "edge"
		kind = "multipart/form-data; boundary=" + edge
		body = "--" + edge + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--" +
			edge + "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n--" + edge + "--\r\n"
	}
	if e.tail == rerank { // an answer names documents that were sent
		docs := strings.Repeat(`"a",`, x.ranks().documents()) + `"a"]`
		body = strings.Replace(body, `"a"]`, docs, 1)
	}
	if e.tail == "/embeddings" {
		body = body[:len(body)-1] + `,"encoding_format":"` + x.encoding() + `"}`
	}
	return path, body, kind
}

// encoding is the form in which embeddings were asked for.
func (x *exchange) encoding() string {
	var asked struct {
		Form string `json:"encoding_format"`
	}
	if _ = json.Unmarshal(x.request, &asked); asked.Form != "" {
		return asked.Form
	}
	var v struct {
		Data []struct{ Embedding json.RawMessage }
	}
	var packed []byte // JSON has it as base64
	switch {
	case json.Unmarshal(x.response, &v) != nil || len(v.Data) == 0 || json.Unmarshal(v.Data[0].Embedding, &packed) != nil:
		return "float"
	case floats(packed):
		return "base64"
	}
	return "base64_int8"
}

// floats reports whether bytes are float32 of the size that embeddings have.
func floats(b []byte) bool {
	for ; len(b) >= 4; b = b[4:] {
		if f := math.Float32frombits(binary.LittleEndian.Uint32(b)); !(f > -1000 && f < 1000) {
			return false
		}
	}
	return len(b) == 0
}

// other checks the exchanges of operations that have no neutral form: what the
// vendor says arrives as it is.
func (r *run) other(v *verdict) {
	x := v.x
	if err := r.embeds(x); err != nil {
		v.failed = append(v.failed, err.Error())
	}
	if e := x.endpoint(); e != nil {
		proto := e.proto
		if e.tail == rerank && x.Provider != proto { // its contract at another path
			proto = "openai"
		}
		path, body, kind := e.fill(x, r.account(x, proto))
		got, err := r.post(path, body, headerCase, x.Case, "Content-Type", kind)
		if err != nil {
			v.failed = append(v.failed, err.Error())
			return
		}
		if !got.unknown() {
			v.decoded = true
			if e.counts && x.Status == http.StatusNotFound && got.status == http.StatusOK && strings.Contains(got.header.Get("X-Sluice-Lossy"), "estimated") {
				return // what a vendor cannot count is estimated, and said to be
			}
			if err := x.arrives(got, e.proto); err != nil {
				v.failed = append(v.failed, fmt.Sprintf("at %s: %v", e.path, err))
			}
			if err := r.counts(x, e); err != nil {
				v.failed = append(v.failed, err.Error())
			}
			return
		}
	}
	r.direct(v)
}

// counts checks what the clients of other protocols are told of the tokens that
// a vendor counted.
func (r *run) counts(x *exchange, e *endpoint) error {
	type count struct {
		Input *int64 `json:"input_tokens"`
		Total *int64 `json:"totalTokens"`
	}
	var want count
	if x.Status >= 400 || json.Unmarshal(x.response, &want) != nil || want.Input == nil && want.Total == nil {
		return nil
	}
	for i := range endpoints {
		o := &endpoints[i]
		if !o.counts || o.proto == e.proto {
			continue
		}
		path, body, kind := o.fill(x, r.account(x, e.proto))
		got, err := r.post(path, body, headerCase, x.Case, "Content-Type", kind)
		if err != nil {
			return err
		}
		var have count
		if err := json.Unmarshal(got.body, &have); err != nil || number(have.Input, have.Total) != number(want.Input, want.Total) {
			return fmt.Errorf("at %s: status %d: %s", o.path, got.status, clip(string(got.body)))
		}
	}
	return nil
}

// number is the first that is there, else -1.
func number(all ...*int64) int64 {
	for _, n := range all {
		if n != nil {
			return *n
		}
	}
	return -1
}

// direct asks at the vendor's own path.
func (r *run) direct(v *verdict) {
	x := v.x
	method, path := x.head.Method, "/v1/x"
	if u, err := url.Parse(x.head.URL); err == nil && u.Path != "" {
		path = u.EscapedPath()
	}
	if method == "" {
		method = http.MethodPost
	}
	got, err := r.send(method, "/p/"+accountName(x.Provider, "openai")+path, `{"model":"m"}`, headerCase, x.Case)
	switch {
	case err != nil:
		v.failed = append(v.failed, err.Error())
	case got.unknown():
		v.skipped = "the gateway has no path for " + x.API
	default:
		v.decoded = true
		body, _ := x.wire()
		if x.Status >= 401 && x.Status <= 403 { // the gateway's own credential; nobody else's business
			if got.status != http.StatusBadGateway {
				v.failed = append(v.failed, fmt.Sprintf("at the vendor's own path: status %d, want 502", got.status))
			}
			return
		}
		if got.status != x.Status || !bytes.Equal(got.body, body) {
			v.failed = append(v.failed, fmt.Sprintf("at the vendor's own path: status %d, want %d; %s", got.status, x.Status, difference(got.body, body)))
		}
	}
}

// unknown reports whether the gateway does not know the path.
func (r *reply) unknown() bool {
	own := r.header.Get("X-Sluice-Target") == ""
	return own && (r.status == http.StatusMethodNotAllowed || r.status == http.StatusNotFound && bytes.Contains(r.body, []byte("no such path")))
}

// arrives checks a relayed answer or the envelope of an error.
func (x *exchange) arrives(got *reply, proto string) error {
	if got.cut != nil {
		return fmt.Errorf("the answer broke off: %w", got.cut)
	}
	if r := x.ranks(); len(r) > 0 && proto == "cohere" {
		have := (&exchange{response: got.body}).ranks()
		if got.status != http.StatusOK || !slices.Equal(have, r) {
			return fmt.Errorf("status %d, ranks %v, want %v", got.status, have, r)
		}
		return nil
	}
	if x.Status < 400 {
		if got.status != http.StatusOK || !bytes.Equal(got.body, x.response) {
			return fmt.Errorf("status %d, %s", got.status, difference(got.body, x.response))
		}
		return nil
	}
	var e struct {
		Error struct {
			Type, Code, Status json.RawMessage
			Message            string
		}
	}
	if err := json.Unmarshal(got.body, &e); err != nil {
		return fmt.Errorf("no envelope: %s", clip(string(got.body)))
	}
	f := &failure{got.status, bare(e.Error.Type), bare(e.Error.Code), e.Error.Message}
	if proto == "gemini" {
		f.kind = bare(e.Error.Status)
	}
	return f.check(proto, x)
}

const rerank = "/rerank"

// rank is a document's place in a ranking.
type rank struct {
	Index int     `json:"index"`
	Score float64 `json:"relevance_score"`
}

type ranking []rank

// ranks reads a ranking, the best first: Cohere's contract, which others share,
// or Voyage's, which has another name for the list. nil for none.
func (x *exchange) ranks() ranking {
	var v struct{ Results, Data ranking }
	if x.Status >= 400 || json.Unmarshal(x.response, &v) != nil {
		return nil
	}
	all := append(v.Results, v.Data...)
	slices.SortStableFunc(all, func(a, b rank) int { return cmp.Compare(b.Score, a.Score) })
	return all
}

// documents is how many more than one a ranking names at least.
func (r ranking) documents() int {
	n := 0
	for _, d := range r {
		n = max(n, d.Index)
	}
	return n
}

// bare is a JSON string without its quotes, "" for null.
func bare(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
