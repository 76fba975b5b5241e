# Latchkey. `make` alone lists the targets; each is documented by the comment behind it.
#
# What a target needs from Debian is looked for by tools/deps and installed if missing, where that is allowed.
# Go decides what is up to date, so programs are always handed to `go build`.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.NOTPARALLEL: # what is needed is installed before anything is built; go build is parallel by itself
GO ?= go

# What is built beside the plain tree: cards that only their maker's module can speak to.
TAGS = -tags pkcs11

# Settled here, not by the machine: the same bytes from any clone, whoever owns it.
BUILD = $(GO) build $(TAGS) -trimpath -buildvcs=false

PROGRAMS = kiosk central ractl cardctl flash run e2e cardsim devmail screens

.PHONY: help
help: ## this list
	@echo 'Latchkey: a kiosk that unlocks smartcards. make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: deps-run build ## try it: kiosk, central, mailbox and virtual cards in this terminal; Ctrl-C ends it
	@exec bin/run

.PHONY: test
test: deps-build ## run every test; a test that is skipped is a failure; the last line counts
	@$(GO) run ./tools/count $(TAGS) -race -timeout 20m ./...

.PHONY: crash
crash: deps-build ## cut the power in the middle of what the kiosk's journal writes, in 20,000 ways and more, and start from what is left
	@$(GO) test -c -o bin/crash ./firmware/journal && bin/crash -test.run TestCrashStates

# SQLite, one file of C translated to Go, is not watched by the race detector here: it would take forty times as long. One unlock
# is played after the other; where goroutines meet, leaving packages out makes the detector see races that are none.
UNLOCKS ?= 100000
SEED ?=
.PHONY: simulate
simulate: deps-build ## the whole system against a seeded adversary, UNLOCKS=100000 and 2,000 with the race detector; SEED=n plays one again
	@$(GO) test -c -o bin/simulate ./cmd/central/internal/simulate
ifeq ($(SEED),)
	@$(GO) test -c -race -gcflags=modernc.org/...=-race=false -o bin/simulate-race ./cmd/central/internal/simulate
	@bin/simulate-race -test.run '^TestSimulate$$' -test.timeout 0 -unlocks 2000 -processes 2
	@bin/simulate -test.run '^TestSimulate$$' -test.timeout 0 -unlocks $(UNLOCKS) -processes 2 -want $(shell expr $(UNLOCKS) / 1000)
else
	@bin/simulate -test.run '^TestSimulate$$' -test.timeout 0 -seed $(SEED)
endif

ONLY ?=
.PHONY: mutants
mutants: deps-build ## put bugs into the code, one at a time, that simulate and crash must notice; ONLY=names, or few for one of each invariant
	@$(GO) run ./tools/mutants -only '$(ONLY)'

.PHONY: e2e
e2e: deps-run build ## walk up as a person would, and ask independent card tools whether it is true; central on SQLite and on PostgreSQL
	@bin/e2e --on sqlite,postgresql

MINUTES ?= 5
.PHONY: soak
soak: deps-run build ## MINUTES of visits, while kiosk and central are killed, 200 times in five, and the network is cut
	@bin/e2e --soak $(MINUTES)

.PHONY: bench
bench: deps-bench deps-image deps-vm bin/central bin/ractl ## run the benchmarks; ends with one line a figure, its aim, and whether it was met
	@$(MAKE) --no-print-directory image BOARD=uefi-arm64 DEBUG=1
	@$(GO) run ./tools/bench

READER ?=
PROFILE ?=
.PHONY: card-smoke
card-smoke: deps-build ## try a real card: READER='its name'; blocks and unblocks it, asks twice, puts passcode and PUK back
	@$(GO) test -c -tags realcard -o bin/card-smoke ./card/pcsc/realcard
	@bin/card-smoke -test.v -reader '$(READER)' -profile '$(PROFILE)'

BOARD ?=
.PHONY: board-smoke
board-smoke: deps-build ## try a real board, with a person before it: BOARD=pi5 or the path of its file; the kiosk must not run
	@$(GO) test -c -tags realboard -o bin/board-smoke ./board/realboard
	@bin/board-smoke -test.v -board '$(BOARD)'

.PHONY: check
check: deps-build ## format, vet, staticcheck, import rules, generated files, a clean tree
	@GO='$(GO)' tools/check

.PHONY: fmt
fmt: ## format the Go code
	gofmt -w $(SOURCES)

.PHONY: generate
generate: deps-build ## make again what is made from something: wire types, pictures of the screens
	$(GO) generate ./firmware/wire/...
	$(MAKE) screens

.PHONY: screens
screens: bin/screens ## make the pictures of the kiosk from the code that draws it
	bin/screens --sheet ui/testdata/kiosk.png --out bin/screens-pictures

