# submitd: see README. `make help` lists what can be made.
#
# One non-recursive Makefile: every .c file below submitd/, authbackends/ and
# transports/ is found by itself and compiled into one archive, from which
# submitd, submitctl, the tests and the fuzz targets are linked.

SHELL := /bin/bash
CC ?= gcc
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
# VARIANT: release (default), asan (ASan + UBSan), faults (fs.c can be told to fail)
VARIANT ?= release
BUILD ?= build/$(VARIANT)$(if $(filter clang%,$(notdir $(CC))),-clang)

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=

PKGS := openssl libsasl2 libevent_core libconfuse sqlite3 libidn2 libpcre2-8 libidn libargon2 jansson libcap-ng libseccomp libunbound libcurl ldap lber zlib
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
	-Wwrite-strings -Wcast-qual -Wpointer-arith -Wundef -Wvla -Wswitch-enum -Wconversion \
	-Wno-sign-conversion -Wnull-dereference -Wimplicit-fallthrough
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DSUBMITD_NO_SANDBOX -DSUBMITD_FAULTS
CFLAGS_faults := -O2 -g -D_FORTIFY_SOURCE=2 -DSUBMITD_FAULTS
LDFLAGS_asan := -fsanitize=address,undefined
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DSUBMITD_VERSION='"$(VERSION)"' -Isubmitd -I. -MMD -MP $(WARN) $(HARDEN) \
	$(CFLAGS_$(VARIANT)) $(if $(filter true 1,$(WERROR)),-Werror) $(CFLAGS)
LIBS = $(shell pkg-config --libs $(PKGS)) -lcrypt -lpthread -ldl

