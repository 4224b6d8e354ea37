package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/config"
)

// certificates serve the newest certificate on disk: the files are looked at
// when a handshake comes, at most once a second, so that a renewed one is
// used without a reload. Files that do not load leave the last good pair in
// use. Safe for concurrent use.
type certificates struct {
	mu     sync.Mutex
	set    config.TLS
	pair   *tls.Certificate
	pool   *x509.CertPool // nil: clients need no certificate
	stamp  [2]time.Time
	looked time.Time
}

func newCertificates(set config.TLS) (*certificates, error) {
	c := &certificates{}
	return c, c.use(set)
}

// use loads the files of set; on error nothing has changed.
func (c *certificates) use(set config.TLS) error {
	stamp := stamps(set)
	pair, err := tls.LoadX509KeyPair(set.Cert, set.Key)
	if err != nil {
		return fmt.Errorf("tls.cert and tls.key: %w", err)
	}
	var pool *x509.CertPool
	if set.ClientCA != "" {
		pem, err := os.ReadFile(set.ClientCA)
		if err != nil {
			return fmt.Errorf("tls.client_ca: %w", err)
		}
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return errors.New("tls.client_ca holds no certificate in PEM form")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set, c.pair, c.pool, c.stamp = set, &pair, pool, stamp
	return nil
}

func stamps(set config.TLS) (s [2]time.Time) {
	for i, f := range []string{set.Cert, set.Key} {
		if st, err := os.Stat(f); err == nil {
			s[i] = st.ModTime()
		}
	}
	return s
}

// config returns the server's settings, made anew for each handshake from
// what is in force.
func (c *certificates) config() *tls.Config {
	base := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pair, pool := c.newest()
		t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: base.NextProtos, Certificates: []tls.Certificate{*pair}}
		if pool != nil {
			t.ClientCAs, t.ClientAuth = pool, tls.RequireAndVerifyClientCert
		}
		return t, nil
	}
	base.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, _ := c.newest()
		return pair, nil
	}
	return base
}

func (c *certificates) newest() (*tls.Certificate, *x509.CertPool) {
	c.mu.Lock()
	set, stamp := c.set, c.stamp
	look := time.Since(c.looked) >= time.Second
	if look {
		c.looked = time.Now()
	}
	c.mu.Unlock()
	if look && stamps(set) != stamp {
		_ = c.use(set) // half-written files: the next look finds them whole
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pair, c.pool
}
