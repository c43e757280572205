# SPDX-License-Identifier: ISC
#
# As nmnotify_VERSION.bb in recipes-support/nmnotify of a layer; `make recipes` gives it the name, and fills in the
# hashes. libseccomp-native takes an append in that layer, libseccomp_%.bbappend: BBCLASSEXTEND += "native".
# nmnotify-relay and nmnotifyctl take systemd and, for c-ares, hiredis and lmdb, meta-oe.

SUMMARY = "Fetches mail when the mail server says that there is some (RFC 4146)"
DESCRIPTION = "nmnotify and nmnotifyd run a command, such as fetchmail, when a mail server says by RFC 4146 that \
there is new mail. nmnotify-send and nmnotify-relay are the mail server's end. No port is opened before a socket \
is enabled."
# The home of the project and of its releases, where it is published.
HOMEPAGE = "https://nmnotify.example.org"
SECTION = "network"
LICENSE = "ISC"
LIC_FILES_CHKSUM = "file://LICENSE;md5=@LICENSE_MD5@"

DEPENDS = "libseccomp-native"

SRC_URI = "https://nmnotify.example.org/nmnotify-${PV}.tar.gz"
SRC_URI[sha256sum] = "@SHA256@"

inherit pkgconfig systemd useradd

PACKAGECONFIG ??= "${@bb.utils.filter('DISTRO_FEATURES', 'systemd', d)}"
PACKAGECONFIG[systemd] = "SYSTEMD=yes,SYSTEMD=no SYSTEMDUNITDIR=,systemd"
PACKAGECONFIG[relay] = "RELAY=yes,RELAY=no,c-ares hiredis jansson libseccomp lmdb"

EXTRA_OEMAKE = "\
    WARNINGS=-Wall \
    DAEMON_CC='${CC}' \
    HOSTCC='${BUILD_CC} ${BUILD_CFLAGS} ${BUILD_LDFLAGS}' \
    STRIP= \
    PREFIX=${prefix} \
    BINDIR=${bindir} \
    SBINDIR=${sbindir} \
    MANDIR=${mandir} \
    DOCDIR=${docdir}/nmnotify \
    SYSCONFDIR=${sysconfdir} \
    ZSHDIR=${datadir}/zsh/site-functions \
    SYSTEMDUNITDIR=${systemd_system_unitdir} \
    SYSTEMDUSERUNITDIR=${systemd_user_unitdir} \
    SYSUSERSDIR=${nonarch_libdir}/sysusers.d \
    TMPFILESDIR=${nonarch_libdir}/tmpfiles.d \
    ${PACKAGECONFIG_CONFARGS} \
"

do_compile() {
    oe_runmake all
}

do_install() {
    oe_runmake DESTDIR=${D} install
}

PACKAGES =+ "nmnotifyd ${PN}-send ${PN}-relay nmnotifyctl"

FILES:nmnotifyd = "\
    ${sbindir}/nmnotifyd \
    ${systemd_system_unitdir}/nmnotifyd.* \
    ${systemd_user_unitdir}/nmnotifyd.* \
"
FILES:${PN}-send = "\
    ${bindir}/nmnotify-send \
    ${sbindir}/nmnotify-login \
    ${systemd_user_unitdir}/nmnotify-watch@.* \
"
FILES:${PN}-relay = "\
    ${sbindir}/nmnotify-relay* \
    ${sysconfdir}/nmnotify-relay*.conf \
    ${systemd_system_unitdir}/nmnotify-relay* \
    ${nonarch_libdir}/sysusers.d/nmnotify-relay.conf \
"
FILES:nmnotifyctl = "\
    ${bindir}/nmnotifyctl \
    ${datadir}/bash-completion \
    ${datadir}/fish \
    ${datadir}/zsh \
"
FILES:${PN} += "\
    ${systemd_system_unitdir}/* \
    ${systemd_user_unitdir}/* \
    ${nonarch_libdir}/sysusers.d/nmnotify.conf \
    ${nonarch_libdir}/tmpfiles.d/nmnotify.conf \
"
RDEPENDS:nmnotifyd = "${PN}"
ALLOW_EMPTY:${PN}-relay = "1"
ALLOW_EMPTY:nmnotifyctl = "1"

CONFFILES:${PN} = "${sysconfdir}/nmnotify.conf"
CONFFILES:${PN}-relay = "${sysconfdir}/nmnotify-relay.conf ${sysconfdir}/nmnotify-relay-logs.conf"

USERADD_PACKAGES = "${PN} ${PN}-relay"
USERADD_PARAM:${PN} = "--system --no-create-home --home-dir / --shell /sbin/nologin --user-group nmnotify"
USERADD_PARAM:${PN}-relay = "\
    --system --no-create-home --home-dir ${localstatedir}/lib/nmnotify-relay --shell /sbin/nologin --user-group nmnotify-relay; \
    --system --no-create-home --home-dir / --shell /sbin/nologin --user-group nmnotify-relay-logs \
"

SYSTEMD_PACKAGES = "\
    ${@bb.utils.contains('PACKAGECONFIG', 'systemd', '${PN} nmnotifyd', '', d)} \
    ${@bb.utils.contains('PACKAGECONFIG', 'relay', '${PN}-relay', '', d)} \
"
SYSTEMD_SERVICE:${PN} = "nmnotify.socket"
SYSTEMD_SERVICE:nmnotifyd = "nmnotifyd.socket nmnotifyd.service"
SYSTEMD_SERVICE:${PN}-relay = "\
    nmnotify-relay.socket nmnotify-relay-proxied.socket nmnotify-relay-biff.socket nmnotify-relay-cyrus.socket \
    nmnotify-relay-status.socket nmnotify-relay.service nmnotify-relay-proxy.service nmnotify-relay-logs.service \
"
SYSTEMD_AUTO_ENABLE = "disable"
