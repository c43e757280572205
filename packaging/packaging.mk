# SPDX-License-Identifier: ISC
#
# make dist            build/dist/nmnotify-VERSION.tar.gz: the source; the same bytes from the same commit; SIGN=KEY signs it
# make sbom            build/dist/nmnotify-VERSION.spdx.json: what is linked into and with the programs
# make recipes         build/dist/recipes: what other systems make their packages by, for that tarball
# make packages        the packages of ../packaging/README.md's table, built and tried; takes root or sudo, installs likewise

# Beside the packages that are made of it.
DIST := $(BUILD)/dist
TARBALL := $(DIST)/nmnotify-$(VERSION).tar.gz
# Each makes the packages of one system of the tarball, in $(DIST)/SYSTEM, and tries them.
PACKAGE_SCRIPTS := $(wildcard tests/packaging/*.t)

dist:
	$(call say,DIST,$(TARBALL))
	$(Q)packaging/dist $(VERSION) $(DIST)
	$(if $(SIGN),$(Q)rm -f $(TARBALL).sig && ssh-keygen -q -Y sign -f '$(SIGN)' -n nmnotify $(TARBALL))

sbom: all
	$(call say,SBOM,$(DIST)/nmnotify-$(VERSION).spdx.json)
	$(Q)mkdir -p $(DIST) && packaging/sbom $(BUILD) $(VERSION) >$(DIST)/nmnotify-$(VERSION).spdx.json

recipes: dist
	$(call say,RECIPES,$(DIST)/recipes)
	$(Q)packaging/recipes $(VERSION) $(DIST)

packages: THESE = $(PACKAGE_SCRIPTS)
packages:
	$(Q)tests/packages build packages
	$(Q)$(MAKE) --no-print-directory all recipes
	$(Q)$(if $(filter-out 0,$(shell id -u)),sudo -n) env $(PROVE) $(THESE)

.PHONY: dist sbom recipes packages
