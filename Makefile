# SPDX-License-Identifier: ISC
#
# make                 build/nmnotify
# make demo            see it work, on a loopback port
# make check           all tests; installs what they need, if it may
# make check-unit      the unit tests alone
# make check-long      millions of corruptions, ten thousand kills, larger models: half an hour
# make bench           what a connection costs, and what else it could cost; likewise. bench-quick: ratios
# make lint            all analysers; installs likewise
# make fuzz TIME=60    fuzzes each target for so many seconds; needs clang
# make coverage        which lines of src/ the tests reach; needs clang, and llvm's tools
# make cross           builds for other architectures and runs the unit tests there; likewise
# make install         DESTDIR= PREFIX= SYSCONFDIR= SYSTEMDUNITDIR= SYSTEMDUSERUNITDIR= SYSTEMD_VERSION= ...
# make uninstall       the same; leaves the configuration
# make CROSS=aarch64-linux-gnu- BUILD=build/aarch64

VERSION := 0.1.0

PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/nmnotify
SYSCONFDIR ?= /etc
SYSTEMDUNITDIR ?= $(shell pkg-config --variable=systemdsystemunitdir systemd 2>/dev/null || echo /lib/systemd/system)
SYSTEMDUSERUNITDIR ?= $(shell pkg-config --variable=systemduserunitdir systemd 2>/dev/null || echo /usr/lib/systemd/user)
SYSTEMD_VERSION ?= $(shell pkg-config --modversion systemd 2>/dev/null || systemctl --version 2>/dev/null | sed -n 's/^systemd \([0-9]*\).*/\1/p')
SYSUSERSDIR ?= $(shell pkg-config --variable=sysusersdir systemd 2>/dev/null || echo /usr/lib/sysusers.d)
TMPFILESDIR ?= $(shell pkg-config --variable=tmpfilesdir systemd 2>/dev/null || echo /usr/lib/tmpfiles.d)
INSTALL ?= install
BUILD ?= build
HOSTCC ?= cc
STRIP ?= $(CROSS)strip
MUSL_GCC := $(shell command -v musl-gcc)

# musl makes the smaller and quicker static program; without it the compiler's own libc does.
ifeq ($(origin CC),default)
CC := $(if $(CROSS),$(CROSS)gcc,$(if $(MUSL_GCC),musl-gcc,cc))
endif

# What not every compiler has: gcc has all of it from 12 on, clang from 16 on.
has_option = $(shell $(1) -Werror $(2) -x c -S -o /dev/null /dev/null 2>/dev/null && echo $(2))
harden = $(foreach option,-fstack-clash-protection -ftrivial-auto-var-init=zero,$(call has_option,$(1),$(option)))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Werror
OPTIMISE ?= -Os
HARDEN := -fstack-protector-strong -fPIE $(if $(filter -O0,$(OPTIMISE)),,-D_FORTIFY_SOURCE=2) $(call harden,$(CC))
# The same bytes, and so the same build ID, wherever the source and $(BUILD) are.
PLACES := -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(BUILD)=build -ffile-prefix-map=$(abspath $(BUILD))=build
DEFINES := -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DCONF_FILE='"$(SYSCONFDIR)/nmnotify.conf"'
COMPILE_FLAGS = -std=c11 $(OPTIMISE) -g $(PLACES) $(WARNINGS) $(HARDEN) -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables \
	$(LTO) -DCLOCK_SELDOM $(DEFINES) $(LIBC_INCLUDES) $(EXTRA) $(CFLAGS)
LINK_FLAGS = -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,-z,separate-code $(LDFLAGS)
# What a start costs is mostly pages, each a fault of a microsecond or two: code and constants in one
# segment instead of three, and all that is written at every start in one page (src/layout.h). musl's
# start-up code does not apply RELRO to a static program. In nmnotifyd relocations_guard() does, which
# lives long; the handler's few addresses of functions are not worth a system call and two pages at each
# start, and without them the gap in the file would be for nothing.
LAYOUT = -Wl,-z,noseparate-code,--sort-section=name$(if $(STATIC_END),$(comma)-z$(comma)norelro)
comma := ,

