/* SPDX-License-Identifier: ISC */
/*
 * Loaded before libseccomp (LD_PRELOAD), makes it one of the future: every number behind the newest
 * call that NEWEST names has a name, and so have the gap that x86_64 left and the one call that
 * riscv has got since without a number on x86_64.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On every architecture new calls have had the same number since 424 (Linux 5.1). */
enum { FUTURE = 600, GAP_FIRST = 335, GAP_LAST = 423, RISCV_HWPROBE = 258 };

static const char prefix[] = "from_the_future_";

typedef char *by_number(uint32_t architecture, int number);
typedef int by_name(uint32_t architecture, const char *name);

/* mips: o32 from 4000, n64 from 5000, n32 from 6000 (asm/unistd.h). */
static int first_number(uint32_t architecture)
{
	switch (architecture) {
	case SCMP_ARCH_MIPS:
	case SCMP_ARCH_MIPSEL: return 4000;
	case SCMP_ARCH_MIPS64:
	case SCMP_ARCH_MIPSEL64: return 5000;
	case SCMP_ARCH_MIPS64N32:
	case SCMP_ARCH_MIPSEL64N32: return 6000;
	default: return 0;
	}
}

static int newest(void)
{
	const char *number = getenv("NEWEST");

	return number != NULL ? atoi(number) : FUTURE;
}

static int is_of_the_future(uint32_t architecture, int number)
{
	if (architecture == SCMP_ARCH_X86_64 && number >= GAP_FIRST && number <= GAP_LAST)
		return 1;
	return number > newest() && number <= FUTURE;
}

char *seccomp_syscall_resolve_num_arch(uint32_t architecture, int number)
{
	by_number *real = (by_number *)dlsym(RTLD_NEXT, "seccomp_syscall_resolve_num_arch");
	char *name = real != NULL ? real(architecture, number) : NULL;

	number -= first_number(architecture);
	if (architecture == SCMP_ARCH_RISCV64 && number == RISCV_HWPROBE && name == NULL)
		return strdup("riscv_hwprobe");
	if (name == NULL && is_of_the_future(architecture, number) &&
		asprintf(&name, "%s%d", prefix, number) < 0)
		abort();
	return name;
}

int seccomp_syscall_resolve_name_arch(uint32_t architecture, const char *name)
{
	by_name *real = (by_name *)dlsym(RTLD_NEXT, "seccomp_syscall_resolve_name_arch");

	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		return first_number(architecture) + atoi(name + sizeof(prefix) - 1);
	return real != NULL ? real(architecture, name) : __NR_SCMP_ERROR;
}
