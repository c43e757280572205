# SPDX-License-Identifier: ISC
#
# make bench           what each program costs, and what else it could cost; eight minutes. bench-quick: ratios

BENCH_DESIGNS := $(addprefix nmnotify-,dynamic libsystemd libseccomp)
BENCH_PROGRAMS := $(addprefix $(BUILD)/bench/,spawn empty hosted stamp stages limiter attack $(BENCH_DESIGNS) nmnotify-fixed \
	static/nmnotifyd) $(if $(filter no,$(RELAY)),,$(BUILD)/bench/store $(BUILD)/bench/relay_load)

bench bench-quick:
	$(Q)tests/packages build bench
	$(Q)$(MAKE) --no-print-directory all test-programs bench-programs
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/bench $(patsubst bench%,%,$(subst -,,$@))
	$(if $(filter no,$(RELAY)),,$(Q)BUILD=$(abspath $(BUILD)) tests/bench/relay $(patsubst bench%,%,$(subst -,,$@)))

bench-programs: $(BENCH_PROGRAMS)

$(BUILD)/bench/spawn $(BUILD)/bench/relay_load: $(BUILD)/bench/%: tests/bench/%.c | $(BUILD)/bench
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
$(BUILD)/bench/stages: $(BUILD)/bench/stages.c $(filter-out %/nmnotify.o,$(HANDLER_OBJECTS))
	$(call say,BENCH,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) $(STATIC_PIE) $(LINK_FLAGS) $(LAYOUT) -o $@ $^ $(STATIC_END)

$(BUILD)/bench/stages.c: src/handler/nmnotify.c tests/bench/stages.awk | $(BUILD)/bench
	$(Q)awk -f tests/bench/stages.awk $< > $@

$(BUILD)/bench/static/nmnotifyd: $(wildcard src/*/*.[ch] src/policy/*.policy)
	$(Q)$(MAKE) -s BUILD=$(BUILD)/bench/static SYSTEMD=no $@

# As in nmnotifyd, which decides much more often than a handler does.
$(BUILD)/bench/attack: BENCH_FLAGS = -Wl,--wrap=clock_gettime
$(BUILD)/bench/limiter $(BUILD)/bench/attack: $(BUILD)/bench/%: tests/bench/%.c \
		$(CORE:%=$(BUILD)/daemon/%.o) | $(BUILD)/bench
	$(call say,BENCH,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) $(BENCH_FLAGS) -pie $(LINK_FLAGS) -o $@ $^ -pthread

$(BUILD)/bench/store: tests/bench/store.c $(patsubst src/%.c,$(BUILD)/daemon/%.o,$(wildcard src/relay/store*.c)) \
		$(addprefix $(BUILD)/daemon/lib/,siphash.o source.o text.o fd.o) | $(BUILD)/bench
	$(call say,BENCH,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -pie $(LINK_FLAGS) -o $@ $^ $(RELAY_END)

# The handler, but always at the same address.
$(BUILD)/bench/nmnotify-fixed: $(BUILD)/nmnotify
	$(call say,BENCH,$@)
	$(Q)$(MAKE) -s BUILD=$(BUILD)/bench/fixed HARDEN='$(HARDEN:-fPIE=-fno-pie)' STATIC_PIE='-static -no-pie' STATIC_END= \
		LAYOUT='$(filter-out $(VARIABLES_PAGE),$(LAYOUT))' $(BUILD)/bench/fixed/nmnotify
	$(Q)cp $(BUILD)/bench/fixed/nmnotify $@

# The designs that were not chosen: the same handler, dynamic, and with each of the libraries.
DYNAMIC_OBJECTS := $(HANDLER:%=$(BUILD)/bench/dynamic/handler/%.o)

bench-dynamic:
	$(Q)$(MAKE) -s BUILD=$(BUILD)/bench/dynamic CC=$(HOSTCC) STATIC=no $(BUILD)/bench/dynamic/nmnotify

$(BUILD)/bench/nmnotify-libsystemd: BENCH_FLAGS = -Wl,--no-as-needed -lsystemd
$(BUILD)/bench/nmnotify-libseccomp: BENCH_FLAGS = -Wl,--wrap=confine -lseccomp \
	-DNAMES='$(shell sed -n 's/^allow \([a-z0-9_]*\).*/"\1",/p' src/policy/always.policy src/policy/programs.policy \
		src/policy/mail.policy)'
$(BUILD)/bench/nmnotify-libseccomp: tests/bench/variants.c
$(BENCH_DESIGNS:%=$(BUILD)/bench/%): bench-dynamic
	$(call say,BENCH,$@)
	$(Q)$(HOSTCC) $(COMPILE_FLAGS) -pie $(LINK_FLAGS) -o $@ $(filter %.c,$^) $(DYNAMIC_OBJECTS) $(BENCH_FLAGS)

$(BUILD)/bench:
	$(Q)mkdir -p $@

.PHONY: bench bench-quick bench-programs bench-dynamic

