# SPDX-License-Identifier: GPL-2.0-only
# The only makefile. Everything it builds lands in build/. `make help` lists the targets.

VERSION	  := 0.1.0
ARCH	  := $(shell uname -m | sed 's/arm64/aarch64/')
BPF_ARCH  := $(if $(filter aarch64,$(ARCH)),arm64,x86)
B	  := build
CC	  ?= cc
CLANG	  ?= clang
BPFTOOL	  ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PREFIX	  ?= /usr/local
DESTDIR	  ?=
V	  ?= 0
Q	  := $(if $(filter 1,$(V)),,@)
msg	  = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' '$(1)' '$(2)')

PACKAGES_BUILD := clang llvm bpftool gcc libc6-dev make pkg-config libbpf-dev libelf-dev zlib1g-dev \
	libmicrohttpd-dev libyaml-dev libcap-ng-dev
PACKAGES_TEST  := libcmocka-dev python3 nginx-light wrk curl apache2-utils prometheus redis-server \
	iproute2 libclang-rt-14-dev busybox-static qemu-system-x86 cpio xz-utils zstd lz4 \
	liburing-dev jq
PACKAGES_LINT  := clang-format clang-tidy cppcheck shellcheck

LIBS	  := libbpf libelf zlib libmicrohttpd yaml-0.1 libcap-ng
WARN	  := -Wall -Wextra -Werror -Wshadow
CFLAGS	  ?= -O2 -g
USER_FLAGS = -std=gnu11 $(WARN) -Wformat=2 -Wmissing-prototypes -Wstrict-prototypes -D_GNU_SOURCE \
	-DPLIMSOLL_VERSION='"$(VERSION)"' -Iuser -Iinclude -I$(B)/skel -MMD -MP
BPF_FLAGS  = -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) $(WARN) -Wno-unused-parameter \
	-Ivmlinux/$(ARCH) -Iinclude -Ibpf -MMD -MP
ifneq ($(SANITIZE),)
USER_FLAGS += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer
LDFLAGS	   += -fsanitize=$(SANITIZE)
endif

