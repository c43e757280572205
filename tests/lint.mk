# SPDX-License-Identifier: ISC
#
# make lint            all analysers: twelve minutes; installs likewise

# Beyond WARNINGS. Not among them, and why: -Wswitch-enum, since `default` is there to be used;
# -Wlogical-op, which takes EAGAIN and EWOULDBLOCK for a mistake.
GCC_WARNINGS := -Walloca -Warith-conversion -Wbad-function-cast -Wcast-align=strict -Wcast-qual \
	-Wdate-time -Wdouble-promotion -Wduplicated-branches -Wduplicated-cond -Wfloat-equal \
	-Wformat-signedness -Wformat=2 -Wimplicit-fallthrough=5 -Winit-self -Wjump-misses-init \
	-Wmissing-prototypes -Wnested-externs -Wnull-dereference -Wold-style-definition \
	-Wpointer-arith -Wstack-usage=16384 -Wstrict-overflow=2 -Wstrict-prototypes -Wswitch-default \
	-Wtrampolines -Wundef -Wunused-macros -Wvla -Wwrite-strings
# All of clang's, minus: layout, C90 and C99; macros, reserved names and struct cmsghdr, which are the
# libc's; `default` in a switch over an enum; and what newer clangs say about every pointer.
CLANG_WARNINGS := -Weverything -Wno-unknown-warning-option -Wno-padded -Wno-declaration-after-statement \
	-Wno-pre-c11-compat \
	-Wno-disabled-macro-expansion -Wno-reserved-macro-identifier -Wno-reserved-identifier -Wno-flexible-array-extensions \
	-Wno-switch-enum -Wno-covered-switch-default -Wno-switch-default -Wno-unsafe-buffer-usage
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SOURCES := $(wildcard src/*/*.c)
TURN_TESTS = $(filter $(BUILD)/tests/unit/turn%,$(UNIT_TESTS))
SHELL_SCRIPTS := .ci/run packaging/dist packaging/recipes tests/demo tests/other-release tests/packages tests/prove tests/tap units/completion/nmnotifyctl.bash

lint:
	$(Q)tests/packages build lint
	$(Q)$(MAKE) --no-print-directory lint-law lint-gcc lint-analyzer lint-clang lint-format lint-cppcheck lint-tidy lint-man \
		lint-shell lint-units lint-valgrind lint-sanitize lint-memory

lint-law:
	$(call say,LINT,folders)
	$(Q)tests/law

lint-gcc:
	$(call say,LINT,gcc)
	$(Q)$(MAKE) -s BUILD=$(BUILD)/lint/gcc CC=gcc HOSTCC=gcc WARNINGS='$(WARNINGS) $(GCC_WARNINGS)' all

# gcc 12's analyser is wrong about policy/compile/, where it loses sight of what an array keeps.
lint-analyzer:
	$(call say,LINT,gcc -fanalyzer)
	$(Q)printf '%s\n' $(SOURCES) | xargs -P 2 -I % \
		gcc -std=c11 -O2 -fanalyzer -Werror $(DEFINES) -c -o /dev/null %

lint-clang:
	$(call say,LINT,clang)
	$(Q)$(MAKE) -s BUILD=$(BUILD)/lint/clang CC=clang HOSTCC=clang WARNINGS='$(WARNINGS) $(CLANG_WARNINGS)' all

lint-format:
	$(call say,LINT,clang-format)
	$(Q)clang-format --dry-run -Werror $(wildcard src/*/*.[ch] src/*/*/*.[ch])

# Variables are declared where a function begins, which cppcheck would have elsewhere; and it does
# not see that text_add() sets the array of TEXT_IN(). Members of the kernel's structs are the kernel's to
# use.
lint-cppcheck:
	$(call say,LINT,cppcheck)
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --enable=warning,style,performance,portability \
		--suppress=missingIncludeSystem --suppress=unusedStructMember --suppress=variableScope --suppress=uninitvar \
		$(DEFINES) src

