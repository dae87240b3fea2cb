# Two commands do everything on a fresh Debian or Ubuntu machine with Go and make:
#   sudo make demo    the main job on a real image, ending in a boot
#   sudo make test    all tests
# sudo drops Go from PATH on many machines, so its usual place is looked at too.
GO      ?= $(shell command -v go || echo /usr/local/go/bin/go)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X imagecustomizer/internal/app.Version=$(VERSION)
BIN      = bin/imagecustomizer
PREFIX  ?= /usr/local
export CGO_ENABLED = 0
export PATH := $(dir $(GO)):$(PATH)

.PHONY: help deps build install package check test test-full demo hostile torture bench fuzz mutants lint deadcode generate clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Install every host program that the tool, the demo and the tests use (root)
	@test/deps.sh

build: ## Build bin/imagecustomizer, a static binary
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/imagecustomizer

install: build ## Install the program below PREFIX (/usr/local); DESTDIR is put before it (root)
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/imagecustomizer

package: build ## Make a Debian package of the program in bin/
	@packaging/deb.sh $(BIN) '$(VERSION)' bin

generate: ## Write docs/configuration.md, docs/cli.md and schema.json from the code
	$(GO) run ./cmd/docs

check: lint deadcode ## go.mod, formatting, lint, code that nothing uses, vet, and the tests that need no root and no tools
	$(GO) mod tidy -diff
	@test -z "$$(gofmt -l cmd internal packaging test)" || { echo "not gofmt'ed:"; gofmt -l cmd internal packaging test; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags root,boot ./...
	$(GO) test ./internal/... ./cmd/...

test: deps build ## All tests: unit, real tools, root, boot in QEMU (root; under 30 minutes on 2 cores)
	@test/run.sh

test-full: deps build ## As test, with the whole matrix instead of a sample (root)
	@FULL=1 test/run.sh

demo: deps build ## Customize a real image with the README's command and boot it (root)
	$(GO) run ./test/demo

hostile: deps build ## Attack what every kind of run touches in an image; writes docs/reports/hostile.md; HOSTILE=files selects one (root; many hours)
	HOSTILE=$${HOSTILE:-all} HOSTILE_REPORT=$$PWD/docs/reports/hostile.md $(GO) test -tags root -run TestGenerated -timeout 100h -v ./test/hostile

torture: deps build ## Kill 300 runs and interrupt 50; writes docs/reports/torture.md (root; hours)
	TORTURE=$${TORTURE:-300,50} TORTURE_REPORT=docs/reports/torture.md $(GO) test -tags root -run TestTorture -timeout 10h ./test/fault

bench: deps build ## Speed against a plain script, as ratios taken in one run (root)
	$(GO) run ./test/bench

fuzz: ## Every fuzz test for FUZZTIME each (10m); NAMES="VHD Fstab" selects some
	@test/fuzz.sh $(NAMES)

mutants: ## Break the rules in test/mutants/list.txt one by one: tests must notice each; WORDS="merge eval" selects lines
	$(GO) run ./test/mutants $(WORDS)

lint: ## golangci-lint with gofumpt, kept in a module of its own
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

deadcode: ## Functions that neither the program nor a test calls
	@$(GO) tool -modfile=tools/go.mod deadcode -tags root,boot -test ./... | awk '{ print; found = 1 } END { exit found }'

clean: ## Remove what was built; cached base images stay
	rm -rf bin
