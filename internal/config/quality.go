package config

import (
	"net/url"
	"time"
)

func qualitySpec() spec[Quality] {
	return object(
		on("sample", "0.05", "share of chat answers that are judged by what can be seen of them, one a second of each target at least; 0: off",
			decimal(0, 1), func(q *Quality) *float64 { return &q.Sample }),
		on("eject", "true", "a target whose answers become bad leaves rotation, where others can answer", boolean(), func(q *Quality) *bool { return &q.Eject }),
		on("half_life", "336h", "after which what was learned of a target's answers counts half", span(time.Hour, 366*day), func(q *Quality) *time.Duration { return &q.HalfLife }),
		on("alarm", "", "who is told when answers become worse", alarmSpec(), func(q *Quality) *Quality { return q }),
	)
}

func alarmSpec() spec[Quality] {
	return object(
		on("webhook", "", "URL that alarms are posted to, as JSON", webhookSpec(), func(q *Quality) *Secret { return &q.Webhook }),
	)
}

// webhookSpec is a URL that is posted to. Whoever knows it may post, so it is a
// secret.
func webhookSpec() spec[Secret] {
	doc := schema{Type: "string"}
	return spec[Secret]{doc: doc, read: func(d *decoder, v value, dst *Secret) {
		s, ok := d.line(v)
		if !ok || s == "" {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isHost(u.Hostname()) || u.Fragment != "" {
			d.failf(v, "%s is not a URL that can be posted to: write one such as https://hooks.example/alarm", v.path)
			return
		}
		*dst = Secret(s)
	}}
}
