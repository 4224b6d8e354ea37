package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxObject bounds what a vendor tells of one object, and a line of a batch's
// input, in bytes.
const maxObject = 8 << 20

// Bounds of lists: objects a page where the client does not say, at most, and
// calls at a time.
const (
	pageSize  = 20
	maxPage   = 100
	listCalls = 8
)

// create makes an object at a vendor and binds it to who made it and for whom.
func (x *exchange) create(s *shelf) {
	if e := x.gw.Kept.Ready(); e != nil {
		x.fail(e)
		return
	}
	q, e := s.create(x, s)
	if e != nil {
		x.fail(e)
		return
	}
	resp, e := x.inquire(q)
	if e != nil {
		x.fail(x.stopping(e))
		return
	}
	defer resp.Close()
	x.show(s, q, resp)
}

// show hands an object on that a vendor tells of, and binds it and the files that
// it names.
func (x *exchange) show(s *shelf, q *gateway.Inquiry, resp *llm.Response) {
	body, e := collect(resp, maxObject)
	if e == nil {
		e = x.bind(s, q, body)
	}
	if e != nil {
		x.fail(x.stopping(e))
		return
	}
	body = ownResults(s, body)
	x.header(resp)
	x.w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.w.WriteHeader(resp.Status)
	x.trail.First = time.Now()
	_ = x.write(body) // the client left
	x.answered(resp, resp.Status)
}

// collect reads an answer whole, at most most bytes of it.
func collect(resp *llm.Response, most int) ([]byte, *llm.Error) {
	var body []byte
	for {
		c, err := resp.Next()
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, llm.AsError(err)
		case len(body)+len(c.Raw) > most:
			return nil, wire.BadAnswer("larger than what is read of it")
		}
		body = append(body, c.Raw...)
	}
}

// bind remembers the object that an answer is, and the files that it names: a
// batch tells of its output when it has some.
func (x *exchange) bind(s *shelf, q *gateway.Inquiry, body []byte) *llm.Error {
	ids := map[string]string{} // → kind
	for _, name := range [...]string{"id", "batch_id"} {
		if id, _ := scan.String(scan.Get(body, name)); id != "" && len(ids) == 0 {
			ids[id] = s.kind
		}
	}
	if s.kind == gateway.KindBatch {
		for _, name := range [...]string{"output_file_id", "error_file_id"} {
			if id, _ := scan.String(scan.Get(body, name)); id != "" {
				ids[id] = gateway.KindFile
			}
		}
	}
	ctx := x.r.Context()
	for id, kind := range ids {
		if _, e := x.gw.Kept.Find(ctx, kind, id, x.grant.Name); e == nil {
			continue
		}
		o := gateway.Object{ID: id, Kind: kind, Target: q.Provider.Name, Credential: q.Credential.ID, Owner: x.grant.Name}
		if e := x.gw.Kept.Put(ctx, o); e != nil {
			return e
		}
	}
	return nil
}

// ownResults puts the gateway's place of a message batch's results into what the
// vendor tells of the batch: SDKs go there with the key that they have. It has no
// host, since they add their base URL.
func ownResults(s *shelf, body []byte) []byte {
	if s.kind != gateway.KindMessageBatch {
		return body
	}
	id, _ := scan.String(scan.Get(body, "id"))
	ms, _ := scan.Object(nil, body)
	for _, m := range ms {
		if key, _ := scan.String(body[m.Key:m.KeyEnd]); key == "results_url" && body[m.Start] == '"' {
			return slices.Concat(body[:m.Start], jsonString("/v1/messages/batches/"+id+"/results"), body[m.End:])
		}
	}
	return body
}

// newFile makes the inquiry that uploads a file. The field "model", or the
// query's, says where to; it is the gateway's own.
func (x *exchange) newFile(s *shelf) (*gateway.Inquiry, *llm.Error) {
	buf, e := x.load()
	if e != nil {
		return nil, e
	}
	parts, e := wire.NewParts(buf, x.r.Header.Get("Content-Type"))
	if e != nil {
		return nil, e
	}
	defer parts.Release()
	model := parts.Field("model")
	if named := x.r.URL.Query().Get("model"); model == "" {
		model = named
	}
	p, e := x.gw.Home(model, s.proto, x.grant)
	if e != nil {
		return nil, e
	}
	body := parts.Without("model")
	return x.made(s, p, body, parts.ContentType()), nil
}

