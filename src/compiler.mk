# SPDX-License-Identifier: ISC
#
# What the compilers are, which options they have, and how they make a static program.

# musl makes the smaller and quicker static program; without it the compiler's own libc does.
ifeq ($(origin CC),default)
CC := $(if $(CROSS),$(CROSS)gcc,$(if $(shell command -v musl-gcc),musl-gcc,cc))
endif
TARGET := $(shell $(CC) -dumpmachine)

# What not every compiler has: gcc has all of it from 12 on, clang from 16 on.
has_option = $(shell $(1) -Werror $(2) -x c -S -o /dev/null /dev/null 2>/dev/null && echo $(2))
harden = $(foreach option,-fstack-clash-protection -ftrivial-auto-var-init=zero,$(call has_option,$(1),$(option)))

# Debian's musl-gcc is gcc with a spec file that knows dynamic programs only: -static-pie would
# leave an interpreter in the file and start it with the wrong crt. It hides the kernel's headers,
# too; behind musl's own they do no harm. A compiler whose libc is musl says so in its triplet: that
# one knows static-pie, whatever its name.
ifneq ($(and $(filter %musl-gcc,$(firstword $(CC))),$(if $(findstring musl,$(TARGET)),,wrapper)),)
MUSL_DIR := $(dir $(shell sed -n 's/.*-specs "\([^"]*\)".*/\1/p' "$(shell command -v $(firstword $(CC)))"))
LIBC_INCLUDES := $(patsubst %,-idirafter %,$(if $(CROSS),/usr/$(CROSS:%-=%)/include,/usr/include/$(shell $(CC) -print-multiarch) /usr/include))
STATIC_PIE := -nostartfiles $(addprefix $(MUSL_DIR),rcrt1.o crti.o) -Wl,-static,-pie,--no-dynamic-linker,-z,text
STATIC_END := $(addprefix $(MUSL_DIR),crtn.o)
NO_RELRO := -Wl,-z,norelro
# Behind the code, which may become twice what it is; the linker says so if it is more.
VARIABLES_PAGE := -Wl,--section-start=.data.rel.ro=0x40000
else
# glibc has it for some architectures only (for arm not); a static program that is not
# position-independent is the next best.
STATIC_PIE := $(if $(filter /%,$(shell $(CC) -print-file-name=rcrt1.o)),-static-pie,-static)
endif
# For sanitizers, which need a dynamic program: make STATIC=no
ifeq ($(STATIC),no)
STATIC_PIE := -pie
endif

# The service is a program of the system's own libc, for libsystemd. SYSTEMD=no does without it, as
# a cross build does unless told that the target's is there: then it is static, like the handler.
SYSTEMD ?= $(if $(CROSS),no,yes)
ifeq ($(SYSTEMD),no)
DAEMON_CC ?= $(CC)
DAEMON_PIE = $(STATIC_PIE)
DAEMON_END = $(STATIC_END)
else
DAEMON_CC ?= $(if $(CROSS),$(CROSS)gcc,$(HOSTCC))
DAEMON_PIE = -pie
DAEMON_END = -lsystemd
endif
