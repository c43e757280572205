# SPDX-License-Identifier: ISC
#
# make cross           builds for other architectures and runs the unit tests there: two minutes; installs likewise

cross:
	$(Q)tests/packages build cross
	$(Q)$(MAKE) --no-print-directory cross-aarch64-linux-gnu cross-arm-linux-gnueabihf

# The handler and the sender, static with glibc, have to start; the unit tests have to pass. qemu knows the machine
# by the triplet's first word. One test at a time, as with valgrind: emulated, they are busy and do not wait.
cross-%: DIR = $(BUILD)/cross/$*
cross-%: ROOT = build/packages/$*
cross-%: QEMU = qemu-$(firstword $(subst -, ,$*))
cross-%:
	$(call say,CROSS,$*)
	$(Q)$(MAKE) -s CROSS=$*- BUILD=$(DIR) all
	$(Q)$(QEMU) $(DIR)/nmnotify -V
	$(Q)$(QEMU) $(DIR)/nmnotify-send -V && $(QEMU) $(DIR)/nmnotify-login -V
	$(Q)$(MAKE) -s CROSS=$*- BUILD=$(DIR) CFLAGS=-I$(ROOT)/usr/include LDFLAGS=-L$(ROOT)/usr/lib/$* \
		PROVEFLAGS=-j1 UNDER='$(QEMU) -L /usr/$* -E LD_LIBRARY_PATH=$(ROOT)/usr/lib/$*' check-unit

.PHONY: cross