// made is the inquiry that makes something at a provider.
func (x *exchange) made(s *shelf, p *gateway.Provider, body *wire.Payload, kind string) *gateway.Inquiry {
	return &gateway.Inquiry{Provider: p, Credential: p.Own(x.grant.Name), Target: p.Name, Raw: &llm.Raw{
		Op: s.op, Proto: s.proto, Method: http.MethodPost, Query: without(x.r.URL.RawQuery, "model"), Body: body, Size: body.Size(), Type: kind,
	}}
}

// newBatch makes the inquiry that begins a batch: where its input lies, or where
// the query's "model" says. The models in the input are the vendor's.
func (x *exchange) newBatch(s *shelf) (*gateway.Inquiry, *llm.Error) {
	buf, e := x.load()
	if e != nil {
		return nil, e
	}
	p, c, e := x.batchHome(s, buf.B)
	if e != nil {
		buf.Free()
		return nil, e
	}
	q := x.made(s, p, wire.Patched(buf), "application/json")
	q.Credential = c
	return q, nil
}

// batchHome returns who keeps the input of the batch that b asks for, or is to
// keep a batch that has none yet.
func (x *exchange) batchHome(s *shelf, b []byte) (*gateway.Provider, *gateway.Credential, *llm.Error) {
	const input = "input_file_id"
	v, ok := only(b, input)
	id, isID := scan.String(v)
	if !ok || !isID && !scan.Null(v) {
		return nil, nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: input, Message: "the body must be a JSON object with \"" + input + "\" in it once"}
	}
	if id == "" {
		p, e := x.gw.Home(x.r.URL.Query().Get("model"), s.proto, x.grant)
		if e != nil {
			return nil, nil, e
		}
		return p, p.Own(x.grant.Name), nil
	}
	file, e := x.gw.Kept.Find(x.r.Context(), gateway.KindFile, id, x.grant.Name)
	if e != nil {
		if e.Kind == llm.KindNotFound {
			e.Param = input
		}
		return nil, nil, e
	}
	p, c, e := x.gw.Keeper(file)
	if e == nil {
		e = x.mayRun(p, file, b)
	}
	return p, c, e
}

// only returns the value of a member of an object, nil if it is absent. ok is
// false where there is more than one that a vendor could take for it, or b is no
// object.
func only(b []byte, name string) (v []byte, ok bool) {
	ms, err := scan.Object(nil, b)
	if err != nil {
		return nil, false
	}
	for _, m := range ms {
		key, _ := scan.String(b[m.Key:m.KeyEnd])
		if !strings.EqualFold(key, name) {
			continue
		}
		if v != nil || key != name {
			return nil, false
		}
		v = b[m.Start:m.End]
	}
	return v, true
}

// mayRun checks the models that a batch asks for where the caller may not ask for
// all of the provider's. Its input is read from the vendor: only that is what
// will run.
func (x *exchange) mayRun(p *gateway.Provider, file gateway.Object, batch []byte) *llm.Error {
	if x.grant.May(p.Name + "/*") {
		return nil
	}
	q, e := x.about(file, &llm.Raw{Op: llm.OpFile, Proto: llm.ProtoOpenAI, Method: http.MethodGet, Path: "/content"})
	if e != nil {
		return e
	}
	resp, e := x.inquire(q)
	if e != nil {
		return e
	}
	defer resp.Close()
	given := bodyModel(batch) // Mistral's batches name the model themselves
	may := map[string]bool{}
	if given != "" {
		if e := x.mayAsk(p, given, may); e != nil {
			return e
		}
	}
	return eachLine(resp, func(line []byte) *llm.Error {
		body, ok := only(line, "body")
		model := bodyModel(body)
		if ok && given != "" && scan.Get(body, "model") == nil {
			model = given
		}
		if !ok || model == "" {
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: "input_file_id", Message: "each request of the file must name its model, once"}
		}
		return x.mayAsk(p, model, may)
	})
}

// maxModels bounds the models that one batch may name.
const maxModels = 1 << 10