# Debian's musl-gcc is gcc with a spec file that knows dynamic programs only: -static-pie would
# leave an interpreter in the file and start it with the wrong crt. It hides the kernel's headers,
# too; behind musl's own they do no harm.
ifneq ($(filter %musl-gcc,$(firstword $(CC))),)
MUSL_DIR := $(dir $(shell sed -n 's/.*-specs "\([^"]*\)".*/\1/p' "$(shell command -v $(firstword $(CC)))"))
MULTIARCH := $(shell $(CC) -print-multiarch)
LIBC_INCLUDES := -idirafter /usr/include/$(MULTIARCH) -idirafter /usr/include
STATIC_PIE := -nostartfiles $(addprefix $(MUSL_DIR),rcrt1.o crti.o) -Wl,-static,-pie,--no-dynamic-linker,-z,text
STATIC_END := $(addprefix $(MUSL_DIR),crtn.o)
LTO := -flto
else
# glibc has it for some architectures only (for arm not); a static program that is not
# position-independent is the next best.
STATIC_PIE := $(if $(filter /%,$(shell $(CC) -print-file-name=rcrt1.o)),-static-pie,-static)
endif
# For sanitizers, which need a dynamic program: make STATIC=no
ifeq ($(STATIC),no)
STATIC_PIE := -pie
endif

CORE := action advice check conf confine connection decision executable limiter line log program shadow siphash source \
	state text turn users variable verdict
CORE_OBJECTS := $(CORE:%=$(BUILD)/%.o) $(BUILD)/policies.o
POLICIES := $(addprefix src/policy/,mail.policy local.policy none.policy)
TARGET := $(shell $(CC) -dumpmachine)

Q := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-7s %s\n' '$(1)' '$(2)')

PROGRAMS := nmnotify nmnotifyd

all: $(PROGRAMS:%=$(BUILD)/%)

$(BUILD)/nmnotify: $(BUILD)/nmnotify.o $(CORE_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) $(STATIC_PIE) $(LINK_FLAGS) $(LAYOUT) -o $@ $^ $(STATIC_END)

