# SPDX-License-Identifier: ISC
#
# What is installed where, of either end: programs, pages, units. `make` of ../Makefile does it.

CTL_PLACES := $(CTL:%=$(BINDIR)/%)
LISTENER_PLACES := $(LISTENER_PROGRAMS:%=$(SBINDIR)/%) $(CTL_PLACES)
HAS_RELAY := $(filter nmnotify-relay,$(SENDER_PROGRAMS))
SENDER_PLACES := $(BINDIR)/nmnotify-send $(SBINDIR)/nmnotify-login \
	$(if $(HAS_RELAY),$(addprefix $(SBINDIR)/,nmnotify-relay nmnotify-relay-proxy nmnotify-relay-logs)) $(CTL_PLACES)
PAGES := $(wildcard man/*.[1-9])
RELAY_PAGES := man/nmnotify-relay.8 man/nmnotify-relay-logs.8 man/nmnotify-relay.conf.5 man/nmnotify-mail.7
SENDER_PAGES := $(filter man/nmnotify-send.1 man/nmnotify-login.8 $(if $(HAS_RELAY),$(RELAY_PAGES)),$(PAGES))
# Without a place for them there are none, nor what only systemd reads.
HAS_UNITS := $(if $(SYSTEMDUNITDIR),yes)
UNITS := $(if $(HAS_UNITS),nmnotify.socket nmnotify@.service $(if $(filter no,$(SYSTEMD)),,nmnotifyd.socket nmnotifyd.service))
RELAY_UNITS := $(if $(and $(HAS_UNITS),$(HAS_RELAY)),$(addprefix nmnotify-relay,.socket -proxied.socket -biff.socket -cyrus.socket -status.socket .service -proxy.service -logs.service))
# Both managers have them; the system's alone knows sleep.
START_UNITS := $(if $(HAS_UNITS),nmnotify-start@.service nmnotify-start@.timer)
RESUME_UNIT := $(if $(HAS_UNITS),nmnotify-resume@.service)
WATCH_UNITS := $(if $(HAS_UNITS),nmnotify-watch@.path nmnotify-watch@.service)
# What only younger systemds know is in drop-ins; older ones would warn of it.
since = $(shell [ '$(firstword $(subst ., ,$(SYSTEMD_VERSION)))' -ge $(1) ] 2>/dev/null && echo yes)
dropins = $(if $(call since,253),$(patsubst %,%.d/notify-reload.conf,$(filter %d.service %relay.service,$(1)))) \
	$(if $(call since,254),$(patsubst %,%.d/restart-steps.conf,$(filter %d.service %relay.service,$(1)))) \
	$(if $(call since,255),$(patsubst %,%.d/poll-limit.conf,$(filter %.socket,$(1))))
DROPINS := $(call dropins,$(UNITS))
RELAY_DROPINS := $(call dropins,$(RELAY_UNITS))
# Text files: from where, a colon, to where.
page_text = $(1):$(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))
CTL_PAGES := $(if $(CTL),man/nmnotifyctl.8)
# Each shell's completion where it looks for those of packages; and what watches either end with Prometheus
# and Grafana.
CTL_TEXTS := $(foreach page,$(CTL_PAGES),$(call page_text,$(page))) $(if $(CTL), \
	units/completion/nmnotifyctl.bash:$(PREFIX)/share/bash-completion/completions/nmnotifyctl \
	units/completion/nmnotifyctl.fish:$(PREFIX)/share/fish/vendor_completions.d/nmnotifyctl.fish \
	units/completion/_nmnotifyctl:$(ZSHDIR)/_nmnotifyctl \
	units/prometheus/nmnotify.rules.yml:$(DOCDIR)/nmnotify.rules.yml \
	units/grafana/nmnotify.json:$(DOCDIR)/nmnotify.grafana.json)
# That page is about both ends.
SENDER_TEXTS := $(foreach page,$(SENDER_PAGES) man/nmnotify-tunnel.7,$(call page_text,$(page))) $(CTL_TEXTS) \
	$(foreach unit,$(RELAY_UNITS),units/$(unit):$(SYSTEMDUNITDIR)/$(unit)) \
	$(foreach unit,$(WATCH_UNITS),units/user/$(unit):$(SYSTEMDUSERUNITDIR)/$(unit)) \
	$(foreach dropin,$(RELAY_DROPINS),units/$(notdir $(dropin)):$(SYSTEMDUNITDIR)/$(dropin)) \
	$(if $(RELAY_UNITS),units/nmnotify-relay.sysusers:$(SYSUSERSDIR)/nmnotify-relay.conf) \
	$(if $(HAS_RELAY),$(foreach name,nmnotify-relay.conf nmnotify-relay-logs.conf,units/$(name):$(DOCDIR)/$(name).example))
LISTENER_TEXTS := $(foreach page,$(filter-out $(SENDER_PAGES) $(RELAY_PAGES) man/nmnotifyctl.8,$(PAGES)),$(call page_text,$(page))) $(CTL_TEXTS) \
	$(foreach unit,$(UNITS) $(START_UNITS) $(RESUME_UNIT),units/$(unit):$(SYSTEMDUNITDIR)/$(unit)) \
	$(foreach unit,$(UNITS) $(START_UNITS),units/user/$(unit):$(SYSTEMDUSERUNITDIR)/$(unit)) \
	$(foreach dropin,$(DROPINS),$(foreach directory,$(SYSTEMDUNITDIR) $(SYSTEMDUSERUNITDIR), \
		units/$(notdir $(dropin)):$(directory)/$(dropin))) \
	$(if $(HAS_UNITS),units/nmnotify.sysusers:$(SYSUSERSDIR)/nmnotify.conf units/nmnotify.tmpfiles:$(TMPFILESDIR)/nmnotify.conf) \
	units/inetd.conf:$(DOCDIR)/inetd.conf units/xinetd:$(DOCDIR)/xinetd \
	units/nmnotify.conf:$(DOCDIR)/nmnotify.conf.example
# Profiles are loaded from there when the machine boots: only for who asks for them.
APPARMOR ?= no
APPARMOR_FILES := $(if $(filter yes,$(APPARMOR)),nmnotify nmnotifyd abstractions/nmnotify)
APPARMOR_RELAY := $(if $(filter yes,$(APPARMOR)),$(if $(HAS_RELAY),nmnotify-relay nmnotify-relay-proxy nmnotify-relay-logs))
LISTENER_TEXTS += $(foreach file,$(APPARMOR_FILES),packaging/apparmor/$(file):$(SYSCONFDIR)/apparmor.d/$(file))
SENDER_TEXTS += $(foreach file,$(APPARMOR_RELAY),packaging/apparmor/$(file):$(SYSCONFDIR)/apparmor.d/$(file))