// mayAsk checks that the caller may ask for a model of a batch; may holds those
// that were found.
func (x *exchange) mayAsk(p *gateway.Provider, model string, may map[string]bool) *llm.Error {
	switch {
	case may[model]:
		return nil
	case len(may) == maxModels:
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: "input_file_id", Message: fmt.Sprintf("the file names more than %d models", maxModels)}
	case !x.gw.MayUse(x.grant, p, model):
		return &llm.Error{Kind: llm.KindModelNotAllowed, Param: "input_file_id", Message: fmt.Sprintf("this key may not ask for %q of %s, which the file names", bounded(model), p.Name)}
	}
	may[model] = true
	return nil
}

// eachLine calls do with each line of an answer that is not blank, until the
// first error. No more than a line is held.
func eachLine(resp *llm.Response, do func(line []byte) *llm.Error) *llm.Error {
	var held []byte
	for {
		c, err := resp.Next()
		if err != nil && err != io.EOF {
			return llm.AsError(err)
		}
		held = append(held, c.Raw...)
		rest := held
		for len(rest) > 0 {
			line, after, whole := bytes.Cut(rest, []byte("\n"))
			if !whole && err == nil {
				break
			}
			if rest = after; len(bytes.TrimSpace(line)) > 0 {
				if e := do(line); e != nil {
					return e
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if len(rest) > maxObject {
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: "input_file_id", Message: "a request of the file is larger than 8 MiB"}
		}
		held = append(held[:0], rest...)
	}
}

// mayAdd checks that the caller may put further requests into a batch, whose
// models nobody looks at.
func (x *exchange) mayAdd(s *shelf, o gateway.Object, verb string) *llm.Error {
	if verb == "/requests" && x.r.Method == http.MethodPost && !x.grant.May(o.Target+"/*") {
		return &llm.Error{Kind: llm.KindModelNotAllowed, Message: fmt.Sprintf("this key may not add requests: its models list would have to hold %q", o.Target+"/*")}
	}
	return nil
}

// newMessageBatch makes the inquiry that begins a message batch, at the provider
// that all its models have in common, by the vendor's names for them.
func (x *exchange) newMessageBatch(s *shelf) (*gateway.Inquiry, *llm.Error) {
	buf, e := x.load()
	if e != nil {
		return nil, e
	}
	p, patches, e := x.batchModels(s, buf.B)
	if e != nil {
		buf.Free()
		return nil, e
	}
	return x.made(s, p, wire.Patched(buf, patches...), "application/json"), nil
}

// batchModels finds the provider of a message batch's models, and what its body
// calls them there.
func (x *exchange) batchModels(s *shelf, b []byte) (*gateway.Provider, []wire.Patch, *llm.Error) {
	entries, e := protocol.Batch(b)
	if e != nil {
		return nil, nil, e
	}
	var common []*gateway.Provider
	models := map[string]*gateway.Model{}
	for i, entry := range entries {
		if models[entry.Model] != nil {
			continue
		}
		m, e := x.gw.Model(&llm.Request{Model: entry.Model}, x.grant)
		if e != nil {
			e.Param = fmt.Sprintf("requests[%d].params.model", i)
			return nil, nil, e
		}
		models[entry.Model] = m
		homes := x.gw.Homes(m, s.proto)
		if i == 0 {
			common = homes
		}
		common = slices.DeleteFunc(common, func(p *gateway.Provider) bool { return !slices.Contains(homes, p) })
	}
	if len(common) == 0 {
		return nil, nil, wire.Unsupported("requests", "the models of a batch must have a provider in common that is asked in Anthropic's protocol")
	}
	patches := make([]wire.Patch, 0, len(entries))
	for _, entry := range entries {
		name := jsonString(models[entry.Model].At(common[0]))
		patches = append(patches, wire.Patch{Start: entry.Start, End: entry.End, Value: name})
	}
	return common[0], patches, nil
}

// list tells the caller's objects, the newest first. Vendors' own lists show all
// of an account, so each object is asked for by itself.
func (x *exchange) list(s *shelf) {
	query := x.r.URL.Query()
	after, last := query.Get("after"), "order"
	if s.proto == llm.ProtoAnthropic {
		after, last = query.Get("after_id"), "before_id"
	}
	limit := pageSize
	if v := query.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			x.fail(&llm.Error{Kind: llm.KindInvalidRequest, Param: "limit", Message: "\"limit\" must be a positive number"})
			return
		}
		limit = min(n, maxPage)
	}
	if v := query.Get(last); v != "" && v != "desc" {
		x.fail(wire.Unsupported(last, "lists begin with the newest; leave it out"))
		return
	}
	objects, e := x.gw.Kept.List(x.r.Context(), s.kind, x.grant.Name, after, limit+1)
	if e != nil {
		x.fail(e)
		return
	}
	more := len(objects) > limit
	told, e := x.each(s, objects[:min(limit, len(objects))])
	if e != nil {
		x.fail(x.stopping(e))
		return
	}
	if purpose := query.Get("purpose"); purpose != "" {
		told = slices.DeleteFunc(told, func(b []byte) bool {
			p, _ := scan.String(scan.Get(b, "purpose"))
			return p != purpose
		})
	}
	x.tell(listed(s, told, more))
}

