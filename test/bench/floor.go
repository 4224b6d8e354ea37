//go:build linux

package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// floorMain is the sub-mode `floor ADDR MOCK`: the least a Go program can do
// that swaps the client's key for the vendor's and passes the bytes. It flushes
// event streams at once, as ReverseProxy does by itself. It ends by signal.
func floorMain(addr, vendor string) error {
	to, err := url.Parse("http://" + vendor)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Set("Authorization", "Bearer "+mockKey)
		},
		// tuned: connections are kept for every client that may come, and
		// no gzip is asked for, so that no body is unpacked on the way
		Transport: &http.Transport{
			MaxIdleConns:        8192,
			MaxIdleConnsPerHost: 8192,
			IdleConnTimeout:     2 * time.Minute,
			DisableCompression:  true,
		},
	}
	return http.ListenAndServe(addr, proxy)
}
