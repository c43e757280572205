# SPDX-License-Identifier: ISC
#
# make quick           builds; unit tests, a test or two a guarantee, and one of the documents: a minute; no set-up, root or network
# make check           all tests but the next two: seven minutes; installs what they need, if it may
# make check-mail      real fetchers, and mail servers that tell of mail, booted: five minutes; takes root, installs likewise
# make check-image     Debian 12 and 13, booted, and the smallest images: ten minutes; takes root, installs likewise
# make check-image ARCH='i386 s390x'   those alone of: x86-64 i386 arm64 armhf armel riscv64 mipsel s390x
# make check-unit      the unit tests alone: half a minute
# make check-long      millions of corruptions, ten thousand kills, larger models, all in the guest: half an hour
# make coverage        which lines of src/ the tests reach; needs clang, and llvm's tools: ten minutes

# ---- Tests ----

# What runs on the machine that tests is dynamic and of the host's libc: cmocka, the sanitizers and
# valgrind want it so. When cross compiling, unit tests are for the target.
TEST_CC := $(if $(CROSS),$(CROSS)gcc,$(HOSTCC))
TEST_FLAGS = -std=c11 -O1 -g $(WARNINGS) $(DEFINES) $(EXTRA) $(CFLAGS)
# What tests are linked with: all but the programs' own files.
TESTED := $(filter-out %/nmnotify,$(HANDLER)) $(filter sender/%,$(SENDER))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
# The relay's have the names of its files. Its objects are an archive of their own, for its libraries.
RELAY_TESTED := $(filter-out %/nmnotify-relay,$(call sources,relay))
RELAY_TESTS := $(filter $(RELAY_TESTED:relay/%=$(BUILD)/tests/unit/%),$(UNIT_TESTS))
# Of what the relay keeps, as it is compiled for the relay: where a death may come is the compiler's choice. It needs
# no library, and no other file of the relay's.
RELAY_KEEPS := $(patsubst %,$(BUILD)/daemon/relay/%.o,addressee inbox map owed owed_open owed_sending queue records target)
RELAY_DEATHS := $(BUILD)/tests/unit/owed_death
# Likewise what reads the journal, but for the reading itself.
LOGS_TESTED := logs/logins logs/pattern
LOGS_TESTS := $(LOGS_TESTED:logs/%=$(BUILD)/tests/unit/%)
ifeq ($(RELAY),no)
UNIT_TESTS := $(filter-out $(RELAY_TESTS) $(RELAY_DEATHS) $(LOGS_TESTS),$(UNIT_TESTS))
endif
# make check-unit EXCEPT='one another'   all but those
# Said on the command line alone, not in the environment.
EXCEPT :=
UNIT_TESTS := $(filter-out $(EXCEPT:%=$(BUILD)/tests/unit/%),$(UNIT_TESTS))
RELAY_HELPERS := $(addprefix $(BUILD)/tests/,names names_taken relay_taken store)
LOGS_HELPERS := $(BUILD)/tests/logs_taken
HELPERS := $(filter-out $(if $(filter no,$(RELAY)),$(RELAY_HELPERS) $(LOGS_HELPERS)), \
		$(patsubst tests/integration/%.c,$(BUILD)/tests/%,$(wildcard tests/integration/*.c))) \
	$(patsubst tests/systemd/%.c,$(BUILD)/tests/%,$(wildcard tests/systemd/*.c)) \
	$(BUILD)/tests/corrupt $(BUILD)/tests/storm $(addprefix $(BUILD)/bench/,spawn empty hosted stamp relay_load)
# Longest first: others go on beside it.
SCRIPTS := $(wildcard tests/model/*.t tests/integration/*.t tests/fuzz/*.t tests/bench/*.t)
# With LONG=1 these go on for as long as it is worth while.
LONG_SCRIPTS := tests/fuzz/fuzz.t tests/fuzz/corrupt.t tests/integration/storm.t tests/integration/storm_nmnotifyd.t \
	tests/integration/relay_refused.t tests/integration/relay_storm.t tests/model/model.t tests/systemd/guest_scripts.t
# G1, G2 and G4; G3; G5; G6; G7; the configuration; and that tests know all that the documents say to type. The longest
# first.
QUICK_SCRIPTS := $(patsubst %,tests/integration/%.t,state_damaged turn_killed turn_limit turn_waiter silence conf_file) \
	tests/systemd/documents.t
# Most tests wait for something most of the time: twice as many at a time as there are processors.
JOBS := $(shell expr 2 \* $$(nproc))
# $(call prove,BUILD): with the programs that are there. PROVEFLAGS=-j1 is one after the other.
prove = BUILD=$(abspath $(1)) CMOCKA_MESSAGE_OUTPUT=TAP tests/prove -j$(JOBS) --exec='$(strip tests/tap $(UNDER))' $(PROVEFLAGS)
PROVE = $(call prove,$(BUILD))

demo:
	$(Q)tests/demo

quick: all $(UNIT_TESTS) $(BUILD)/tests/recorder
	$(Q)$(PROVE) $(QUICK_SCRIPTS) $(UNIT_TESTS)

# Packages first: what they bring changes what this file finds out when it is read.
check:
	$(Q)tests/packages build test
	$(Q)$(MAKE) --no-print-directory all test-programs fuzz-programs
	$(Q)$(PROVE) $(SCRIPTS) $(UNIT_TESTS)

check-mail: THESE = $(wildcard tests/mail/*.t)
# Containers are of this machine's own architecture.
check-image: ARCH ?= x86-64 arm64 armhf
check-image: THESE = $(wildcard tests/image/*.t $(if $(filter x86-64,$(ARCH)),tests/systemd/*.t))
# Of these each has several containers, or emulates a machine.
check-mail check-image: JOBS := $(shell expr $$(nproc) + 1)
check-mail check-image:
	$(Q)tests/packages build $(@:check-%=%) $(patsubst %,image-%,$(filter-out x86-64,$(ARCH)))
	$(Q)$(MAKE) --no-print-directory all test-programs
	$(Q)$(if $(ARCH),ARCH='$(ARCH)') $(PROVE) $(THESE)

check-long:
	$(Q)tests/packages build test image fuzz
	$(Q)$(MAKE) --no-print-directory all test-programs fuzz-programs
	$(Q)LONG=1 $(PROVE) $(LONG_SCRIPTS)

# Under something else: make check-unit UNDER='valgrind --quiet'
check-unit: $(UNIT_TESTS)
	$(Q)$(PROVE) $(UNIT_TESTS)

test-programs: $(UNIT_TESTS) $(HELPERS)

$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/host/core.a | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -MMD -MP -o $@ $< $(TEST_ARCHIVES) $(BUILD)/host/core.a $(LDFLAGS) $(TEST_LIBRARIES) -lcmocka -pthread

TEST_LIBRARIES = $(ATOMIC)
$(RELAY_TESTS): TEST_ARCHIVES = $(BUILD)/host/relay.a
$(RELAY_TESTS): TEST_LIBRARIES = $(RELAY_END)
$(RELAY_TESTS): $(BUILD)/host/relay.a

$(RELAY_DEATHS): TEST_ARCHIVES = $(RELAY_KEEPS)
$(RELAY_DEATHS): $(RELAY_KEEPS)

$(LOGS_TESTS): TEST_ARCHIVES = $(BUILD)/host/logs.a
$(LOGS_TESTS): $(BUILD)/host/logs.a

$(BUILD)/tests/%: tests/integration/%.c | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(HOSTCC) -std=c11 -O1 -g $(WARNINGS) -o $@ $< $(HELPER_FLAGS)

$(BUILD)/tests/syscalls $(BUILD)/tests/refuse $(BUILD)/tests/refuse_at: HELPER_FLAGS = -lseccomp
$(BUILD)/tests/newer.so $(BUILD)/tests/wall_clock.so: HELPER_FLAGS = -shared -fPIC -ldl

# The real service, but for its network process.
$(BUILD)/tests/taken_over: tests/integration/taken_over.c $(BUILD)/nmnotifyd
	$(call say,TEST,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -MMD -MP -Wno-nonnull $(DAEMON_PIE) $(LINK_FLAGS) -o $@ $< \
		$(filter-out %/network.o,$(DAEMON_OBJECTS)) $(DAEMON_END)

$(RELAY_HELPERS): $(BUILD)/tests/%: tests/integration/%.c $(BUILD)/host/relay.a $(BUILD)/host/core.a | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -MMD -MP -o $@ $< $(BUILD)/host/relay.a $(BUILD)/host/core.a $(LDFLAGS) $(RELAY_END)

LOGS_REST := $(patsubst %,$(BUILD)/host/%.o,logs/journal logs/logs_confine logs-policies)
$(LOGS_HELPERS): $(BUILD)/tests/%: tests/integration/%.c $(LOGS_REST) $(BUILD)/host/logs.a $(BUILD)/host/core.a | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -MMD -MP -Wno-nonnull -o $@ $< $(LOGS_REST) $(BUILD)/host/logs.a $(BUILD)/host/core.a $(LDFLAGS) -lsystemd

$(BUILD)/tests/%: tests/systemd/%.c | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(HOSTCC) -std=c11 -O2 -g $(WARNINGS) -static -o $@ $<

$(BUILD)/tests/corrupt $(BUILD)/tests/storm: $(BUILD)/tests/%: tests/fuzz/%.c $(BUILD)/host/core.a | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -MMD -MP -o $@ $< $(BUILD)/host/core.a $(LDFLAGS)

$(BUILD)/tests/relay_storm: tests/integration/relay_storm.c $(RELAY_KEEPS) $(BUILD)/host/core.a | $(BUILD)/tests/unit
	$(call say,TEST,$@)
	$(Q)$(TEST_CC) $(TEST_FLAGS) -MMD -MP -o $@ $< $(RELAY_KEEPS) $(BUILD)/host/core.a $(LDFLAGS) $(ATOMIC)

# An archive, so that a test that includes a source file gets its functions from there alone.
$(BUILD)/host/core.a: $(TESTED:%=$(BUILD)/host/%.o)
	$(Q)rm -f $@ && $(CROSS)ar rcs $@ $^

$(BUILD)/host/relay.a: $(RELAY_TESTED:%=$(BUILD)/host/%.o) $(BUILD)/host/relay-policies.o
	$(Q)rm -f $@ && $(CROSS)ar rcs $@ $^

$(BUILD)/host/logs.a: $(LOGS_TESTED:%=$(BUILD)/host/%.o)
	$(Q)rm -f $@ && $(CROSS)ar rcs $@ $^

$(eval $(call objects,host,$$(TEST_CC),$$(TEST_FLAGS)))

$(BUILD)/tests/unit:
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
	$(Q)clang -std=c11 -O0 -g $(COVERAGE_FLAGS) -o $(COVERAGE)/policy-compile -Isrc src/policy/compile/*.c -lseccomp
	$(Q)umask 0 && $(COVERAGE)/nmnotify -V >/dev/null && $(COVERAGE)/nmnotifyd -V >/dev/null
	-$(Q)$(call prove,$(COVERAGE)) $(filter-out tests/bench/%,$(SCRIPTS)) tests/mail/fetchers.t tests/mail/notify_send.t \
		$(UNIT_TESTS:$(BUILD)/%=$(COVERAGE)/%)
	$(Q)tests/coverage $(COVERAGE) | tee $(COVERAGE)/report

.PHONY: demo quick check check-mail check-image check-long check-unit test-programs coverage
