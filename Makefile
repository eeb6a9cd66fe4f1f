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

PKGS := openssl libsasl2 libevent_core libconfuse sqlite3 libidn2 jansson libcap-ng libseccomp libunbound
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
	-Wwrite-strings -Wcast-qual -Wpointer-arith -Wundef -Wvla -Wswitch-enum -Wconversion \
	-Wno-sign-conversion -Wnull-dereference -Wimplicit-fallthrough
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DSUBMITD_NO_SANDBOX -DSUBMITD_FAULTS
CFLAGS_faults := -O2 -g -D_FORTIFY_SOURCE=2 -DSUBMITD_FAULTS
LDFLAGS_asan := -fsanitize=address,undefined
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DSUBMITD_VERSION='"$(VERSION)"' -Isubmitd -I. -MMD -MP $(WARN) $(HARDEN) \
	$(CFLAGS_$(VARIANT)) $(if $(filter true 1,$(WERROR)),-Werror) $(CFLAGS)
LIBS = $(shell pkg-config --libs $(PKGS)) -lcrypt -lpthread -ldl

SRCS := $(sort $(wildcard submitd/*.c submitd/*/*.c authbackends/*.c transports/*.c))
MAINS := submitd/main.c submitd/ctl/submitctl.c
LIB_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(MAINS),$(SRCS)))
LIB := $(BUILD)/libsubmitd.a

.PHONY: all
all: $(BUILD)/submitd $(BUILD)/submitctl
	$(Q)ln -sf ../$(BUILD)/submitd submitd/submitd
	$(Q)ln -sf ../$(BUILD)/submitctl submitd/submitctl

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(LIB): $(LIB_OBJS)
	$(if $(Q),@echo "  AR    $@")
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/submitd: $(BUILD)/submitd/main.o $(LIB)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_$(VARIANT)) $(LDHARDEN) -o $@ $^ $(LIBS)

$(BUILD)/submitctl: $(BUILD)/submitd/ctl/submitctl.o $(LIB)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_$(VARIANT)) $(LDHARDEN) -o $@ $^ $(LIBS)

# ---- tests ------------------------------------------------------------------------------------
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
.PRECIOUS: $(BUILD)/%.o
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS_$(VARIANT)) $(LDHARDEN) -o $@ $^ -lcmocka $(LIBS)
# make unit            all of them       make unit T=test_addr   only that one
.PHONY: unit
unit: $(if $(T),$(BUILD)/tests/unit/$(T),$(UNIT))
	$(Q)for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t >$$t.tap 2>&1 && echo "ok $$(basename $$t)" || { cat $$t.tap; echo "not ok $$(basename $$t)"; exit 1; }; done

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
