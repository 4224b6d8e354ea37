//go:build !linux

package blackbox

import (
	"net/netip"
	"testing"
)

func fullBacklog(t *testing.T, _ netip.AddrPort) string { t.Skip("Linux only"); return "" }
