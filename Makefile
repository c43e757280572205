# SPDX-License-Identifier: ISC
#
# make                 builds the programs below build/
# make demo            see it work, on a loopback port
# make check           all tests; installs what they need, if it may
# make install         DESTDIR= PREFIX= SYSCONFDIR= SYSTEMDUNITDIR= SYSTEMDUSERUNITDIR= SYSTEMD_VERSION= ...
# make install-listener, install-sender: either end alone; APPARMOR=yes: with AppArmor's profiles
# make uninstall       the same; leaves the configuration
# make help            the other targets: how long each takes, and what it needs
# make CROSS=aarch64-linux-gnu- BUILD=build/aarch64
#
# Empty, STRIP= leaves the programs their symbols, and SYSTEMDUNITDIR= installs nothing that is systemd's.

VERSION := 0.1.0

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/nmnotify
# Debian's zsh looks in the one for packages, and in the other below /usr/local.
ZSHDIR ?= $(PREFIX)/share/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
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

include src/compiler.mk

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Werror
OPTIMISE ?= -Os
HARDEN := -fstack-protector-strong -fPIE $(if $(filter -O0,$(OPTIMISE)),,-D_FORTIFY_SOURCE=2) $(call harden,$(CC))
# The same bytes, and so the same build ID, wherever the source and $(BUILD) are.
PLACES := -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(BUILD)=build -ffile-prefix-map=$(abspath $(BUILD))=build
# c-ares 1.18 has not yet what takes the place of what 1.34 calls deprecated.
DEFINES := -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DCONF_FILE='"$(SYSCONFDIR)/nmnotify.conf"' \
	-DRELAY_CONF_FILE='"$(SYSCONFDIR)/nmnotify-relay.conf"' -DLOGS_CONF_FILE='"$(SYSCONFDIR)/nmnotify-relay-logs.conf"' \
	-DHANDLER_FILE='"$(SBINDIR)/nmnotify"' -DCARES_NO_DEPRECATED -Isrc
# Size, not time: with musl, stripped, the handler has 113 KB; without a section for each function and variable
# 117, with unwind tables 129, with -O2 134. All of them together are not 3 % of any start.
COMPILE_FLAGS = -std=c11 $(OPTIMISE) -g $(PLACES) $(WARNINGS) $(HARDEN) -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -DCLOCK_SELDOM $(DEFINES) $(LIBC_INCLUDES) $(EXTRA) $(CFLAGS)
# The map says what of which library is in a static program: packaging/sbom reads it.
LINK_FLAGS = -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,-z,separate-code,-Map=$@.map $(LDFLAGS)
# What a start costs is mostly pages, each a fault of a microsecond or two: code and constants in one
# segment instead of three. Without both options a denied connection takes 9 % longer, one that is not
# read 7 %, a malformed line 4 %, an accepted one 2 %; norelro alone is 5 % of the first. musl's start-up
# code does not apply RELRO to a static program. In nmnotifyd relocations_guard() does, which lives long;
# the handler's few addresses of functions are not worth a system call and two pages at each start, and
# without them the gap in the file would be for nothing. VARIABLES_PAGE has them begin with a page. Else it
# is chance, which each change of the code changes: if their first two kilobytes are on two pages, the same
# four take up to 6, 5, 3 and 1 % longer.
LAYOUT = -Wl,-z,noseparate-code $(NO_RELRO) $(VARIABLES_PAGE)

# The service has its own compiler, and other options: it is there to be quick, not small.
DAEMON_HARDEN := $(if $(filter $(CC),$(DAEMON_CC)),$(HARDEN),$(filter-out $(call harden,$(CC)),$(HARDEN)) $(call harden,$(DAEMON_CC)))
DAEMON_FLAGS = -std=c11 $(OPTIMISE:-Os=-O2) -g $(PLACES) $(WARNINGS) $(DAEMON_HARDEN) $(DEFINES) \
	$(if $(filter no,$(SYSTEMD)),$(LIBC_INCLUDES),-DWITH_SYSTEMD) $(EXTRA) $(CFLAGS)

# The relay is for the system's libc alone, and has more libraries. RELAY=no does without all of it.
RELAY ?= $(SYSTEMD)
# Some architectures of 32 bits need a library to store 64. On mips that takes it two instructions: src/relay/owed_parts.h.
ATOMIC = $(eval ATOMIC := $(shell echo 'unsigned long long n; int main(void) { __atomic_store_n(&n, 1, 3); return 0; }' | \
	$(DAEMON_CC) $(CFLAGS) $(LDFLAGS) -x c -o /dev/null - 2>/dev/null || echo -latomic))$(ATOMIC)
RELAY_END = -lcares -lhiredis -ljansson -llmdb -lsystemd $(ATOMIC)

# ---- Building ----