BPF_SRC	  := $(wildcard bpf/*/*.bpf.c)
BPF_OBJ	  := $(BPF_SRC:bpf/%.bpf.c=$(B)/bpf/%.bpf.o)
SKEL	  := $(BPF_SRC:bpf/%.bpf.c=$(B)/skel/%.skel.h)
USER_SRC  := $(sort $(wildcard user/*/*.c user/*/*/*.c))
USER_OBJ  := $(USER_SRC:%.c=$(B)/%.o)
UNIT_SRC  := $(sort $(wildcard tests/unit/*.c tests/unit/*/*.c))
UNIT_BIN  := $(UNIT_SRC:tests/%.c=$(B)/tests/%)
# Tests of the kernel side as ordinary C, on the pretended kernel of tests/fakes.
FAKE_BIN  := $(patsubst tests/%.c,$(B)/tests/%,$(shell grep -ls '"connection.h"' $(UNIT_SRC)))
TOOL_SRC  := $(sort $(wildcard tests/lib/*.c))
TOOL_BIN  := $(TOOL_SRC:tests/lib/%.c=$(B)/tests/lib/%)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all build run test lint format format-check check fuzz bench verifier vmtest docs install \
	help clean packages packages-test packages-lint unit hooks golden

all: build

##@ The two commands a new user needs
run: packages ## install, build and start the agent on this host (as root)
	$(Q)$(MAKE) --no-print-directory build
	$(Q)exec $(B)/plimsoll agent $(ARGS)

test: packages packages-test ## install, build and run every test (as root)
	$(Q)$(MAKE) --no-print-directory build unit
	$(Q)tests/run.sh

##@ Building
build: $(B)/plimsoll ## build the agent

$(B)/plimsoll: $(B)/user/main.o $(USER_OBJ)
	$(call msg,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs $(LIBS)) -lm -lpthread

$(B)/user/%.o: user/%.c | $(SKEL)
	$(call msg,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(USER_FLAGS) -c -o $@ $<

$(B)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call msg,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_FLAGS) -c -o $@ $<
	$(Q)llvm-strip -g $@ 2>/dev/null || llvm-strip-14 -g $@

$(B)/skel/%.skel.h: $(B)/bpf/%.bpf.o
	$(call msg,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $(notdir $*)_bpf > $@

unit: $(UNIT_BIN) $(TOOL_BIN) ## build the unit tests and the test programs

$(FAKE_BIN): FAKE_FLAGS = -Itests/fakes -Ibpf -Wno-error
$(FAKE_BIN): $(wildcard tests/fakes/*.h tests/fakes/*/*.h bpf/*/*.h bpf/net/*.c)

$(B)/tests/unit/%: tests/unit/%.c $(USER_OBJ)
	$(call msg,TEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(FAKE_FLAGS) $(CFLAGS) $(USER_FLAGS) -Itests -Wno-missing-prototypes \
		$(FAKE_FLAGS) -o $@ $< $(USER_OBJ) \
		$(LDFLAGS) $(shell pkg-config --libs $(LIBS)) -lcmocka -lm -lpthread

$(B)/tests/lib/%: tests/lib/%.c
	$(call msg,TOOL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -std=gnu11 $(WARN) -D_GNU_SOURCE -MMD -MP -o $@ $< -luring -lpthread

packages: ## install what the build needs (Debian 12, as root)
	$(Q)tests/lib/packages.sh $(PACKAGES_BUILD)

packages-test: ## install what the tests need
	$(Q)tests/lib/packages.sh $(PACKAGES_TEST)

packages-lint: ## install what lint and format need
	$(Q)tests/lib/packages.sh $(PACKAGES_LINT)

install: build ## install the agent, man page and unit file below $(DESTDIR)$(PREFIX)
	install -D -m 755 $(B)/plimsoll $(DESTDIR)$(PREFIX)/bin/plimsoll
	install -D -m 644 docs/man/plimsoll.8 $(DESTDIR)$(PREFIX)/share/man/man8/plimsoll.8
	install -D -m 644 deploy/config/plimsoll.yaml $(DESTDIR)/etc/plimsoll/plimsoll.yaml
	install -D -m 644 deploy/systemd/plimsoll.service \
		$(DESTDIR)/etc/systemd/system/plimsoll.service

clean: ## remove build/
	$(Q)rm -rf $(B)

##@ Quality
check: format-check lint test ## what must be green before a change lands

lint: packages-lint build ## layout, include rules, names, clang-tidy, cppcheck, shellcheck
	$(Q)tests/lint/run.sh

format: packages-lint ## reformat our C
	$(Q)tests/lint/format.sh

format-check: packages-lint ## is our C formatted?
	$(Q)tests/lint/format.sh --check

fuzz: build ## fuzz every parser of foreign bytes (FUZZ_SECONDS=20)
	$(Q)tests/fuzz/run.sh

bench: build unit ## throughput with and without the agent, cost per request, memory (as root)
	$(Q)tests/bench/run.sh

verifier: build ## instructions the verifier walked, per program, against the record (as root)
	$(Q)tests/bench/verifier.sh

vmtest: build unit ## the kernel and HTTP tests on Debian kernels under QEMU (KERNEL=6.1 for one)
	$(Q)tests/vm/run.sh $(KERNEL)

docs: build ## regenerate docs/METRICS.md from the series declarations
	$(Q)$(B)/plimsoll metrics-doc > docs/METRICS.md

compile_commands.json: Makefile ## what clangd and clang-tidy read
	$(Q)tests/lint/compile_commands.py

hooks: ## run lint before every commit of this clone
	$(Q)git config core.hooksPath tests/lint/hooks

help: ## this list
	$(Q)awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z_.-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(USER_OBJ:.o=.d) $(B)/user/main.d $(BPF_OBJ:.o=.d) $(UNIT_BIN:=.d) $(TOOL_BIN:=.d)
