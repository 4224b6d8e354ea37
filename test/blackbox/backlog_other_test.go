//go:build !linux

package blackbox

import "testing"

func fullBacklog(t *testing.T) string { t.Skip("Linux only"); return "" }
