# SPDX-License-Identifier: ISC
#
# make fuzz TIME=60    fuzzes each target for so many seconds; needs clang

# The targets need clang's libFuzzer. Where it is missing they are not built, and not run.
FUZZ_CC ?= clang
FUZZ := line conf executable source connection users network request state policy sender
FUZZ_RELAY := event names relay_conf redis owed
FUZZ_LOGS := logins
ifneq ($(RELAY),no)
FUZZ += $(FUZZ_RELAY) $(FUZZ_LOGS)
endif
FUZZ_FLAGS = -std=c11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all $(WARNINGS) $(DEFINES) $(EXTRA)
FUZZ_CORE := $(TESTED) lib/service $(filter-out %/nmnotifyd,$(call sources,daemon))
FUZZ_PROBE := int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long); \
	int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long s) { return d == 0 && s; }

TIME ?= 60

fuzz:
	$(Q)tests/packages build test fuzz
	$(Q)$(MAKE) --no-print-directory fuzz-programs
	$(Q)FUZZ_TIME=$(TIME) $(PROVE) -v tests/fuzz/fuzz.t

fuzz-programs:
	$(Q)mkdir -p $(BUILD)/fuzz && if echo '$(FUZZ_PROBE)' | $(FUZZ_CC) -fsanitize=fuzzer,address,undefined -x c -o $(BUILD)/fuzz/probe - \
		2>/dev/null; then $(MAKE) --no-print-directory $(FUZZ:%=$(BUILD)/fuzz/%); fi

$(FUZZ:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzz/core.a
	$(call say,FUZZ,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -MMD -MP -o $@ $< \
		$(FUZZ_ARCHIVES) $(BUILD)/fuzz/core.a $(FUZZ_LIBRARIES)

$(BUILD)/fuzz/policy: FUZZ_LIBRARIES = -lseccomp

$(FUZZ_RELAY:%=$(BUILD)/fuzz/%): FUZZ_ARCHIVES = $(BUILD)/fuzz/relay.a
$(FUZZ_RELAY:%=$(BUILD)/fuzz/%): FUZZ_LIBRARIES = $(RELAY_END)
$(FUZZ_RELAY:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/relay.a

$(BUILD)/fuzz/relay.a: $(RELAY_TESTED:%=$(BUILD)/fuzz/core/%.o) $(BUILD)/fuzz/core/relay-policies.o
	$(Q)rm -f $@ && ar rcs $@ $^

$(FUZZ_LOGS:%=$(BUILD)/fuzz/%): FUZZ_ARCHIVES = $(BUILD)/fuzz/logs.a
$(FUZZ_LOGS:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/logs.a

$(BUILD)/fuzz/logs.a: $(LOGS_TESTED:%=$(BUILD)/fuzz/core/%.o)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/fuzz/core.a: $(FUZZ_CORE:%=$(BUILD)/fuzz/core/%.o)
	$(Q)rm -f $@ && ar rcs $@ $^

comma := ,
$(eval $(call objects,fuzz/core,$$(FUZZ_CC),$$(FUZZ_FLAGS) -fsanitize=fuzzer-no-link$$(comma)address$$(comma)undefined))

.PHONY: fuzz fuzz-programs
