# SPDX-License-Identifier: ISC
#
# make -f buildroot.make RECIPE= SOURCE= OUT= INIT=SYSTEMD|SYSV: the steps of Buildroot's pkg-generic.mk that
# packaging/buildroot/nmnotify.mk has to do with, written from what its manual says, and done with a compiler of
# this machine. OUT/target is the system. It is no Buildroot.

BR2_PACKAGE_SYSTEMD := $(if $(filter SYSTEMD,$(INIT)),y)
BR2_PACKAGE_XINETD := y
BR2_PACKAGE_NMNOTIFY_RELAY := $(BR2_PACKAGE_SYSTEMD)
SYSTEMD_VERSION := 257
TARGET_DIR := $(OUT)/target
TARGET_MAKE_ENV := PATH="$(PATH)"
HOSTCC := cc
INSTALL := install
NMNOTIFY_PKGDIR = $(dir $(RECIPE))
comma := ,

define newline


endef

# The folder of a stamp is the package's.
define generic-package
all: $(SOURCE)/.stamp_installed
$(SOURCE)/.stamp_installed:
	+$$(NMNOTIFY_BUILD_CMDS)
	+$$(NMNOTIFY_INSTALL_TARGET_CMDS)
	$$(foreach hook,$$(NMNOTIFY_POST_INSTALL_TARGET_HOOKS),$$($$(hook))$$(newline))
	$$(NMNOTIFY_INSTALL_INIT_$(INIT))
	$$(file >$(OUT)/users,$$(NMNOTIFY_USERS))
	[ -e $(SOURCE)/$$(NMNOTIFY_LICENSE_FILES) ]
endef

include $(RECIPE)
