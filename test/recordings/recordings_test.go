// Package recordings proves the gateway with recorded traffic: the real binary
// between a vendor that replays what real vendors answered and the vendors'
// own SDKs. What the answers say is read here a second time, by readers of
// their own.
package recordings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// run is what all checks share.
type run struct {
	ctx     context.Context
	gateway *gateway
	vendor  *vendor
	clients *clients
	http    *http.Client
}

// verdict is how an exchange came out: the first of failed, skipped, lossy
// that is not empty.
type verdict struct {
	x       *exchange
	failed  []string
	skipped string
	lossy   []loss
	decoded bool
}

// TestRecordings puts every recorded exchange through the gateway. Its last
// line counts them.
func TestRecordings(t *testing.T) {
	data := os.Getenv("SLUICE_DATA")
	if data == "" {
		t.Skip("SLUICE_DATA does not say where the recorded exchanges are")
	}
	all := load(t, filepath.Join(data, "wire"))
	r := start(t, all)
	begun := time.Now()
	verdicts := make([]*verdict, len(all))
	work := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range work {
				verdicts[i] = r.judge(all[i])
			}
		})
	}
	for i := range all {
		work <- i
	}
	close(work)
	wg.Wait()
	t.Logf("%d exchanges in %v", len(all), time.Since(begun).Round(time.Millisecond))
	if failed := report(verdicts); failed > 0 {
		t.Fail()
	}
}

// start runs the vendor and the gateway.
func start(t *testing.T, all []*exchange) *run {
	t.Helper()
	dir := t.TempDir()
	v := newVendor(t, all)
	file := filepath.Join(dir, "sluice.yaml")
	configure(t, file, accounts(all, v.URL))
	g := serve(t, dir, file)
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: time.Minute}
	t.Cleanup(h.CloseIdleConnections)
	return &run{ctx: t.Context(), gateway: g, vendor: v, clients: newClients(t, g.url), http: h}
}

// accounts are one provider for each vendor and protocol that was recorded.
func accounts(all []*exchange, url string) (out []account) {
	for _, p := range vendors {
		out = append(out, account{accountName(madeUp, p), fallbackKind, p, url + "/" + madeUp})
	}
	known := map[string]bool{}
	for _, x := range all {
		for _, p := range slices.Compact(slices.Sorted(slices.Values(protocol[1:]))) {
			if name := accountName(x.Provider, p); !known[name] {
				known[name] = true
				kind := x.Provider
				if kind == "bedrock" || kind == "vertex" || kind == "azure" { // credentials or paths of their own
					kind = fallbackKind
				}
				out = append(out, account{name, kind, p, url + "/" + x.Provider})
			}
		}
	}
	return out
}

func accountName(provider, protocol string) string { return "x-" + provider + "-" + protocol }

var odd = regexp.MustCompile(`[^A-Za-z0-9._:/-]+`)

// model is the name by which clients reach the recording's vendor.
func (r *run) model(x *exchange, s shape) string { return r.account(x, protocol[s]) }

// account is that name at the provider that speaks proto.
func (r *run) account(x *exchange, proto string) string {
	m := strings.Trim(odd.ReplaceAllString(x.Model, "-"), "/")
	if m == "" {
		m = "m"
	}
	return accountName(x.Provider, proto) + "/" + m
}

// judge puts one exchange through the gateway.
func (r *run) judge(x *exchange) (v *verdict) {
	v = &verdict{x: x}
	defer func() {
		if p := recover(); p != nil {
			v.failed = append(v.failed, fmt.Sprintf("the test itself panicked: %v", p))
		}
	}()
	if x.lost != nil {
		v.skipped = "the recording cannot be read: " + x.lost.Error()
		return v
	}
	s := x.shape()
	if s == shapeNone && faulty(x.response) { // an error in a success
		s = declared[x.API]
	}
	if s == shapeNone {
		r.other(v)
		return v
	}
	if x.Status >= 400 {
		v.decoded = true
		if err := r.refuses(x, s); err != nil {
			v.failed = append(v.failed, err.Error())
		}
		if err := r.asks(x, s); err != nil {
			v.failed = append(v.failed, err.Error())
		}
		return v
	}
	want, err := x.read(s)
	if err != nil {
		v.skipped = "the recording cannot be read: " + err.Error()
		return v
	}
	v.decoded = true
	if err := r.passes(x, s, want); err != nil {
		v.failed = append(v.failed, fmt.Sprintf("to its own clients: %v", err))
	}
	if s != shapeCompletion {
		r.translates(v, s, want)
	}
	if err := r.asks(x, s); err != nil {
		v.failed = append(v.failed, err.Error())
	}
	return v
}

// translates checks what the clients of the other protocols get.
func (r *run) translates(v *verdict, s shape, want *answer) {
	x := v.x
	_, stream := x.pieces()
	for _, proto := range protocols {
		if proto == protocol[s] {
			continue // its bytes pass
		}
		got, err := r.clients.ask(r.ctx, proto, r.model(x, s), x.Case, stream)
		var lost []loss
		var f *failure
		switch {
		case want.broken && errors.As(err, &f):
			continue // told; passes has looked at what came before
		case want.broken:
			err = fmt.Errorf("a broken answer (%s) is not told: %v", want.reason, err)
		case err == nil:
			lost, err = compare(proto, want, got)
		}
		if err != nil {
			v.failed = append(v.failed, fmt.Sprintf("to %s clients: %v", proto, err))
		}
		for _, l := range lost {
			if !slices.Contains(v.lossy, l) {
				v.lossy = append(v.lossy, l)
			}
		}
	}
}

// report prints every loss, skip and failure, then the counts.
func report(all []*verdict) (failed int) {
	var passed, lossy, skipped, decoded int
	losses, skips := map[loss][]string{}, map[string][]string{}
	for _, v := range all {
		if v.decoded {
			decoded++
		}
		switch {
		case len(v.failed) > 0:
			failed++
			for _, f := range v.failed {
				fmt.Printf("failed: %s: %s\n", v.x.Case, f)
			}
		case v.skipped != "":
			skipped++
			skips[v.skipped] = append(skips[v.skipped], v.x.Case)
		case len(v.lossy) > 0:
			lossy++
			for _, l := range v.lossy {
				losses[l] = append(losses[l], v.x.Case)
			}
		default:
			passed++
		}
	}
	for _, l := range sortedKeys(losses) {
		fmt.Printf("lossy: %d: %s\n", len(losses[l]), l)
		for _, c := range losses[l] {
			fmt.Printf("\t%s\n", c)
		}
	}
	for _, s := range sortedKeys(skips) {
		fmt.Printf("skipped: %d: %s\n", len(skips[s]), s)
		for _, c := range skips[s] {
			fmt.Printf("\t%s\n", c)
		}
	}
	fmt.Printf("decoded: %d of %d\n", decoded, len(all))
	fmt.Printf("recordings: %d passed, %d lossy by rule, %d failed, %d skipped\n", passed, lossy, failed, skipped)
	return failed
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	var keys []K
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// faulty reports whether an answer is an error object.
func faulty(body []byte) bool {
	var v struct{ Error json.RawMessage }
	return isObject(body) && json.Unmarshal(body, &v) == nil && isObject(v.Error)
}
