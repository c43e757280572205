# SPDX-License-Identifier: ISC
#
# make -f openwrt.make RECIPE= TARBALL= OUT=: the steps of OpenWrt's package.mk that packaging/openwrt/Makefile has to
# do with, written from what its documentation says, and done with a compiler of this machine. OUT/NAME is what
# package NAME has. It is no OpenWrt.

TOPDIR := $(OUT)/top
INCLUDE_DIR := $(TOPDIR)/include
PKG_BUILD_DIR = $(OUT)/build/$(PKG_NAME)-$(PKG_VERSION)
PKG_INSTALL_DIR = $(OUT)/installed

INSTALL_DIR := install -d -m0755
INSTALL_BIN := install -m0755
INSTALL_DATA := install -m0644
INSTALL_CONF := install -m0600

MAKE_FLAGS = CC="$(TARGET_CC)" CROSS="$(TARGET_CROSS)" ARCH=x86_64
MAKE_PACKAGE = CFLAGS="$(TARGET_CFLAGS)" $(MAKE) -C $(PKG_BUILD_DIR) $(MAKE_FLAGS)

all:

$(OUT)/installed.stamp:
	echo "$(PKG_HASH)  $(TARBALL)" | sha256sum --check --quiet
	[ $(notdir $(TARBALL)) = $(PKG_SOURCE) ]
	mkdir -p $(OUT)/build && tar -xf $(TARBALL) -C $(OUT)/build
	[ -e $(PKG_BUILD_DIR)/$(PKG_LICENSE_FILES) ]
	+$(MAKE_PACKAGE)
	+$(MAKE_PACKAGE) DESTDIR=$(PKG_INSTALL_DIR) install
	touch $@

# $(call needs,NAME,VARIABLE)
needs = $(if $(strip $($(2))),,$(error $(1) has no $(2)))

define BuildPackage
$(eval $(Package/$(1)))$(foreach name,TITLE SECTION CATEGORY URL DEPENDS,$(call needs,$(1),$(name)))
all: package-$(1)
package-$(1): $(OUT)/installed.stamp
	$(call Package/$(1)/install,$(OUT)/$(1))
	for file in $(strip $(Package/$(1)/conffiles)); do [ -e $(OUT)/$(1)/$$$$file ] || exit 1; done
endef

include $(RECIPE)
