################################################################################
#
# nmnotify
#
################################################################################

# SPDX-License-Identifier: ISC
#
# In package/nmnotify; "make recipes" fills in the version and the hashes.
# host-libseccomp takes one line more at the end of libseccomp.mk:
#
# $(eval $(host-autotools-package))

NMNOTIFY_VERSION = @VERSION@
# The home of the project and of its releases, where it is published.
NMNOTIFY_SITE = https://nmnotify.example.org
NMNOTIFY_LICENSE = ISC
NMNOTIFY_LICENSE_FILES = LICENSE
NMNOTIFY_DEPENDENCIES = host-libseccomp

# Buildroot strips what it has installed.
NMNOTIFY_MAKE_OPTS = \
	WARNINGS=-Wall \
	CC="$(TARGET_CC)" \
	DAEMON_CC="$(TARGET_CC)" \
	HOSTCC="$(HOSTCC) $(HOST_CFLAGS) $(HOST_LDFLAGS)" \
	CFLAGS="$(TARGET_CFLAGS)" \
	LDFLAGS="$(TARGET_LDFLAGS)" \
	STRIP= \
	PREFIX=/usr \
	SYSCONFDIR=/etc

ifeq ($(BR2_PACKAGE_SYSTEMD),y)
NMNOTIFY_DEPENDENCIES += systemd
NMNOTIFY_MAKE_OPTS += \
	SYSTEMD=yes \
	SYSTEMD_VERSION=$(SYSTEMD_VERSION) \
	SYSTEMDUNITDIR=/usr/lib/systemd/system \
	SYSTEMDUSERUNITDIR=/usr/lib/systemd/user \
	SYSUSERSDIR=/usr/lib/sysusers.d \
	TMPFILESDIR=/usr/lib/tmpfiles.d
else
NMNOTIFY_MAKE_OPTS += SYSTEMD=no SYSTEMDUNITDIR=
endif

ifeq ($(BR2_PACKAGE_NMNOTIFY_RELAY),y)
NMNOTIFY_DEPENDENCIES += c-ares hiredis jansson libseccomp lmdb
NMNOTIFY_MAKE_OPTS += RELAY=yes
else
NMNOTIFY_MAKE_OPTS += RELAY=no
endif

define NMNOTIFY_BUILD_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(NMNOTIFY_MAKE_OPTS) -C $(@D) all
endef

define NMNOTIFY_INSTALL_TARGET_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(NMNOTIFY_MAKE_OPTS) -C $(@D) \
		DESTDIR=$(TARGET_DIR) install
endef

# Buildroot enables what no preset speaks of. Which ports are open is for
# the administrator to say, by a preset of his own before this one.
define NMNOTIFY_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(NMNOTIFY_PKGDIR)/nmnotify.preset \
		$(TARGET_DIR)/usr/lib/systemd/system-preset/80-nmnotify.preset
endef

# Off, until the administrator says otherwise.
ifeq ($(BR2_PACKAGE_XINETD),y)
define NMNOTIFY_INSTALL_XINETD
	$(INSTALL) -d $(TARGET_DIR)/etc/xinetd.d
	sed 's/^\([[:space:]]*disable[[:space:]]*=\).*/\1 yes/' \
		< $(TARGET_DIR)/usr/share/doc/nmnotify/xinetd \
		> $(TARGET_DIR)/etc/xinetd.d/nmnotify
endef
NMNOTIFY_POST_INSTALL_TARGET_HOOKS += NMNOTIFY_INSTALL_XINETD
endif

# The directory of the state, which nmnotify's own user cannot make.
define NMNOTIFY_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(NMNOTIFY_PKGDIR)/S45nmnotify \
		$(TARGET_DIR)/etc/init.d/S45nmnotify
endef

define NMNOTIFY_USERS
	nmnotify -1 nmnotify -1 * - - - Mail notifications (RFC 4146)
	$(if $(BR2_PACKAGE_NMNOTIFY_RELAY),nmnotify-relay -1 nmnotify-relay -1 * /var/lib/nmnotify-relay - - Mail notifications$(comma) told)
	$(if $(BR2_PACKAGE_NMNOTIFY_RELAY),nmnotify-relay-logs -1 nmnotify-relay-logs -1 * - - - Mail notifications$(comma) logins)
endef

$(eval $(generic-package))