# A process for each file: in one for all, the analyser mixes up their va_lists. On standard error it
# only counts what it has not shown.
lint-tidy:
	$(call say,LINT,clang-tidy)
	$(Q)printf '%s\n' $(SOURCES) $(wildcard src/policy/compile/*.c) | xargs -P 2 -I % \
		clang-tidy --quiet % -- -std=c11 $(DEFINES) 2>/dev/null

lint-man:
	$(call say,LINT,mandoc)
	$(Q)$(if $(PAGES),mandoc -Tlint -W warning $(PAGES))

lint-shell:
	$(call say,LINT,shellcheck)
	$(Q)shellcheck $(SHELL_SCRIPTS)

# As they are installed, where the program is there, too.
lint-units: all
	$(call say,LINT,systemd-analyze)
	$(Q)$(MAKE) -s install DESTDIR=$(abspath $(BUILD))/lint/root PREFIX=/usr SYSTEMDUNITDIR=/lib/systemd/system
	$(Q)cd $(BUILD)/lint/root/lib/systemd/system && sed -i 's,/usr/sbin,$(abspath $(BUILD))/lint/root/usr/sbin,' *.service && \
		systemd-analyze verify --man=no $(UNITS:%=./%) $(RELAY_UNITS:%=./%)

# Debian 12's valgrind has no pidfd_open(2), which the turn and what is built on it rest on; of that it also complains, which
# is not to be read unless a test fails.
lint-valgrind: LOGS = $(BUILD)/lint/valgrind
lint-valgrind: VALGRIND = valgrind --quiet --leak-check=full --error-exitcode=99 \
	--suppressions=tests/valgrind.supp --log-file=$(LOGS)/%p
lint-valgrind: $(UNIT_TESTS)
	$(call say,LINT,valgrind)
	$(Q)rm -rf $(LOGS) && mkdir -p $(LOGS)
	$(Q)$(MAKE) -s PROVEFLAGS='-Q -j1' UNIT_TESTS='$(filter-out $(TURN_TESTS) %/decision,$(UNIT_TESTS))' UNDER='$(VALGRIND)' check-unit || \
		{ grep -h '^==' $(LOGS)/*; exit 1; }

lint-sanitize: sanitize-gcc sanitize-clang

SANITIZE_SCRIPTS := $(foreach name,conf line silence state turn,$(wildcard tests/integration/$(name)*.t))

# The behaviour tests are slow with it, so those that take longest are left out, and one compiler's
# programs have to do; of the other one's, only the unit tests are built.
sanitize-%: DIR = $(BUILD)/lint/sanitize-$*
sanitize-%:
	$(call say,LINT,$* -fsanitize)
	$(Q)mkdir -p $(DIR) && $* -c -o $(DIR)/sanitizer.o tests/sanitizer.c
	$(Q)$(MAKE) -s BUILD=$(DIR) CC=$* HOSTCC=$* STATIC=no OPTIMISE=-O1 EXTRA='$(SANITIZE) -U_FORTIFY_SOURCE' \
		LDFLAGS=$(DIR)/sanitizer.o PROVEFLAGS=-Q check-unit $(if $(filter gcc,$*),all test-programs)
	$(Q)$(if $(filter gcc,$*),$(call prove,$(DIR)) -Q $(SANITIZE_SCRIPTS))

# What is read before it was set, which no other sanitizer sees. Without the tests that make thousands of
# processes or go through one an instruction at a time, which takes minutes here, and without the clock's,
# whose margins are milliseconds. There is no -fsanitize=thread: no process has a second thread, and memory
# that processes share it does not watch. Nor the tests that read what liblmdb, libjansson and
# libsystemd have written, which are not built so.
lint-memory: DIR = $(BUILD)/lint/memory
lint-memory:
	$(call say,LINT,clang -fsanitize=memory)
	$(Q)$(MAKE) -s BUILD=$(DIR) CC=clang HOSTCC=clang STATIC=no PROVEFLAGS=-Q \
		EXTRA='-fsanitize=memory -fno-sanitize-recover=all -fno-omit-frame-pointer -U_FORTIFY_SOURCE' \
		UNIT_TESTS='$(patsubst $(BUILD)/%,$(DIR)/%,$(filter-out $(TURN_TESTS) %/decision %/limiter_processes %/limiter_cells %/clock %/cyrus %/names %/status_json %/store %/table_lmdb,$(UNIT_TESTS)))' check-unit

.PHONY: lint lint-law lint-gcc lint-clang lint-format lint-cppcheck lint-tidy lint-man lint-shell lint-units lint-valgrind lint-sanitize \
	lint-analyzer lint-memory
