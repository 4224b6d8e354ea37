package server

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/sluicegate/sluice/internal/tenant"
)

// No key of the gateway's is ever taken for a client's own credential at a
// vendor, in whichever header it comes and whoever may ask.
func TestOwnKeysStayHere(t *testing.T) {
	for _, c := range []struct {
		name         string
		open         *tenant.Grant
		header       map[string]string
		grant, carry string
	}{
		{"its own header and another's key", nil, map[string]string{"X-Sluice-Key": "ours", "Authorization": "Bearer theirs"}, "team", "theirs"},
		{"the same key twice", nil, map[string]string{"X-Sluice-Key": "ours", "Authorization": "Bearer ours", "X-Api-Key": "theirs"}, "team", "theirs"},
		{"in another's header", nil, map[string]string{"X-Api-Key": "ours", "X-Goog-Api-Key": "theirs"}, "team", ""},
		{"open, a key all the same", tenant.Anyone(), map[string]string{"Authorization": "Bearer ours"}, "team", ""},
		{"open, a vendor's key", tenant.Anyone(), map[string]string{"X-Api-Key": "theirs"}, "", "theirs"},
		{"open, none", tenant.Anyone(), nil, "", ""},
	} {
		keys, err := tenant.NewKeys([]tenant.Key{{Name: "team", Secret: "ours"}}, c.open)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Header: http.Header{}, URL: &url.URL{Path: "/v1/chat/completions"}}
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		g, own, e := authenticate(keys, r)
		if e != nil || g.Name != c.grant || own.Secret != c.carry {
			t.Errorf("%s: %+v, %+v, %v", c.name, g, own, e)
		}
	}
}
