# SPDX-License-Identifier: ISC
#
# make                 build/nmnotify
# make demo            see it work, on a loopback port
# make check           all tests
# make lint            all analysers
# make install         DESTDIR= PREFIX= SYSCONFDIR= SYSTEMDUNITDIR= ...
# make CROSS=aarch64-linux-gnu- BUILD=build/aarch64

VERSION := 0.1.0

PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/nmnotify
SYSCONFDIR ?= /etc
SYSTEMDUNITDIR ?= $(shell pkg-config --variable=systemdsystemunitdir systemd 2>/dev/null || echo /lib/systemd/system)
INSTALL ?= install
BUILD ?= build
HOSTCC ?= cc
STRIP ?= $(CROSS)strip
MUSL_GCC := $(shell command -v musl-gcc)

# musl makes the smaller and quicker static program; without it the compiler's own libc does.
ifeq ($(origin CC),default)
CC := $(if $(CROSS),$(CROSS)gcc,$(if $(MUSL_GCC),musl-gcc,cc))
endif

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Werror
OPTIMISE ?= -Os
HARDEN := -fstack-protector-strong -fPIE $(if $(filter -O0,$(OPTIMISE)),,-D_FORTIFY_SOURCE=2)
DEFINES := -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DCONF_FILE='"$(SYSCONFDIR)/nmnotify.conf"'
COMPILE_FLAGS = -std=c11 $(OPTIMISE) -g $(WARNINGS) $(HARDEN) -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables \
	$(DEFINES) $(LIBC_INCLUDES) $(EXTRA) $(CFLAGS)
LINK_FLAGS = -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,-z,separate-code $(LDFLAGS)

# Debian's musl-gcc is gcc with a spec file that knows dynamic programs only: -static-pie would
# leave an interpreter in the file and start it with the wrong crt. It hides the kernel's headers,
# too; behind musl's own they do no harm.
ifneq ($(filter %musl-gcc,$(firstword $(CC))),)
MUSL_DIR := $(dir $(shell sed -n 's/.*-specs "\([^"]*\)".*/\1/p' "$(shell command -v $(firstword $(CC)))"))
MULTIARCH := $(shell $(CC) -print-multiarch)
LIBC_INCLUDES := -idirafter /usr/include/$(MULTIARCH) -idirafter /usr/include
STATIC_PIE := -nostartfiles $(addprefix $(MUSL_DIR),rcrt1.o crti.o) -Wl,-static,-pie,--no-dynamic-linker,-z,text
STATIC_END := $(addprefix $(MUSL_DIR),crtn.o)
else
STATIC_PIE := -static-pie
endif
# For sanitizers, which need a dynamic program: make STATIC=no
ifeq ($(STATIC),no)
STATIC_PIE := -pie
endif

CORE := action conf confine connection decision limiter line log siphash source state text turn users verdict
CORE_OBJECTS := $(CORE:%=$(BUILD)/%.o) $(BUILD)/policies.o
POLICIES := $(addprefix src/policy/,mail.policy local.policy none.policy)
TARGET := $(shell $(CC) -dumpmachine)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

all: $(BUILD)/nmnotify

$(BUILD)/nmnotify: $(BUILD)/nmnotify.o $(CORE_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) $(STATIC_PIE) $(LINK_FLAGS) -o $@ $^ $(STATIC_END)

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

clean:
	rm -rf $(BUILD)

.PHONY: all clean
.DELETE_ON_ERROR:

-include $(wildcard $(BUILD)/*.d)
