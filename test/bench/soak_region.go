//go:build linux

package main

import (
	"fmt"
	"strings"
	"syscall"
)

const (
	regionP99   = 50 // ms after the nearest region is lost
	regionsHead = "regions: [near, far]\n"
)

// region loses both targets of the nearest region while load goes on.
func (s *soak) region() error {
	a, err := s.strike(loss{"killed", syscall.SIGKILL}, 4, 2, func(mocks ...string) (*subject, error) {
		return s.startConfigured(func(addr, data string) []byte {
			text := strings.Replace(string(configFile(addr, data, mocks)), "strategy: ordered", "strategy: weighted", 1)
			for i, name := range []string{"a", "b", "c", "d"} {
				text = strings.Replace(text, "\n  "+name+": {", fmt.Sprintf("\n  %s: {region: %s, ", name, []string{"near", "far"}[i/2]), 1)
			}
			return []byte(regionsHead + text)
		})
	})
	if err != nil {
		return err
	}
	p99 := ms(quantile(a.after, 0.99))
	s.put("region", "", "lost", float64(a.early+a.errors))
	s.put("region", "", "p99_ms", p99)
	s.conclude([]bound{
		{"region lost, requests lost", "%.0f", float64(a.early + a.errors), 0},
		{"region lost, p99, ms", "%.1f", p99, regionP99},
	}, fmt.Sprintf("%d requests/s; both targets of the nearest region are killed; vendors take %v", failRate, vendorDelay),
		[]string{"requests", "lost", "p99 before ms", "p99 after ms", "max ms", "calls/request"},
		[][]string{{fmt.Sprint(a.requests), fmt.Sprint(a.errors), fmt.Sprintf("%.1f", ms(quantile(a.before, 0.99))), fmt.Sprintf("%.1f", p99),
			fmt.Sprintf("%.1f", ms(quantile(a.after, 1))), fmt.Sprintf("%.3f", a.callRatio())}})
	return nil
}
