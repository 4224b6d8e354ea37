package route

import (
	"regexp"
	"strings"

	"github.com/sluicegate/sluice/internal/route/learned"
)

// ruleTask is a task with the patterns that tell it.
type ruleTask struct {
	name     string
	patterns []*regexp.Regexp
}

// ruleTasks are tried in this order; of tasks that fit equally the first counts.
var ruleTasks = []ruleTask{
	rule("coding", `write.*code`, `implement.*function`, `debug`, `refactor`),
	rule("reasoning", `explain.*why`, `analyze`, `compare`, `evaluate`),
	rule("creative", `write.*story`, `generate.*content`, `brainstorm`),
	rule("analysis", `summarize`, `extract.*data`, `analyze.*document`),
}

func rule(name string, patterns ...string) ruleTask {
	t := ruleTask{name: name}
	for _, p := range patterns {
		t.patterns = append(t.patterns, regexp.MustCompile(p))
	}
	return t
}

// Rules classifies a prompt by patterns over its text in lower case: the task
// with the largest share of patterns that fit, and that share; General and 0
// where none fits. It has no skill in choosing models (its APGR is that of a
// random choice) and serves those who want to read why.
func Rules(prompt string) (task string, confidence float64) {
	prompt = strings.ToLower(prompt)
	task = learned.General
	for _, t := range ruleTasks {
		n := 0
		for _, p := range t.patterns {
			if p.MatchString(prompt) {
				n++
			}
		}
		if share := float64(n) / float64(len(t.patterns)); share > confidence {
			task, confidence = t.name, share
		}
	}
	return task, confidence
}
