# Everything here works on a fresh machine that has Go.

GO ?= go

.PHONY: run test check bench soak soak-race

run: ## the demo: gateway and simulated vendors on 127.0.0.1:8080
	$(GO) run ./cmd/sluice demo

test: ## all tests, race detector on: units, then the real binary with real SDKs, then with recorded traffic where $$SLUICE_DATA is set
	./test/setup
	$(GO) vet ./...
	$(GO) test -race ./...
	$(GO) test ./internal/quality ./internal/route/... ./internal/upstream ./internal/experiment
	cd test && $(GO) vet ./...
	cd test && SLUICE_RACE=1 $(GO) test -count=1 -timeout 8m $$($(GO) list ./... | grep -v 'recordings\|blackbox')
	cd test/blackbox && SLUICE_RACE=1 $(GO) test -count=1 -timeout 15m -parallel 6
	cd test/recordings && SLUICE_RACE=1 $(GO) test -count=1 -timeout 8m

check: ## format, vet (also for darwin and windows), staticcheck, short tests; under 90 s
	@bad=$$(gofmt -l cmd internal test); test -z "$$bad" || { echo "not gofmt'ed: $$bad"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	cd test && $(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd test && $(GO) tool -modfile=../go.mod staticcheck ./...
	$(GO) test -short ./...

bench: ## ratios against a bare reverse proxy in the same run; wants a quiet machine
	cd test && $(GO) run ./bench

soak: ## faults, reloads and load for over an hour, with a table of figures; wants a quiet machine. SOAK="-only failover" runs a part
	cd test && $(GO) run ./bench soak $(SOAK)

soak-race: ## the tests of faults again and again, race detector on
	SLUICE_SOAK=1 $(GO) test -race -count=1 -timeout 60m ./internal/upstream
	cd test && SLUICE_SOAK=1 SLUICE_RACE=1 $(GO) test -count=10 -timeout 60m -run 'Fault' ./blackbox
