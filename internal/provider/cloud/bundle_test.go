package cloud

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// A bundle of authorities in the environment is added to the system's, as
// AWS's own tools do.
func TestAWSBundle(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", file)
	if _, err := AWS(AWSOptions{Region: "us-east-1", AccessKey: "a", SecretKey: "b"}); err != nil {
		t.Error(err)
	}
}
