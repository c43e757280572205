# SPDX-License-Identifier: ISC
#
# make cross           other architectures: builds, and runs the unit tests there: six minutes; installs likewise
# make cross ARCH='i386 riscv64'
# make cross-all       all that are known: x86-64 i386 arm64 armhf armel riscv64 mipsel s390x: a quarter of an hour

# By Debian's names; x86-64 is what builds.
TRIPLETS := i386:i686-linux-gnu arm64:aarch64-linux-gnu armhf:arm-linux-gnueabihf armel:arm-linux-gnueabi \
	riscv64:riscv64-linux-gnu mipsel:mipsel-linux-gnu s390x:s390x-linux-gnu
ARCHITECTURES := x86-64 $(foreach pair,$(TRIPLETS),$(firstword $(subst :, ,$(pair))))

cross: ARCH ?= arm64 armhf s390x
cross:
	$(Q)tests/packages build $(patsubst %,cross-%,$(filter-out x86-64,$(ARCH)))
	$(Q)$(MAKE) --no-print-directory $(ARCH:%=cross-%)

cross-all:
	$(Q)$(MAKE) --no-print-directory cross ARCH='$(ARCHITECTURES)'

cross-x86-64: all check-unit

# All programs are built; the handler and the sender, static with glibc, have to start; the unit tests have to pass. One
# test at a time, as with valgrind: emulated, they are busy and do not wait. Three are left out. names executes itself,
# which works neither under qemu-user nor with a loader that is called by its name. inbox wants all that the kernel says of
# a datagram, of which qemu-user leaves out a part. store waits for the disk, under qemu-user for longer than all else takes.
FOREIGN := $(filter-out cross-x86-64,$(ARCHITECTURES:%=cross-%))
$(FOREIGN): cross-%:
	$(call say,CROSS,$*)
	$(Q)$(MAKE) -s $(BUILDS) all $(DIR)/nmnotify-relay-proxy
	$(Q)$(EMULATOR) $(DIR)/nmnotify -V
	$(Q)$(EMULATOR) $(DIR)/nmnotify-send -V && $(EMULATOR) $(DIR)/nmnotify-login -V
	$(Q)$(MAKE) -s $(WHOLE) $(LINKED:%=$(DIR)/whole/%)
	$(Q)$(MAKE) -s $(WHOLE) PROVEFLAGS=-j1 UNDER="$(DYNAMIC)" EXCEPT="$(if $(EMULATOR),inbox store )names" check-unit
	$(Q)$(if $(EMULATOR),$(MAKE) -s $(BUILDS) $(STATIC_ONES:%=$(DIR)/emulated/%))
	$(Q)BUILD=$(DIR)$(EMULATOR:%=/emulated) UNDER=$(EMULATOR) $(if $(EMULATOR),,HOSTCC='$(TRIPLET)-gcc -static') tests/prove tests/emulated.t
$(FOREIGN): TRIPLET = $(patsubst $*:%,%,$(filter $*:%,$(TRIPLETS)))
$(FOREIGN): DIR = $(BUILD)/cross/$*
$(FOREIGN): BUILDS = CROSS=$(TRIPLET)- BUILD=$(DIR) SYSTEMD=no
# What is linked with the libraries of such a machine.
$(FOREIGN): WHOLE = CROSS=$(TRIPLET)- BUILD=$(DIR)/whole SYSTEMD=yes \
	CFLAGS=--sysroot=$(CURDIR)/$(ROOT) LDFLAGS=-L$(CURDIR)/$(LIBRARIES)
LINKED := nmnotifyd nmnotify-relay nmnotify-relay-logs nmnotifyctl
$(FOREIGN): ROOT = build/packages/$(TRIPLET)
$(FOREIGN): LIBRARIES = $(ROOT)/usr/lib/$(TRIPLET:i686%=i386%)
# This machine runs i386 itself: with filters, and all else.
$(FOREIGN): EMULATOR = qemu-$(firstword $(subst -, ,$(TRIPLET)))
$(FOREIGN): DYNAMIC = $(EMULATOR) -L $(ROOT)
cross-i386: EMULATOR =
cross-i386: DYNAMIC = $(ROOT)/lib/ld-linux.so.2 --library-path $(LIBRARIES)

# The handler and the senders, but for what qemu-user does not have.
STATIC_ONES := nmnotify $(STATIC_SENDERS)
$(BUILD)/emulated/nmnotify: $(HANDLER_OBJECTS)
$(STATIC_SENDERS:%=$(BUILD)/emulated/%): $(BUILD)/emulated/%: $(BUILD)/handler/sender/%.o $(SENDER_OBJECTS)
$(STATIC_ONES:%=$(BUILD)/emulated/%): tests/emulated.c
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(COMPILE_FLAGS) $(STATIC_PIE) $(LINK_FLAGS) $(LAYOUT) -Wl,--wrap=prctl,--wrap=clone -o $@ $^ $(STATIC_END)

# Of what is built: the table below tests/README.md's BY ARCHITECTURE.
cross-sizes:
	@for arch in $(ARCHITECTURES); do \
		dir=$(BUILD)/cross/$$arch strip=$$(echo ' $(TRIPLETS) ' | sed -n "s/.* $$arch:\([^ ]*\).*/\1-strip/p"); \
		[ $$arch != x86-64 ] || dir=$(BUILD); [ -e $$dir/nmnotifyd ] || continue; printf '| %s' $$arch; \
		for program in nmnotify nmnotifyd nmnotify-send; do \
			$${strip:-strip} -o $(BUILD)/cross/size $$dir/$$program && printf ' | %s' $$(stat -c %s $(BUILD)/cross/size); \
		done; echo ' |'; \
	done; rm -f $(BUILD)/cross/size

.PHONY: cross cross-all cross-sizes cross-x86-64 $(FOREIGN)