# In what order the folders may use each other: src/ARCHITECTURE.md.
sources = $(patsubst src/%.c,%,$(sort $(foreach folder,$(1),$(wildcard src/$(folder)/*.c))))
CORE := $(filter-out lib/service,$(call sources,lib policy state conf run)) policies
HANDLER := $(call sources,handler) $(CORE)
DAEMON := $(call sources,daemon) lib/service $(CORE) network-policies
RELAY_SOURCES := $(call sources,relay lib policy) sender/failure sender/notice sender/proxied policies relay-policies
LOGS_SOURCES := $(call sources,logs lib policy) sender/failure sender/notice logs-policies
# What the administrator runs, of either end; it has what the relay has for libraries.
CTL := $(if $(filter no,$(RELAY)),,nmnotifyctl)
CTL_SOURCES := $(call sources,ctl) $(CORE)
HANDLER_OBJECTS := $(HANDLER:%=$(BUILD)/handler/%.o)
DAEMON_OBJECTS := $(DAEMON:%=$(BUILD)/daemon/%.o)
# What its programs share; each is a file of its own besides.
SENDER := $(filter-out sender/nmnotify-%,$(call sources,sender)) $(filter-out lib/service,$(call sources,lib policy)) send-policies
SENDER_OBJECTS := $(SENDER:%=$(BUILD)/handler/%.o)
# What policy_find() finds, and what programs keep beside that.
POLICY_TABLES := policies network-policies send-policies relay-policies logs-policies proxy-policies

Q := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@mkdir -p $(dir $(2)) && printf '  %-7s %s\n' '$(1)' '$(2)')

LISTENER_PROGRAMS := nmnotify nmnotifyd
STATIC_SENDERS := nmnotify-send nmnotify-login
SENDER_PROGRAMS := $(STATIC_SENDERS) $(if $(filter no,$(RELAY)),,nmnotify-relay nmnotify-relay-proxy nmnotify-relay-logs)
PROGRAMS := $(LISTENER_PROGRAMS) $(SENDER_PROGRAMS) $(CTL)

all: $(PROGRAMS:%=$(BUILD)/%)

# $(call objects,FOLDER,COMPILER,ITS FLAGS): objects of src/ in a folder of $(BUILD), each where its source is.
define objects
$(BUILD)/$(1)/%.o: src/%.c
	$$(call say,CC,$$@)
	$$(Q)mkdir -p $$(@D) && $(2) $(3) -MMD -MP -c -o $$@ $$<

$(POLICY_TABLES:%=$(BUILD)/$(1)/%.o): $(BUILD)/$(1)/%.o: $(BUILD)/%.c
	$$(call say,CC,$$@)
	$$(Q)mkdir -p $$(@D) && $(2) $(3) $$(RENAMED) -c -o $$@ $$<
endef
$(eval $(call objects,handler,$$(CC),$$(COMPILE_FLAGS)))
$(eval $(call objects,daemon,$$(DAEMON_CC),$$(DAEMON_FLAGS)))

$(BUILD)/nmnotify: $(HANDLER_OBJECTS)
$(STATIC_SENDERS:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/handler/sender/%.o $(SENDER_OBJECTS)
# Of one folder with them, it has a filter of its own.
$(BUILD)/nmnotify-relay-proxy: $(BUILD)/handler/sender/nmnotify-relay-proxy.o $(SENDER_OBJECTS:%/send-policies.o=%/proxy-policies.o)
$(BUILD)/nmnotify $(BUILD)/nmnotify-relay-proxy $(STATIC_SENDERS:%=$(BUILD)/%):
	$(call say,LINK,$@)
	$(Q)$(CC) $(COMPILE_FLAGS) $(STATIC_PIE) $(LINK_FLAGS) $(LAYOUT) -o $@ $^ $(STATIC_END)

$(BUILD)/nmnotifyd: $(DAEMON_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) $(DAEMON_PIE) $(LINK_FLAGS) -o $@ $^ $(DAEMON_END)

$(BUILD)/nmnotify-relay: $(RELAY_SOURCES:%=$(BUILD)/daemon/%.o)
	$(call say,LINK,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -pie $(LINK_FLAGS) -o $@ $^ $(RELAY_END)

$(BUILD)/nmnotify-relay-logs: $(LOGS_SOURCES:%=$(BUILD)/daemon/%.o)
	$(call say,LINK,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -pie $(LINK_FLAGS) -o $@ $^ -lsystemd

$(BUILD)/nmnotifyctl: $(CTL_SOURCES:%=$(BUILD)/daemon/%.o)
	$(call say,LINK,$@)
	$(Q)$(DAEMON_CC) $(DAEMON_FLAGS) -pie $(LINK_FLAGS) -o $@ $^ -ljansson -lseccomp -lsystemd

# Compiled on the machine that builds, for the machine that will run it. What the network process keeps is
# not one that a configuration could name.
$(BUILD)/policies.c: POLICIES = mail local none
$(BUILD)/network-policies.c: POLICIES = network
$(BUILD)/send-policies.c: POLICIES = send mail
$(BUILD)/relay-policies.c: POLICIES = resolver relay
$(BUILD)/logs-policies.c: POLICIES = logs
$(BUILD)/proxy-policies.c: POLICIES = proxy
$(POLICY_TABLES:%=$(BUILD)/%.c): $(BUILD)/policy-compile $(wildcard src/policy/*.policy)
	$(call say,POLICY,$@)
	$(Q)$(BUILD)/policy-compile $(TARGET) $(POLICIES:%=src/policy/%.policy) > $@.new && mv $@.new $@

$(BUILD)/%/network-policies.o: RENAMED := -Dpolicies=network_policies -Dpolicies_count=network_policies_count
$(BUILD)/%/relay-policies.o: RENAMED := -Dpolicies=relay_policies -Dpolicies_count=relay_policies_count

$(BUILD)/policy-compile: src/policy/compile/compile.c src/policy/policy.h
	$(call say,HOSTCC,$@)
	$(Q)mkdir -p $(@D) && $(HOSTCC) -std=c11 -O1 -g $(WARNINGS) -Isrc -o $@ $< -lseccomp

# ---- Installing ----

include units/units.mk
from = $(firstword $(subst :, ,$(1)))
to = $(DESTDIR)$(lastword $(subst :, ,$(1)))

# What pages name is as README installs it; so they can be read, and typed from, without being installed.
PAGE_PLACES := s,/usr/local/bin/nmnotify-send,$(BINDIR)/nmnotify-send,g; s,= /usr/local/bin ,= $(BINDIR) ,; \
	s,/usr/local/sbin/nmnotify-login,$(SBINDIR)/nmnotify-login,g; s,/usr/local/share/doc/nmnotify/,$(DOCDIR)/,g

# The empty line ends the commands of one file.
define install_program
$(call say,INSTALL,$(DESTDIR)$(1))
$(Q)$(INSTALL) -D -m 755 $(if $(STRIP),-s --strip-program=$(STRIP)) $(BUILD)/$(notdir $(1)) $(DESTDIR)$(1)

endef

define install_text
$(call say,INSTALL,$(call to,$(1)))
$(Q)$(INSTALL) -D -m 644 $(call from,$(1)) $(call to,$(1))
$(Q)sed -i 's,@BINDIR@,$(BINDIR),g; s,@SBINDIR@,$(SBINDIR),g; $(PAGE_PLACES)' $(call to,$(1))

endef

# One after the other: some files are of both ends.
install: install-listener
	+$(Q)$(MAKE) --no-print-directory install-sender

install-listener: $(LISTENER_PROGRAMS:%=$(BUILD)/%) $(CTL:%=$(BUILD)/%)
	$(foreach place,$(LISTENER_PLACES),$(call install_program,$(place)))
	$(foreach text,$(LISTENER_TEXTS),$(call install_text,$(text)))
	$(Q)[ -e $(DESTDIR)$(SYSCONFDIR)/nmnotify.conf ] || \
		$(INSTALL) -D -m 644 units/nmnotify.conf $(DESTDIR)$(SYSCONFDIR)/nmnotify.conf

install-sender: $(SENDER_PROGRAMS:%=$(BUILD)/%) $(CTL:%=$(BUILD)/%)
	$(foreach place,$(SENDER_PLACES),$(call install_program,$(place)))
	$(foreach text,$(SENDER_TEXTS),$(call install_text,$(text)))
	$(Q)$(foreach name,$(HAS_RELAY:%=nmnotify-relay.conf nmnotify-relay-logs.conf),[ -e $(DESTDIR)$(SYSCONFDIR)/$(name) ] || \
		$(INSTALL) -D -m 644 units/$(name) $(DESTDIR)$(SYSCONFDIR)/$(name);)

uninstall:
	rm -f $(addprefix $(DESTDIR),$(LISTENER_PLACES) $(SENDER_PLACES)) $(foreach text,$(LISTENER_TEXTS) $(SENDER_TEXTS),$(call to,$(text)))
	$(Q)$(if $(DROPINS),rmdir $(addprefix $(DESTDIR),$(foreach directory,$(SYSTEMDUNITDIR) $(SYSTEMDUSERUNITDIR), \
		$(patsubst %/,$(directory)/%,$(dir $(DROPINS) $(RELAY_DROPINS))))) 2>/dev/null || :)

clean:
	rm -rf $(BUILD)

# ---- What is beside what it builds ----

include $(wildcard packaging/*.mk tests/*.mk tests/*/*.mk)

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(filter %Makefile %.mk,$(MAKEFILE_LIST))

.PHONY: all install install-listener install-sender uninstall clean help
.DELETE_ON_ERROR:

-include $(wildcard $(foreach folder,handler daemon host fuzz/core,$(BUILD)/$(folder)/*/*.d) \
	$(foreach folder,tests tests/unit fuzz,$(BUILD)/$(folder)/*.d))