$(BUILD)/%.o: src/%.c | $(BUILD)
	$(call say,CC,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/policies.o: $(BUILD)/policies.c
	$(call say,CC,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) -Isrc/policy -c -o $@ $<

# Compiled on the machine that builds, for the machine that will run it.
$(BUILD)/policies.c: $(BUILD)/policy-compile $(wildcard src/policy/*.policy)
	$(call say,POLICY,$@)
	$(Q)$(BUILD)/policy-compile $(TARGET) $(POLICIES) > $@.new && mv $@.new $@

$(BUILD)/policy-compile: src/policy/compile.c | $(BUILD)
	$(call say,HOSTCC,$@)
	$(Q)$(HOSTCC) -std=c11 -O1 -g $(WARNINGS) -o $@ $< -lseccomp

$(BUILD):
	$(Q)mkdir -p $@

# ---- nmnotifyd ----

# The service is a program of the system's own libc, for libsystemd. SYSTEMD=no does without it, as
# a cross build does unless told that the target's is there: then it is static, like the handler.
SYSTEMD ?= $(if $(CROSS),no,yes)
ifeq ($(SYSTEMD),no)
DAEMON_CC ?= $(CC)
DAEMON_PIE = $(STATIC_PIE)
DAEMON_END = $(STATIC_END)
else
DAEMON_CC ?= $(if $(CROSS),$(CROSS)gcc,$(HOSTCC))
DAEMON_PIE = -pie
DAEMON_END = -lsystemd
endif
DAEMON := generation network network_main runner service share nmnotifyd
DAEMON_OBJECTS := $(addprefix $(BUILD)/daemon/,$(DAEMON:%=%.o) $(CORE:%=%.o) policies.o network-policies.o)
DAEMON_HARDEN := $(if $(filter $(CC),$(DAEMON_CC)),$(HARDEN),$(filter-out $(call harden,$(CC)),$(HARDEN)) $(call harden,$(DAEMON_CC)))
# It is there to be quick, not small.
DAEMON_FLAGS = -std=c11 $(OPTIMISE:-Os=-O2) -g $(PLACES) $(WARNINGS) $(DAEMON_HARDEN) $(DEFINES) \
	$(if $(filter no,$(SYSTEMD)),$(LIBC_INCLUDES),-DWITH_SYSTEMD) $(EXTRA) $(CFLAGS)

$(BUILD)/nmnotifyd: $(DAEMON_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) $(DAEMON_PIE) $(LINK_FLAGS) -o $@ $^ $(DAEMON_END)

$(BUILD)/daemon/%.o: src/%.c | $(BUILD)/daemon
	$(call say,CC,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/daemon/policies.o: $(BUILD)/policies.c | $(BUILD)/daemon
	$(call say,CC,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -Isrc/policy -c -o $@ $<

$(BUILD)/daemon/network-policies.o: $(BUILD)/network-policies.c | $(BUILD)/daemon
	$(call say,CC,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -Isrc/policy -Dpolicies=network_policies \
		-Dpolicies_count=network_policies_count -c -o $@ $<

# Not one that a configuration could name.
$(BUILD)/network-policies.c: $(BUILD)/policy-compile src/policy/network.policy
	$(call say,POLICY,$@)
	$(Q)$(BUILD)/policy-compile $(TARGET) src/policy/network.policy > $@.new && mv $@.new $@

$(BUILD)/daemon:
	$(Q)mkdir -p $@

# ---- Installing ----

PAGES := $(wildcard man/*.[1-9])
UNITS := nmnotify.socket nmnotify@.service $(if $(filter no,$(SYSTEMD)),,nmnotifyd.socket nmnotifyd.service)
# What only younger systemds know is in drop-ins; older ones would warn of it.
since = $(shell [ '$(firstword $(subst ., ,$(SYSTEMD_VERSION)))' -ge $(1) ] 2>/dev/null && echo yes)
DROPINS := $(if $(call since,253),$(patsubst %,%.d/notify-reload.conf,$(filter nmnotifyd.service,$(UNITS)))) \
	$(if $(call since,254),$(patsubst %,%.d/restart-steps.conf,$(filter nmnotifyd.service,$(UNITS)))) \
	$(if $(call since,255),$(patsubst %,%.d/poll-limit.conf,$(filter %.socket,$(UNITS))))
# Text files: from where, a colon, to where.
TEXTS := $(foreach page,$(PAGES),$(page):$(MANDIR)/man$(patsubst .%,%,$(suffix $(page)))/$(notdir $(page))) \
	$(foreach unit,$(UNITS),units/$(unit):$(SYSTEMDUNITDIR)/$(unit)) \
	$(foreach unit,$(UNITS),units/user/$(unit):$(SYSTEMDUSERUNITDIR)/$(unit)) \
	$(foreach dropin,$(DROPINS),$(foreach directory,$(SYSTEMDUNITDIR) $(SYSTEMDUSERUNITDIR), \
		units/$(notdir $(dropin)):$(directory)/$(dropin))) \
	units/nmnotify.sysusers:$(SYSUSERSDIR)/nmnotify.conf \
	units/nmnotify.tmpfiles:$(TMPFILESDIR)/nmnotify.conf \
	units/inetd.conf:$(DOCDIR)/inetd.conf units/xinetd:$(DOCDIR)/xinetd \
	units/nmnotify.conf:$(DOCDIR)/nmnotify.conf.example
from = $(firstword $(subst :, ,$(1)))
to = $(DESTDIR)$(lastword $(subst :, ,$(1)))

# The empty line ends the commands of one file.
define install_text
$(call say,INSTALL,$(call to,$(1)))
$(Q)$(INSTALL) -D -m 644 $(call from,$(1)) $(call to,$(1))
$(Q)sed -i 's,@SBINDIR@,$(SBINDIR),g' $(call to,$(1))

endef

install: all
	$(call say,INSTALL,$(PROGRAMS:%=$(DESTDIR)$(SBINDIR)/%))
	$(Q)$(INSTALL) -d $(DESTDIR)$(SBINDIR)
	$(Q)$(INSTALL) -m 755 -s --strip-program=$(STRIP) $(PROGRAMS:%=$(BUILD)/%) $(DESTDIR)$(SBINDIR)
	$(foreach text,$(TEXTS),$(call install_text,$(text)))
	$(Q)[ -e $(DESTDIR)$(SYSCONFDIR)/nmnotify.conf ] || \
		$(INSTALL) -D -m 644 units/nmnotify.conf $(DESTDIR)$(SYSCONFDIR)/nmnotify.conf

uninstall:
	rm -f $(PROGRAMS:%=$(DESTDIR)$(SBINDIR)/%) $(foreach text,$(TEXTS),$(call to,$(text)))
	$(Q)$(if $(DROPINS),rmdir $(addprefix $(DESTDIR),$(foreach directory,$(SYSTEMDUNITDIR) $(SYSTEMDUSERUNITDIR),$(patsubst %/,$(directory)/%,$(dir $(DROPINS))))) 2>/dev/null || :)

# ---- Tests ----

# What runs on the machine that tests is dynamic and of the host's libc: cmocka, the sanitizers and
# valgrind want it so. When cross compiling, unit tests are for the target.
TEST_CC := $(if $(CROSS),$(CROSS)gcc,$(HOSTCC))
TEST_FLAGS = -std=c11 -O1 -g $(WARNINGS) $(DEFINES) -Isrc $(EXTRA) $(CFLAGS)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
HELPERS := $(patsubst tests/integration/%.c,$(BUILD)/tests/%,$(wildcard tests/integration/*.c)) \
	$(patsubst tests/systemd/%.c,$(BUILD)/tests/%,$(wildcard tests/systemd/*.c)) \
	$(BUILD)/tests/corrupt $(BUILD)/tests/storm $(addprefix $(BUILD)/bench/,spawn empty hosted stamp)
SCRIPTS := $(wildcard tests/integration/*.t tests/fuzz/*.t tests/model/*.t tests/systemd/*.t tests/bench/*.t)
# With LONG=1 these go on for as long as it is worth while.
LONG_SCRIPTS := tests/fuzz/fuzz.t tests/fuzz/corrupt.t tests/integration/storm.t tests/model/model.t
QUICK_SCRIPTS := $(patsubst %,tests/integration/%.t,conf line silence state turn)
PROVE := BUILD=$(abspath $(BUILD)) CMOCKA_MESSAGE_OUTPUT=TAP prove $(PROVEFLAGS)

demo:
	$(Q)tests/demo

.PHONY: demo

# Packages first: what they bring changes what this file finds out when it is read.
check:
	$(Q)tests/packages build test
	$(Q)$(MAKE) --no-print-directory all test-programs fuzz-programs
	$(Q)$(PROVE) --exec tests/tap $(UNIT_TESTS) $(SCRIPTS)

check-long:
	$(Q)tests/packages build test fuzz
	$(Q)$(MAKE) --no-print-directory all test-programs fuzz-programs
	$(Q)LONG=1 $(PROVE) $(LONG_SCRIPTS)

# Under something else: make check-unit UNDER='valgrind --quiet'
check-unit: $(UNIT_TESTS)
	$(Q)$(PROVE) --exec 'tests/tap $(UNDER)' $(UNIT_TESTS)

test-programs: $(UNIT_TESTS) $(HELPERS)

$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/host/core.a | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -MMD -MP -o $@ $< $(BUILD)/host/core.a $(LDFLAGS) -lcmocka -pthread

$(BUILD)/tests/%: tests/integration/%.c | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(HOSTCC) -std=c11 -O1 -g $(WARNINGS) -o $@ $< $(HELPER_FLAGS)

$(BUILD)/tests/syscalls $(BUILD)/tests/refuse: HELPER_FLAGS = -lseccomp
$(BUILD)/tests/newer.so: HELPER_FLAGS = -shared -fPIC -ldl

# The real service, but for its network process.
$(BUILD)/tests/taken_over: tests/integration/taken_over.c $(BUILD)/nmnotifyd
	$(call say,TEST,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -MMD -MP -Wno-nonnull -Isrc $(DAEMON_PIE) $(LINK_FLAGS) -o $@ $< \
		$(filter-out %/network.o,$(DAEMON_OBJECTS)) $(DAEMON_END)

$(BUILD)/tests/%: tests/systemd/%.c | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(HOSTCC) -std=c11 -O2 -g $(WARNINGS) -static -o $@ $<

$(BUILD)/tests/corrupt $(BUILD)/tests/storm: $(BUILD)/tests/%: tests/fuzz/%.c $(BUILD)/host/core.a | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -MMD -MP -o $@ $< $(BUILD)/host/core.a $(LDFLAGS)

# An archive, so that a test that includes a source file gets its functions from there alone.
$(BUILD)/host/core.a: $(CORE:%=$(BUILD)/host/%.o) $(BUILD)/host/policies.o
	$(Q)rm -f $@ && $(CROSS)ar rcs $@ $^

$(BUILD)/host/%.o: src/%.c | $(BUILD)/host
	$(call say,TESTCC,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/host/policies.o: $(BUILD)/policies.c | $(BUILD)/host
	$(call say,TESTCC,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -Isrc/policy -c -o $@ $<

$(BUILD)/host $(BUILD)/tests/unit:
	$(Q)mkdir -p $@

# ---- Benchmarks ----

BENCH_DESIGNS := $(addprefix nmnotify-,dynamic libsystemd libseccomp)
BENCH_PROGRAMS := $(addprefix $(BUILD)/bench/,spawn empty hosted stamp stages limiter attack $(BENCH_DESIGNS) nmnotify-fixed \
	static/nmnotifyd)

bench bench-quick:
	$(Q)tests/packages build bench
	$(Q)$(MAKE) --no-print-directory all test-programs bench-programs
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/bench $(patsubst bench%,%,$(subst -,,$@))

bench-programs: $(BENCH_PROGRAMS)

$(BUILD)/bench/spawn: tests/bench/spawn.c | $(BUILD)/bench
	$(call say,BENCH,$@)
	$(Q)$(HOSTCC) -std=c11 -O2 -g $(WARNINGS) -static -o $@ $<

$(BUILD)/bench/empty: tests/bench/empty.c | $(BUILD)/bench
	$(call say,BENCH,$@)
	$(Q)$(HOSTCC) -std=c11 -Os $(WARNINGS) -fno-pie -static -nostdlib -fno-stack-protector -o $@ $<

$(BUILD)/bench/hosted: tests/bench/empty.c | $(BUILD)/bench
	$(call say,BENCH,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) -DHOSTED $(STATIC_PIE) $(LINK_FLAGS) $(LAYOUT) -o $@ $< $(STATIC_END)

$(BUILD)/bench/stamp: tests/bench/stamp.c | $(BUILD)/bench
	$(call say,BENCH,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) $(STATIC_PIE) $(LINK_FLAGS) $(LAYOUT) -o $@ $< $(STATIC_END)

# The handler, to end behind the step of its main() whose letter is the last of the program's name.
$(BUILD)/bench/stages: $(BUILD)/bench/stages.c $(CORE_OBJECTS)
	$(call say,BENCH,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) -Isrc $(STATIC_PIE) $(LINK_FLAGS) $(LAYOUT) -o $@ $^ $(STATIC_END)

$(BUILD)/bench/stages.c: src/nmnotify.c tests/bench/stages.awk | $(BUILD)/bench
	$(Q)awk -f tests/bench/stages.awk $< > $@

$(BUILD)/bench/static/nmnotifyd: $(wildcard src/*.[ch] src/policy/*)
	$(Q)$(MAKE) -s BUILD=$(BUILD)/bench/static SYSTEMD=no $@

# As in nmnotifyd, which decides much more often than a handler does.
$(BUILD)/bench/attack: BENCH_FLAGS = -Wl,--wrap=clock_gettime
$(BUILD)/bench/limiter $(BUILD)/bench/attack: $(BUILD)/bench/%: tests/bench/%.c \
		$(addprefix $(BUILD)/daemon/,$(CORE:%=%.o) policies.o) | $(BUILD)/bench
	$(call say,BENCH,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -Isrc $(BENCH_FLAGS) -pie $(LINK_FLAGS) -o $@ $^ -pthread

# The handler, but always at the same address.
$(BUILD)/bench/nmnotify-fixed: $(BUILD)/nmnotify
	$(call say,BENCH,$@)
	$(Q)$(MAKE) -s BUILD=$(BUILD)/bench/fixed HARDEN='$(HARDEN:-fPIE=-fno-pie)' STATIC_PIE='-static -no-pie' STATIC_END= \
		LAYOUT='$(LAYOUT)' $(BUILD)/bench/fixed/nmnotify
	$(Q)cp $(BUILD)/bench/fixed/nmnotify $@

# The designs that were not chosen: the same handler, dynamic, and with each of the libraries.
DYNAMIC_OBJECTS := $(addprefix $(BUILD)/bench/dynamic/,nmnotify.o $(CORE:%=%.o) policies.o)

bench-dynamic:
	$(Q)$(MAKE) -s BUILD=$(BUILD)/bench/dynamic CC=$(HOSTCC) STATIC=no $(BUILD)/bench/dynamic/nmnotify

$(BUILD)/bench/nmnotify-libsystemd: BENCH_FLAGS = -Wl,--no-as-needed -lsystemd
$(BUILD)/bench/nmnotify-libseccomp: BENCH_FLAGS = -Isrc -Isrc/policy -Wl,--wrap=confine -lseccomp \
	-DNAMES='$(shell sed -n 's/^allow \([a-z0-9_]*\).*/"\1",/p' src/policy/always.policy src/policy/programs.policy \
		src/policy/mail.policy)'
$(BUILD)/bench/nmnotify-libseccomp: tests/bench/variants.c
$(BENCH_DESIGNS:%=$(BUILD)/bench/%): bench-dynamic
	$(call say,BENCH,$@)
	$(Q)$(HOSTCC) $(COMPILE_FLAGS) -pie $(LINK_FLAGS) -o $@ $(filter %.c,$^) $(DYNAMIC_OBJECTS) $(BENCH_FLAGS)

$(BUILD)/bench:
	$(Q)mkdir -p $@

.PHONY: bench bench-quick bench-programs bench-dynamic

# ---- Fuzzing ----

# The targets need clang's libFuzzer. Where it is missing they are not built, and not run.
FUZZ_CC ?= clang
FUZZ := line conf source connection users network request state policy
FUZZ_FLAGS = -std=c11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all $(WARNINGS) $(DEFINES) -Isrc \
	$(EXTRA)
FUZZ_CORE := $(addprefix $(BUILD)/fuzz/core/,$(CORE:%=%.o) generation.o network.o runner.o service.o share.o policies.o)
FUZZ_PROBE := int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long); \
	int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long s) { return d == 0 && s; }