ARM64 = GOOS=linux GOARCH=arm64 CC=aarch64-linux-gnu-gcc PKG_CONFIG_PATH=/usr/lib/aarch64-linux-gnu/pkgconfig

.PHONY: arm64
arm64: deps-arm64 ## build the kiosk for 64-bit ARM into bin/arm64/kiosk
	CGO_ENABLED=1 $(ARM64) $(BUILD) -o bin/arm64/kiosk ./cmd/kiosk
	@readelf -h bin/arm64/kiosk | grep -q 'Machine: *AArch64' || { echo 'arm64: bin/arm64/kiosk is not for AArch64' >&2; exit 1; }
	@echo 'arm64: bin/arm64/kiosk is built and linked for AArch64'

.PHONY: vm-test
vm-test: deps-vm arm64 bin/arm64/guest bin/vmtest ## boot Debian's kernel on an emulated board, and check the kiosk on its real drivers; pictures in bin/vm-test
	@bin/vmtest

DEBUG ?=
WIFI ?=
.PHONY: image
image: deps-image bin/mkimage bin/arm64/image/init bin/arm64/image/kiosk ## what a kiosk's medium is flashed with: BOARD=uefi-arm64, pi4 or pi5; DEBUG=1 with a shell on the serial line, WIFI=1 with Wi-Fi and 802.1X
	@GO='$(GO)' bin/mkimage build --board '$(BOARD)' $(if $(DEBUG),--debug) $(if $(WIFI),--wifi)

.PHONY: image-repro
image-repro: deps-image ## make the image of BOARD twice, each time from a clone and without what was built before, and compare every byte
	@GO='$(GO)' tools/repro '$(BOARD)'

LONG ?=
.PHONY: image-test
image-test: deps-run deps-image deps-vm bin/central bin/ractl bin/flash bin/arm64/tpmport bin/imagetest ## boot the image's disk through UEFI and unlock a card on it by touches; LONG=1 for what takes long; pictures in bin/image-test
	@$(MAKE) --no-print-directory image BOARD=uefi-arm64
	@$(MAKE) --no-print-directory image BOARD=uefi-arm64 DEBUG=1
	@$(MAKE) --no-print-directory image BOARD=pi4
	$(if $(LONG),@$(MAKE) --no-print-directory image BOARD=uefi-arm64 WIFI=1)
	@bin/imagetest $(if $(LONG),--long)

.PHONY: flash-test
flash-test: deps-vm ## write to what the kernel calls a disk: loop devices, for which one must be root, and a USB stick of an emulated machine
	@$(GO) run ./tools/count -tags disks -run 'TestLoop|TestStick' ./image/flash

.PHONY: peer-image
peer-image: deps-peer bin/arm64/peer-ready ## make, once, the Debian with systemd that bench measures the image's boot beside; as root, ten minutes and more
	@tools/peer/build

.PHONY: image-lock
image-lock: deps-build bin/mkimage ## pin the newest versions of the image's Debian packages, and show what changed
	@bin/mkimage lock

.PHONY: deb
deb: deps-deb bin/central bin/ractl ## make central's Debian package, and look at its unit's sandbox
	@tools/deb

.PHONY: build
build: $(addprefix bin/,$(PROGRAMS))

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

SOURCES = cmd firmware board card ui image tools

.PHONY: deps-build deps-run deps-bench deps-arm64 deps-deb deps-vm deps-image deps-peer
deps-build deps-run deps-bench deps-arm64 deps-deb deps-vm deps-image deps-peer:
	@tools/deps $(@:deps-%=%)

bin/kiosk bin/central bin/ractl bin/cardctl bin/flash: SOURCE = ./cmd/$(@F)
bin/run bin/e2e bin/screens bin/vmtest bin/mkimage bin/imagetest: SOURCE = ./tools/$(@F)
bin/cardsim bin/devmail: SOURCE = ./tools/$(@F)/cmd
bin/arm64/guest: FORCE
	@CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(BUILD) -o $@ ./tools/qemu/guest
bin/arm64/tpmport: FORCE
	@CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(BUILD) -o $@ ./tools/imagetest/tpmport
bin/arm64/peer-ready: FORCE
	@CGO_ENABLED=1 $(ARM64) $(BUILD) -o $@ ./tools/peer/ready
# Without symbols and what debuggers ask for: that is a third of them.
bin/arm64/image/kiosk: FORCE
	@CGO_ENABLED=1 $(ARM64) $(BUILD) -ldflags='-s -w' -o $@ ./cmd/kiosk
bin/arm64/image/init: FORCE
	@CGO_ENABLED=0 $(ARM64) $(BUILD) -ldflags='-s -w' -o $@ ./cmd/init
bin/%: FORCE
	@$(BUILD) -o $@ $(SOURCE)

.PHONY: FORCE
FORCE:
