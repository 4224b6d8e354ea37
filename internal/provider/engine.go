package provider

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	// maxMetrics bounds an engine's page of metrics, maxSample one line of it
	// that is read, maxSamples the lines that are.
	maxMetrics = 4 << 20
	maxSample  = 16 << 10
	maxSamples = 256
)

// Metrics is what an engine says of itself. Numbers below 0 are unknown.
type Metrics struct {
	Running  float64 // requests that it works on
	Waiting  float64 // requests that wait for a place
	Used     float64 // share of its KV cache in use, 0 to 1
	Capacity float64 // of its KV cache, in tokens
}

// ErrNoMetrics is of engines that offer none, or none that are known.
var ErrNoMetrics = errors.New("the engine offers no metrics that are known")

// gauges are the metrics that are read, as of vLLM 0.32, SGLang 0.5, llama.cpp
// of 2025 and TGI 3; older names after the newer. What an engine says for
// several of its parts is added up, or where it is a share, averaged.
var gauges = []struct {
	name  string
	field func(*Metrics) *float64
	share bool
}{
	{"vllm:num_requests_running", func(m *Metrics) *float64 { return &m.Running }, false},
	{"vllm:num_requests_waiting", func(m *Metrics) *float64 { return &m.Waiting }, false},
	{"vllm:kv_cache_usage_perc", func(m *Metrics) *float64 { return &m.Used }, true},
	{"vllm:gpu_cache_usage_perc", func(m *Metrics) *float64 { return &m.Used }, true},
	{"sglang:num_running_reqs", func(m *Metrics) *float64 { return &m.Running }, false},
	{"sglang:num_queue_reqs", func(m *Metrics) *float64 { return &m.Waiting }, false},
	{"sglang:token_usage", func(m *Metrics) *float64 { return &m.Used }, true},
	{"sglang:max_total_num_tokens", func(m *Metrics) *float64 { return &m.Capacity }, false},
	{"llamacpp:requests_processing", func(m *Metrics) *float64 { return &m.Running }, false},
	{"llamacpp:requests_deferred", func(m *Metrics) *float64 { return &m.Waiting }, false},
	{"llamacpp:kv_cache_usage_ratio", func(m *Metrics) *float64 { return &m.Used }, true},
	{"tgi_batch_current_size", func(m *Metrics) *float64 { return &m.Running }, false},
	{"tgi_queue_size", func(m *Metrics) *float64 { return &m.Waiting }, false},
}

// infos are the metrics whose labels tell the size of the KV cache: blocks and
// the tokens of each.
var infos = []struct{ name, blocks, tokens string }{
	{"vllm:cache_config_info", "num_gpu_blocks", "block_size"},
	{"sglang:cache_config_info", "num_pages", "page_size"},
}

// Metrics asks the engine how busy it is, with key. Only rows with Engine can be
// asked.
func (a *Account) Metrics(ctx context.Context, key string) (Metrics, error) {
	base := a.set.BaseURL
	if base == "" {
		base = a.set.Vendor.BaseURL
	}
	base, _, _ = strings.Cut(base, "?")
	base = strings.TrimSuffix(strings.TrimRight(base, "/"), a.set.Vendor.Version)
	u, err := url.Parse(strings.TrimRight(base, "/") + "/metrics")
	if err != nil {
		return Metrics{}, fmt.Errorf("asking provider %q for metrics: its URL cannot be read", a.set.Name)
	}
	h := http.Header{}
	for k, v := range a.set.Headers {
		h.Set(k, v)
	}
	a.set.Vendor.Authorize(h, key)
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: http.NoBody}
	resp, err := a.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return Metrics{}, fmt.Errorf("asking provider %q for metrics: %w", a.set.Name, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusNotImplemented: // llama.cpp without --metrics: 501
		return Metrics{}, ErrNoMetrics
	case resp.StatusCode != http.StatusOK:
		return Metrics{}, fmt.Errorf("asking provider %q for metrics: status %d", a.set.Name, resp.StatusCode)
	}
	m, err := readMetrics(io.LimitReader(resp.Body, maxMetrics))
	if err != nil {
		return Metrics{}, fmt.Errorf("asking provider %q for metrics: %w", a.set.Name, err)
	}
	return m, nil
}

// readMetrics reads Prometheus' text format. Only the lines of metrics that are
// known are parsed: a busy engine's page is mostly histograms.
func readMetrics(r io.Reader) (Metrics, error) {
	kept, err := samples(r)
	if err != nil {
		return Metrics{}, err
	}
	m := Metrics{-1, -1, -1, -1}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(kept))
	if err != nil {
		return Metrics{}, err
	}
	for _, g := range gauges {
		sum, n := 0.0, 0.0
		for _, s := range families[g.name].GetMetric() {
			if v := s.GetUntyped().GetValue(); v >= 0 && v <= math.MaxInt32*64 && !copied(s) {
				sum += v
				n++
			}
		}
		if n > 0 && *g.field(&m) < 0 {
			if g.share {
				sum = min(1, sum/n)
			}
			*g.field(&m) = sum
		}
	}
	for _, i := range infos {
		if m.Capacity >= 0 {
			break
		}
		for _, s := range families[i.name].GetMetric() {
			blocks, size := label(s, i.blocks), label(s, i.tokens)
			b, err1 := strconv.ParseUint(blocks, 10, 31)
			n, err2 := strconv.ParseUint(size, 10, 16)
			if err1 == nil && err2 == nil && b > 0 && n > 0 && !copied(s) { // "None" before the cache is measured
				m.Capacity = max(0, m.Capacity) + float64(b*n)
			}
		}
	}
	if m.Running < 0 && m.Waiting < 0 && m.Used < 0 && m.Capacity < 0 {
		return Metrics{}, ErrNoMetrics
	}
	return m, nil
}

// samples returns the lines of known metrics.
func samples(r io.Reader) ([]byte, error) {
	var kept []byte
	b := bufio.NewReaderSize(r, maxSample)
	for n := 0; n < maxSamples; {
		line, err := b.ReadSlice('\n')
		whole := err == nil || err == io.EOF
		if name, _, _ := bytes.Cut(line, []byte("{")); whole && known(string(bytes.TrimSpace(before(name, ' ')))) {
			kept = append(append(kept, bytes.TrimRight(line, "\r\n")...), '\n')
			n++
		}
		for err == bufio.ErrBufferFull { // a line too long to be one of ours
			_, err = b.ReadSlice('\n')
		}
		if err == io.EOF {
			return kept, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return kept, nil
}

func before(b []byte, sep byte) []byte {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i]
	}
	return b
}

func known(name string) bool {
	for _, g := range gauges {
		if g.name == name {
			return true
		}
	}
	for _, i := range infos {
		if i.name == name {
			return true
		}
	}
	return false
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// copied reports whether a sample repeats another's: each rank of a model that
// is split over several devices says the same.
func copied(m *dto.Metric) bool {
	rank := label(m, "tp_rank")
	return rank != "" && rank != "0"
}
