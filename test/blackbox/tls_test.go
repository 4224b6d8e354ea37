package blackbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for one test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	next int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, next: 2}
	a.key = newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign makes a certificate for 127.0.0.1 and localhost, or for host alone.
func (a *authority) sign(host string, until time.Time) (cert, key []byte) {
	a.t.Helper()
	a.next++
	k := newKey(a.t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: fmt.Sprintf("leaf %d", a.next)},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if host == "" {
		tmpl.IPAddresses, tmpl.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	} else {
		tmpl.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

func (a *authority) pair(host string, until time.Time) tls.Certificate {
	cert, key := a.sign(host, until)
	p, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return p
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// The gateway's own TLS: HTTP/2, and a certificate renewed on disk is used
// without a restart.
func TestTLSServing(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	install := func() {
		cert, key := ca.sign("", time.Now().Add(time.Hour))
		write(t, keyFile, string(key))
		write(t, certFile, string(cert))
	}
	install()
	v := newVendor(t, nil)
	g := serve(t, fmt.Sprintf("tls: {cert: %s, key: %s}\n", certFile, keyFile)+quick+"providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	ask := func(h2 bool) (*http.Response, error) {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool()}, ForceAttemptHTTP2: h2}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Post("https://"+g.addr+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"a","stream":true,`+hello+`}`))
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		b := make([]byte, 1<<16)
		n, total := 0, ""
		for err == nil {
			n, err = resp.Body.Read(b)
			total += string(b[:n])
		}
		if !strings.HasSuffix(total, "data: [DONE]\n\n") {
			t.Errorf("stream over TLS: got %q, want [DONE] at its end", total)
		}
		return resp, nil
	}
	for _, h2 := range []bool{true, false} {
		resp, err := ask(h2)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 2, false: 1}[h2]; resp.ProtoMajor != want {
			t.Errorf("protocol: got %s, want HTTP/%d", resp.Proto, want)
		}
	}
	first, err := ask(true)
	if err != nil {
		t.Fatal(err)
	}
	old := first.TLS.PeerCertificates[0].SerialNumber
	later := time.Now().Add(2 * time.Second) // file systems count coarsely
	install()
	_ = os.Chtimes(certFile, later, later)
	_ = os.Chtimes(keyFile, later, later)
	eventually(t, "the new certificate", func() bool {
		resp, err := ask(true)
		return err == nil && resp.TLS.PeerCertificates[0].SerialNumber.Cmp(old) != 0
	})
	write(t, certFile, "no certificate")
	if _, err := ask(true); err != nil {
		t.Errorf("with a broken file the last good certificate serves: %v", err)
	}
	old10 := &tls.Config{RootCAs: ca.pool(), MaxVersion: tls.VersionTLS11}
	if c, err := tls.Dial("tcp", g.addr, old10); err == nil {
		_ = c.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestTLSClientCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	cert, key := ca.sign("", time.Now().Add(time.Hour))
	write(t, certFile, string(cert))
	write(t, keyFile, string(key))
	write(t, caFile, string(ca.pem))
	v := newVendor(t, nil)
	g := serve(t, fmt.Sprintf("tls: {cert: %s, key: %s, client_ca: %s}\n", certFile, keyFile, caFile)+"providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	ask := func(certs ...tls.Certificate) error {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool(), Certificates: certs}}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get("https://" + g.addr + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := ask(); err == nil {
		t.Error("a client without a certificate was let in")
	}
	if err := ask(newAuthority(t).pair("", time.Now().Add(time.Hour))); err == nil {
		t.Error("a stranger's certificate was let in")
	}
	if err := ask(ca.pair("", time.Now().Add(time.Hour))); err != nil {
		t.Errorf("a client with a certificate: %v", err)
	}
}