// each asks for objects, a few at a time, and returns what their vendors tell of
// them, in order. Those that a vendor has forgotten are forgotten here, too.
func (x *exchange) each(s *shelf, objects []gateway.Object) ([][]byte, *llm.Error) {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	told, errs := make([][]byte, len(objects)), make([]*llm.Error, len(objects))
	free := make(chan struct{}, listCalls)
	var calls sync.WaitGroup
	for i, o := range objects {
		q, e := x.about(o, &llm.Raw{Op: s.op, Proto: s.proto, Method: http.MethodGet})
		if e != nil { // its provider is configured no more
			continue
		}
		if errs[i] = x.prepare(q); errs[i] != nil {
			break
		}
		free <- struct{}{}
		calls.Go(func() {
			defer func() { <-free }()
			if told[i], errs[i] = x.one(ctx, s, q); errs[i] != nil {
				cancel()
			}
		})
	}
	calls.Wait()
	if i := slices.IndexFunc(errs, func(e *llm.Error) bool { return e != nil && e.Kind != llm.KindCanceled }); i >= 0 {
		return nil, errs[i]
	}
	if err := x.r.Context().Err(); err != nil {
		return nil, &llm.Error{Kind: llm.KindCanceled, Message: "the client closed the request", Err: err}
	}
	return slices.DeleteFunc(told, func(b []byte) bool { return b == nil }), nil
}

// one asks for one object; nil: the vendor has forgotten it.
func (x *exchange) one(ctx context.Context, s *shelf, q *gateway.Inquiry) ([]byte, *llm.Error) {
	resp, e := q.Ask(ctx)
	if e != nil {
		if e.Kind == llm.KindCaller && e.Status == http.StatusNotFound {
			return nil, nil
		}
		return nil, e
	}
	defer resp.Close()
	body, e := collect(resp, maxObject)
	if e != nil {
		return nil, e
	}
	if body = bytes.TrimSpace(body); !scan.Valid(body) || len(body) == 0 {
		return nil, wire.BadAnswer("no JSON value")
	}
	if e := x.bind(s, q, body); e != nil {
		return nil, e
	}
	return ownResults(s, body), nil
}

// listed is a page of a list in the words of the shelf's protocol.
func listed(s *shelf, told [][]byte, more bool) []byte {
	end := func(i int) []byte {
		if len(told) == 0 {
			return []byte("null")
		}
		for _, name := range [...]string{"id", "batch_id"} {
			if v := scan.Get(told[i], name); v != nil {
				return v
			}
		}
		return []byte("null")
	}
	b := []byte(`{"object":"list","data":[`)
	if s.proto == llm.ProtoAnthropic {
		b = []byte(`{"data":[`)
	}
	b = append(append(b, bytes.Join(told, []byte(","))...), `],"first_id":`...)
	b = append(append(b, end(0)...), `,"last_id":`...)
	b = append(append(b, end(len(told)-1)...), `,"has_more":`...)
	return append(strconv.AppendBool(b, more), '}')
}

func jsonString(s string) []byte {
	b, _ := json.Marshal(s) // never fails
	return b
}

// tell answers with what the gateway itself says.
func (x *exchange) tell(body []byte) {
	h := x.w.Header()
	id := []string{x.trail.ID}
	h["X-Request-Id"], h["Request-Id"], h["Content-Type"] = id, id, jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.trail.Status, x.trail.First = http.StatusOK, time.Now()
	_ = x.write(body) // the client left
}
