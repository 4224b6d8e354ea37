# Everything here works on a fresh machine that has Go.

GO ?= go

.PHONY: run test check bench soak

run: ## the demo: gateway and simulated vendors on 127.0.0.1:8080
	$(GO) run ./cmd/sluice demo

test: ## all tests: units with the race detector, the real binary with real SDKs
	$(GO) vet ./...
	$(GO) test -race ./...
	cd test && $(GO) vet ./... && $(GO) test -timeout 8m ./...

check: ## format, vet (also for darwin and windows), staticcheck, short tests; under 90 s
	@test -z "$$(gofmt -l cmd internal test)" || { gofmt -l cmd internal test; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -short ./...

bench: ## ratios against a bare reverse proxy in the same run; wants a quiet machine
	cd test && $(GO) run ./bench

soak: ## long faults, reloads and races
	SLUICE_SOAK=1 $(GO) test -race -count=1 -timeout 60m ./internal/upstream ./internal/app
