package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sluicegate/sluice/internal/wire"
)

const (
	// maxList bounds a vendor's list of its models, in bytes and in names.
	maxList  = 1 << 20
	maxNames = 1000
)

// Models asks the vendor for the models that it serves now, with key; none is an
// empty list. Only rows with Lists can be asked.
func (a *Account) Models(ctx context.Context, key string) ([]string, error) {
	u, err := url.Parse(a.set.Vendor.URL(a.set.BaseURL, route{op: opList}, ""))
	if err != nil {
		return nil, fmt.Errorf("listing the models of provider %q: its URL cannot be read", a.set.Name)
	}
	h := http.Header{}
	for k, v := range a.set.Headers {
		h.Set(k, v)
	}
	a.set.Vendor.Authorize(h, key)
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: http.NoBody}
	resp, err := a.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("listing the models of provider %q: %w", a.set.Name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("listing the models of provider %q: status %d", a.set.Name, resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxList))
	if err != nil {
		return nil, fmt.Errorf("listing the models of provider %q: %w", a.set.Name, err)
	}
	var list struct {
		Data json.RawMessage `json:"data"` // null at Ollama without models
	}
	var models []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("listing the models of provider %q: %w", a.set.Name, err)
	}
	if err := json.Unmarshal(list.Data, &models); err != nil {
		return nil, fmt.Errorf("listing the models of provider %q: %w", a.set.Name, err)
	}
	names := []string{}
	for _, m := range models {
		if m.ID != "" && wire.CheckName(m.ID) == nil && len(names) < maxNames {
			names = append(names, m.ID)
		}
	}
	return names, nil
}