SRCS := $(sort $(wildcard submitd/*.c submitd/*/*.c authbackends/*.c transports/*.c))
MAINS := submitd/main.c submitd/ctl/submitctl.c
LIB_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out $(MAINS),$(SRCS)))
LIB := $(BUILD)/libsubmitd.a

.PHONY: all
all: $(BUILD)/submitd $(BUILD)/submitctl
	$(Q)ln -sf ../$(BUILD)/submitd submitd/submitd
	$(Q)ln -sf ../$(BUILD)/submitctl submitd/submitctl

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(LIB): $(LIB_OBJS)
	$(if $(Q),@echo "  AR    $@")
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/submitd: $(BUILD)/obj/submitd/main.o $(LIB)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_$(VARIANT)) $(LDHARDEN) -o $@ $^ $(LIBS)

$(BUILD)/submitctl: $(BUILD)/obj/submitd/ctl/submitctl.o $(LIB)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_$(VARIANT)) $(LDHARDEN) -o $@ $^ $(LIBS)

# ---- helpers of the tests ---------------------------------------------------------------------
TOOLS_CFLAGS := $(WARN)
.PHONY: tools build-asan build-faults build-variant build-replay
tools:
	$(Q)TOOLS_CFLAGS="$(TOOLS_CFLAGS) $(if $(filter true 1,$(WERROR)),-Werror)" tests/lib/build_tools.sh build/tools
# another variant: a make of its own, with the same warnings
build-asan:
	$(Q)$(MAKE) --no-print-directory VARIANT=asan build-variant build-units build-replay
build-faults:
	$(Q)$(MAKE) --no-print-directory VARIANT=faults build-variant
build-variant: $(BUILD)/submitd $(BUILD)/submitctl

# ---- tests ------------------------------------------------------------------------------------
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
.PRECIOUS: $(BUILD)/obj/%.o
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_$(VARIANT)) $(LDHARDEN) -o $@ $^ -lcmocka $(LIBS)
.PHONY: build-units unit packages check demo crash power bench
build-units: $(UNIT)
# make unit            all of them       make unit T=test_addr   those whose names hold that
unit: $(if $(T),$(foreach u,$(UNIT),$(if $(findstring $(T),$(notdir $u)),$u)),$(UNIT))
	$(Q)tests/lib/run_tests.py unit:$(BUILD) $(T)

packages:
	$(Q)tests/lib/packages.sh build test

# JOBS: test files at the same time. E2E_T: only the files whose names hold that word.
check: packages
	$(Q)$(MAKE) --no-print-directory -j$(JOBS_BUILD) all build-units tools
	$(Q)$(MAKE) --no-print-directory -j$(JOBS_BUILD) build-asan build-faults
	$(Q)tests/lib/run_tests.py unit:build/release unit:build/asan corpus:build/asan dialog:build/release \
		e2e:build/release e2e:build/asan kills:$(KILLS)
JOBS_BUILD ?= $(shell nproc)
KILLS ?= 30

demo:
	$(Q)tests/lib/packages.sh build demo
	$(Q)$(MAKE) --no-print-directory -j$(JOBS_BUILD) all tools
	$(Q)tests/demo.sh

# make crash N=300
N ?= 300
crash: tools build-faults
	$(Q)tests/crash/kills.py $(N)
power: tools build-faults
	$(Q)tests/crash/power.sh

# make bench ARGS="T2 --short"
bench: all tools
	$(Q)tests/perf/bench.py $(ARGS)

# ---- fuzzing ----------------------------------------------------------------------------------
# make fuzz                      every target in turn, SECONDS_EACH seconds each
# make fuzz T=fuzz_addr          one
FUZZ := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
SECONDS_EACH ?= 60
FUZZ_BUILD := build/fuzz
FUZZ_CC := clang
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
.PHONY: fuzz fuzz-one
fuzz:
	$(Q)for t in $(or $(T),$(FUZZ)); do $(MAKE) --no-print-directory CC=$(FUZZ_CC) BUILD=$(FUZZ_BUILD) VARIANT=fuzz \
		fuzz-one T=$$t || exit 1; done
CFLAGS_fuzz := $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -DSUBMITD_NO_SANDBOX -DSUBMITD_FAULTS
LDFLAGS_fuzz := $(FUZZ_FLAGS)
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_$(VARIANT)) -fsanitize=fuzzer -pie -o $@ $^ $(LIBS)
fuzz-one: $(BUILD)/tests/fuzz/$(T)
	$(Q)mkdir -p $(BUILD)/found/$(T)
	$(Q)corpus=tests/fuzz/corpus/$(patsubst fuzz_%,%,$(T)); mkdir -p $$corpus; \
	dict=tests/fuzz/$(patsubst fuzz_%,%,$(T)).dict; \
	ASAN_OPTIONS=detect_leaks=$(if $(filter fuzz_conf%,$(T)),0,1) $< -max_total_time=$(SECONDS_EACH) -max_len=65536 \
		-timeout=10 -rss_limit_mb=2048 -print_final_stats=0 -artifact_prefix=$(BUILD)/found/$(T)- \
		$$([ -e $$dict ] && echo -dict=$$dict) $(BUILD)/found/$(T) $$corpus
# the corpus alone, with any compiler
REPLAY := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/fuzz/replay_%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
$(BUILD)/tests/fuzz/replay_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/lib/replay_main.o $(LIB)
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_$(VARIANT)) $(LDHARDEN) -o $@ $^ $(LIBS)
build-replay: $(REPLAY)

# ---- analysis ---------------------------------------------------------------------------------
C_FILES = $(shell git ls-files '*.c' '*.h')
.PHONY: lint lint-deep format cov
lint:
	$(Q)tests/lib/packages.sh build lint
	$(Q)tests/lib/run_tests.py lint
lint-deep:
	$(Q)tests/lib/packages.sh build lint
	$(Q)$(MAKE) --no-print-directory BUILD=build/analyzer CFLAGS="-fanalyzer" all
	$(Q)cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr -Isubmitd -I. \
		--suppress=missingIncludeSystem submitd authbackends transports
format:
	$(Q)clang-format -i $(C_FILES)
cov:
	$(Q)$(MAKE) --no-print-directory BUILD=build/cov CFLAGS="--coverage -O0" LDFLAGS_release=--coverage build-units all
	$(Q)tests/lib/run_tests.py unit:build/cov e2e:build/cov || true
	$(Q)gcov -n -o . $$(find build/cov -name '*.gcda' | grep -v tests/) 2>/dev/null | tail -1

# ---- installation -----------------------------------------------------------------------------
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
SYSUSERSDIR ?= /usr/lib/sysusers.d
TMPFILESDIR ?= /usr/lib/tmpfiles.d
.PHONY: install clean help
install: all
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man{5,7,8} $(DESTDIR)$(SYSCONFDIR)/submitd \
		$(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(TMPFILESDIR) $(DESTDIR)$(SYSCONFDIR)/logrotate.d
	install -m 755 $(BUILD)/submitd $(DESTDIR)$(SBINDIR)/submitd
	install -m 755 $(BUILD)/submitctl $(DESTDIR)$(BINDIR)/submitctl
	for m in submitd/*.[578]; do install -m 644 $$m $(DESTDIR)$(MANDIR)/man$${m##*.}/ || exit 1; done
	for f in submitd.conf submitd.conf.minimal; do \
		install -m 640 etc/$$f $(DESTDIR)$(SYSCONFDIR)/submitd/$$f.sample || exit 1; done
	sed 's,@SBINDIR@,$(SBINDIR),g' etc/submitd.service >$(DESTDIR)$(UNITDIR)/submitd.service
	install -m 644 etc/submitd.socket $(DESTDIR)$(UNITDIR)/submitd.socket
	install -m 644 etc/submitd.sysusers $(DESTDIR)$(SYSUSERSDIR)/submitd.conf
	install -m 644 etc/submitd.tmpfiles $(DESTDIR)$(TMPFILESDIR)/submitd.conf
	install -m 644 etc/submitd.logrotate $(DESTDIR)$(SYSCONFDIR)/logrotate.d/submitd
clean:
	rm -rf build build-* submitd/submitd submitd/submitctl
help:
	@echo "make            build submitd and submitctl"
	@echo "make demo       build, run on loopback, send a message, explain a refusal"
	@echo "make check      build and run all tests            (12 minutes at most on two cores)"
	@echo "make unit T=x   unit tests, or only one"
	@echo "make install DESTDIR=... PREFIX=/usr/local"
	@echo "make lint, lint-deep, format, cov"
	@echo "make fuzz SECONDS_EACH=60 [T=fuzz_x]"
	@echo "make crash N=300, make power, make bench           (too long for CI)"

ifneq ($(wildcard $(BUILD)),)
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
endif
