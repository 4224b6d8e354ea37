package config

import "time"

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
		on("webhook", "", "URL that alarms are posted to, as JSON", alarmHookSpec(), func(q *Quality) *Secret { return &q.Webhook }),
	)
}

// alarmHookSpec is the URL of a webhook, empty for none.
func alarmHookSpec() spec[Secret] {
	s := hookSpec()
	read := s.read
	s.read = func(d *decoder, v value, dst *Secret) {
		if v.kind == kindText && v.node.text == "" {
			return
		}
		read(d, v, dst)
	}
	return s
}
