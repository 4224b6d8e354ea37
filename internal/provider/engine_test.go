package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Pages as the engines' own documents show them, cut down.
const (
	vllmPage = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/model"} 7.0
vllm:num_requests_running{engine="1",model_name="org/model"} 5.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="org/model"} 2.0
vllm:num_requests_waiting{engine="1",model_name="org/model"} 1.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="org/model",reason="capacity"} 99.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="org/model"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="org/model"} 0.25
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",calculate_kv_scales="False",enable_prefix_caching="True",engine="0",gpu_memory_utilization="0.9",num_gpu_blocks="27849",num_gpu_blocks_override="None"} 1.0
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="1",num_gpu_blocks="27849",num_gpu_blocks_override="None"} 1.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="org/model"} 0.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="org/model"} 12.5
`
	sglangPage = `# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="org/model",tp_rank="0"} 0.28
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="org/model",tp_rank="0"} 162.0
sglang:num_running_reqs{model_name="org/model",tp_rank="1"} 162.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="org/model"} 2826.0
# TYPE sglang:max_total_num_tokens gauge
sglang:max_total_num_tokens{model_name="org/model"} 444577
`
	llamaPage = `# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 3
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 4
# TYPE llamacpp:kv_cache_usage_ratio gauge
llamacpp:kv_cache_usage_ratio 0.125
`
)

func TestReadMetrics(t *testing.T) {
	long := "vllm:num_requests_running{model_name=\"" + strings.Repeat("x", maxSample) + "\"} 5\n"
	for _, c := range []struct {
		name, page string
		want       Metrics
		err        string
	}{
		{"vLLM, two engines in one", vllmPage, Metrics{12, 3, 0.375, 2 * 27849 * 16}, ""},
		{"vLLM of old", "vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.75\nvllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"None\"} 1.0\n", Metrics{-1, -1, 0.75, -1}, ""},
		{"SGLang, two ranks", sglangPage, Metrics{162, 2826, 0.28, 444577}, ""},
		{"SGLang's pages", "sglang:cache_config_info{page_size=\"64\",num_pages=\"1000\"} 1\n", Metrics{-1, -1, -1, 64000}, ""},
		{"llama.cpp", llamaPage, Metrics{3, 4, 0.125, -1}, ""},
		{"TGI", "tgi_batch_current_size 8\ntgi_queue_size 2\n", Metrics{8, 2, -1, -1}, ""},
		{"line ends of Windows, no end", strings.ReplaceAll(llamaPage, "\n", "\r\n") + "tgi_queue_size 9", Metrics{3, 4, 0.125, -1}, ""},
		{"a share above 1", "vllm:kv_cache_usage_perc 1.5\n", Metrics{-1, -1, 1, -1}, ""},
		{"no numbers", "vllm:num_requests_running NaN\nvllm:num_requests_waiting -1\nvllm:kv_cache_usage_perc +Inf\nsglang:num_queue_reqs 2\n", Metrics{-1, 2, -1, -1}, ""},
		{"a line that is too long", long + "vllm:num_requests_waiting 6\n", Metrics{-1, 6, -1, -1}, ""},
		{"of others", "# TYPE go_goroutines gauge\ngo_goroutines 12\n", Metrics{}, ErrNoMetrics.Error()},
		{"nothing", "", Metrics{}, ErrNoMetrics.Error()},
		{"no such format", "vllm:num_requests_running{model_name=\"m\" 5\n", Metrics{}, "text format parsing error"},
	} {
		got, err := readMetrics(strings.NewReader(c.page))
		if err != nil && (c.err == "" || !strings.Contains(err.Error(), c.err)) || err == nil && c.err != "" || got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v %s", c.name, got, err, c.want, c.err)
		}
	}
}

// An engine is asked beside its API, with its key; what is no answer is told.
func TestMetrics(t *testing.T) {
	var status int
	var seen string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Authorization"), " ", r.Header.Get("X-Team"))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(llamaPage))
	}))
	defer srv.Close()
	for _, c := range []struct {
		base, path string
		status     int
		err        error
	}{
		{"", "/metrics", 200, nil}, {"/v1", "/metrics", 200, nil}, {"/v1/", "/metrics", 200, nil}, {"/box/v1?x=1", "/box/metrics", 200, nil},
		{"", "/metrics", 404, ErrNoMetrics}, {"", "/metrics", 501, ErrNoMetrics}, {"", "/metrics", 503, errors.New("status 503")},
	} {
		row, _ := VendorByName("vllm")
		transports := &Transports{}
		a, err := NewAccount(Settings{Name: "engine", Vendor: row, BaseURL: srv.URL + c.base, Headers: map[string]string{"X-Team": "a"}, Connect: time.Second}, transports)
		if err != nil {
			t.Fatal(err)
		}
		status = c.status
		m, err := a.Metrics(context.Background(), "k")
		switch {
		case c.err == nil && (err != nil || m != Metrics{3, 4, 0.125, -1}):
			t.Errorf("%s: %+v, %v", c.base, m, err)
		case c.err != nil && (err == nil || !strings.Contains(err.Error(), c.err.Error())):
			t.Errorf("status %d: %v, want %v", c.status, err, c.err)
		}
		if want := "GET " + c.path + " Bearer k a"; seen != want {
			t.Errorf("%s: asked %q, want %q", c.base, seen, want)
		}
		transports.Close()
	}
}

// Whatever a page says, what is taken from it is small and within its bounds.
func FuzzReadMetrics(f *testing.F) {
	f.Add(vllmPage)
	f.Add(sglangPage)
	f.Add(llamaPage)
	f.Add("vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"9999999999\"} 1\n")
	f.Fuzz(func(t *testing.T, page string) {
		kept, err := samples(strings.NewReader(page))
		if err != nil || len(kept) > len(page)+1 || strings.Count(string(kept), "\n") > maxSamples {
			t.Fatalf("kept %d of %d bytes, %v", len(kept), len(page), err)
		}
		m, err := readMetrics(strings.NewReader(page))
		if err != nil {
			return
		}
		for _, v := range []float64{m.Running, m.Waiting, m.Used, m.Capacity} {
			if !(v == -1 || v >= 0 && v < 1<<60) {
				t.Fatalf("%+v", m)
			}
		}
		if m.Used > 1 {
			t.Fatalf("%+v", m)
		}
	})
}