# make fuzz TIME=600: for so many seconds each
TIME ?= 60

fuzz:
	$(Q)tests/packages build test fuzz
	$(Q)$(MAKE) --no-print-directory fuzz-programs
	$(Q)FUZZ_TIME=$(TIME) $(PROVE) -v tests/fuzz/fuzz.t

fuzz-programs: | $(BUILD)/fuzz/core
	$(Q)if echo '$(FUZZ_PROBE)' | $(FUZZ_CC) -fsanitize=fuzzer,address,undefined -x c -o $(BUILD)/fuzz/probe - \
		2>/dev/null; then $(MAKE) --no-print-directory $(FUZZ:%=$(BUILD)/fuzz/%); fi

$(FUZZ:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzz/core.a
	$(call say,FUZZ,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -Isrc/policy -fsanitize=fuzzer,address,undefined -MMD -MP -o $@ $< \
		$(BUILD)/fuzz/core.a $(FUZZ_LIBRARIES)

$(BUILD)/fuzz/policy: FUZZ_LIBRARIES = -lseccomp

$(BUILD)/fuzz/core.a: $(FUZZ_CORE)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/fuzz/core/%.o: src/%.c | $(BUILD)/fuzz/core
	$(call say,FUZZCC,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/core/policies.o: $(BUILD)/policies.c | $(BUILD)/fuzz/core
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -Isrc/policy -c -o $@ $<

$(BUILD)/fuzz/core:
	$(Q)mkdir -p $@

# ---- Coverage ----

# clang's counters, because they can be a mapped file: they outlive SIGKILL and _exit(2), a confined
# process needs no system call for them, and processes of all users add up.
COVERAGE := $(abspath $(BUILD))/coverage
COVERAGE_FLAGS := -fprofile-instr-generate=$(COVERAGE)/profile/%m%c -fcoverage-mapping -mllvm -runtime-counter-relocation \
	-Wno-unused-command-line-argument

# Tests that fail, for the programs' size or slowness, do not end it.
coverage:
	$(Q)tests/packages build test fuzz
	$(Q)rm -rf $(COVERAGE)/profile && mkdir -p $(COVERAGE)/profile && chmod 1777 $(COVERAGE)/profile
	$(Q)$(MAKE) --no-print-directory BUILD=$(COVERAGE) CC=clang HOSTCC=clang STATIC=no OPTIMISE=-O0 EXTRA='$(COVERAGE_FLAGS)' \
		all test-programs fuzz-programs
	$(Q)clang -std=c11 -O0 -g $(COVERAGE_FLAGS) -o $(COVERAGE)/policy-compile src/policy/compile.c -lseccomp
	$(Q)umask 0 && $(COVERAGE)/nmnotify -V >/dev/null && $(COVERAGE)/nmnotifyd -V >/dev/null
	-$(Q)BUILD=$(COVERAGE) CMOCKA_MESSAGE_OUTPUT=TAP prove $(PROVEFLAGS) --exec tests/tap \
		$(UNIT_TESTS:$(BUILD)/%=$(COVERAGE)/%) $(filter-out tests/systemd/% tests/bench/%,$(SCRIPTS))
	$(Q)tests/coverage $(COVERAGE) | tee $(COVERAGE)/report

# ---- Analysers ----

# Beyond WARNINGS. Not among them, and why: -Wswitch-enum, since `default` is there to be used;
# -Wlogical-op, which takes EAGAIN and EWOULDBLOCK for a mistake.
GCC_WARNINGS := -Walloca -Warith-conversion -Wbad-function-cast -Wcast-align=strict -Wcast-qual \
	-Wdate-time -Wdouble-promotion -Wduplicated-branches -Wduplicated-cond -Wfloat-equal \
	-Wformat-signedness -Wformat=2 -Wimplicit-fallthrough=5 -Winit-self -Wjump-misses-init \
	-Wmissing-prototypes -Wnested-externs -Wnull-dereference -Wold-style-definition \
	-Wpointer-arith -Wstack-usage=16384 -Wstrict-overflow=2 -Wstrict-prototypes -Wswitch-default \
	-Wtrampolines -Wundef -Wunused-macros -Wvla -Wwrite-strings
# All of clang's, minus: layout, C90 and C99; macros, reserved names and struct cmsghdr, which are the
# libc's; `default` in a switch over an enum; and what newer clangs say about every pointer.
CLANG_WARNINGS := -Weverything -Wno-unknown-warning-option -Wno-padded -Wno-declaration-after-statement \
	-Wno-pre-c11-compat \
	-Wno-disabled-macro-expansion -Wno-reserved-macro-identifier -Wno-reserved-identifier -Wno-flexible-array-extensions \
	-Wno-switch-enum -Wno-covered-switch-default -Wno-switch-default -Wno-unsafe-buffer-usage
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SHELL_SCRIPTS := .ci/run tests/demo tests/other-release tests/packages tests/tap

lint:
	$(Q)tests/packages build lint
	$(Q)$(MAKE) --no-print-directory lint-gcc lint-analyzer lint-clang lint-format lint-cppcheck lint-tidy lint-man \
		lint-shell lint-units lint-valgrind lint-sanitize lint-memory

lint-gcc:
	$(call say,LINT,gcc)
	$(Q)$(MAKE) -s BUILD=$(BUILD)/lint/gcc CC=gcc HOSTCC=gcc WARNINGS='$(WARNINGS) $(GCC_WARNINGS)' all

# gcc 12's analyser is wrong about two files: in conf.c it takes a struct that a conditional expression sets
# for unset, and in policy/compile.c it loses sight of what an array keeps.
lint-analyzer:
	$(call say,LINT,gcc -fanalyzer)
	$(Q)printf '%s\n' $(filter-out src/conf.c,$(wildcard src/*.c)) | xargs -I % \
		gcc -std=c11 -O2 -fanalyzer -Werror $(DEFINES) -Isrc -Isrc/policy -c -o /dev/null %

lint-clang:
	$(call say,LINT,clang)
	$(Q)$(MAKE) -s BUILD=$(BUILD)/lint/clang CC=clang HOSTCC=clang WARNINGS='$(WARNINGS) $(CLANG_WARNINGS)' all

lint-format:
	$(call say,LINT,clang-format)
	$(Q)clang-format --dry-run -Werror src/*.[ch] src/policy/*.[ch]

# Variables are declared where a function begins, which cppcheck would have elsewhere; and it does
# not see that text_add() sets the array of TEXT_IN(). Members of the kernel's structs are the kernel's to
# use.
lint-cppcheck:
	$(call say,LINT,cppcheck)
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --enable=warning,style,performance,portability \
		--suppress=missingIncludeSystem --suppress=unusedStructMember --suppress=variableScope --suppress=uninitvar \
		$(DEFINES) -Isrc -Isrc/policy src src/policy

# A process for each file: in one for all, the analyser mixes up their va_lists. On standard error it
# only counts what it has not shown.
lint-tidy:
	$(call say,LINT,clang-tidy)
	$(Q)printf '%s\n' src/*.c src/policy/*.c | xargs -P 2 -I % \
		clang-tidy --quiet % -- -std=c11 $(DEFINES) -Isrc -Isrc/policy 2>/dev/null

lint-man:
	$(call say,LINT,mandoc)
	$(Q)$(if $(PAGES),mandoc -Tlint -W warning $(PAGES))

lint-shell:
	$(call say,LINT,shellcheck)
	$(Q)shellcheck $(SHELL_SCRIPTS)

# As they are installed, where the program is there, too.
lint-units: all
	$(call say,LINT,systemd-analyze)
	$(Q)$(MAKE) -s install DESTDIR=$(abspath $(BUILD))/lint/root PREFIX=/usr SYSTEMDUNITDIR=/lib/systemd/system
	$(Q)cd $(BUILD)/lint/root/lib/systemd/system && sed -i 's,/usr/sbin,$(abspath $(BUILD))/lint/root/usr/sbin,' *.service && \
		systemd-analyze verify --man=no $(UNITS:%=./%)

# Debian 12's valgrind has no pidfd_open(2), which the turn and what is built on it rest on; of that it also complains, which
# is not to be read unless a test fails.
lint-valgrind: LOGS = $(BUILD)/lint/valgrind
lint-valgrind: VALGRIND = valgrind --quiet --leak-check=full --error-exitcode=99 \
	--suppressions=tests/valgrind.supp --log-file=$(LOGS)/%p
lint-valgrind: $(UNIT_TESTS)
	$(call say,LINT,valgrind)
	$(Q)rm -rf $(LOGS) && mkdir -p $(LOGS)
	$(Q)$(MAKE) -s PROVEFLAGS=-Q UNIT_TESTS='$(filter-out %/turn %/decision,$(UNIT_TESTS))' UNDER='$(VALGRIND)' check-unit || \
		{ grep -h '^==' $(LOGS)/*; exit 1; }

lint-sanitize: sanitize-gcc sanitize-clang

# The behaviour tests are slow with it, so those that take longest are left out, and one compiler's
# programs have to do.
sanitize-%: DIR = $(BUILD)/lint/sanitize-$*
sanitize-%:
	$(call say,LINT,$* -fsanitize)
	$(Q)mkdir -p $(DIR) && $* -c -o $(DIR)/sanitizer.o tests/sanitizer.c
	$(Q)$(MAKE) -s BUILD=$(DIR) CC=$* HOSTCC=$* STATIC=no OPTIMISE=-O1 EXTRA='$(SANITIZE) -U_FORTIFY_SOURCE' \
		LDFLAGS=$(DIR)/sanitizer.o all test-programs
	$(Q)$(MAKE) -s BUILD=$(DIR) PROVEFLAGS=-Q check-unit
	$(Q)$(if $(filter gcc,$*),BUILD=$(abspath $(DIR)) prove -Q $(QUICK_SCRIPTS))

# What is read before it was set, which no other sanitizer sees. Without the tests that make thousands of
# processes or go through one an instruction at a time, which takes minutes here, and without the clock's,
# whose margins are milliseconds. There is no -fsanitize=thread: no process has a second thread, and memory
# that processes share it does not watch.
lint-memory: DIR = $(BUILD)/lint/memory
lint-memory:
	$(call say,LINT,clang -fsanitize=memory)
	$(Q)$(MAKE) -s BUILD=$(DIR) CC=clang HOSTCC=clang STATIC=no PROVEFLAGS=-Q \
		EXTRA='-fsanitize=memory -fno-sanitize-recover=all -fno-omit-frame-pointer -U_FORTIFY_SOURCE' \
		UNIT_TESTS='$(patsubst $(BUILD)/%,$(DIR)/%,$(filter-out %/turn %/limiter %/clock,$(UNIT_TESTS)))' check-unit

# ---- Other architectures ----

cross:
	$(Q)tests/packages build cross
	$(Q)$(MAKE) --no-print-directory cross-aarch64-linux-gnu cross-arm-linux-gnueabihf

# The handler, static with glibc, has to start; the unit tests have to pass. qemu knows the machine
# by the triplet's first word.
cross-%: DIR = $(BUILD)/cross/$*
cross-%: ROOT = build/packages/$*
cross-%: QEMU = qemu-$(firstword $(subst -, ,$*))
cross-%:
	$(call say,CROSS,$*)
	$(Q)$(MAKE) -s CROSS=$*- BUILD=$(DIR) all
	$(Q)$(QEMU) $(DIR)/nmnotify -V
	$(Q)$(MAKE) -s CROSS=$*- BUILD=$(DIR) CFLAGS=-I$(ROOT)/usr/include LDFLAGS=-L$(ROOT)/usr/lib/$* \
		UNDER='$(QEMU) -L /usr/$* -E LD_LIBRARY_PATH=$(ROOT)/usr/lib/$*' check-unit

clean:
	rm -rf $(BUILD)

.PHONY: all install uninstall check check-long check-unit test-programs fuzz fuzz-programs coverage cross clean lint lint-gcc lint-clang \
	lint-format lint-cppcheck lint-tidy lint-man lint-shell lint-units lint-valgrind lint-sanitize lint-analyzer lint-memory
.DELETE_ON_ERROR:

-include $(wildcard $(BUILD)/*.d $(addprefix $(BUILD)/,$(addsuffix /*.d,daemon host tests tests/unit fuzz fuzz/core)))
