/* SPDX-License-Identifier: ISC */
/*
 * syscalls ARCHITECTURE
 *
 * Prints the system calls that libseccomp knows on an architecture, given as the kernel's number
 * for it (AUDIT_ARCH_*, linux/audit.h): a line each with number and name.
 */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>

/* Where no architecture's numbers go beyond; and where arm keeps a few of its own. */
enum { NUMBERS = 10000, ARM_FIRST = 0xf0000, ARM_LAST = 0xf00ff };

static void print_range(unsigned architecture, int first, int last)
{
	for (int number = first; number <= last; number++) {
		char *name = seccomp_syscall_resolve_num_arch(architecture, number);

		if (name != NULL)
			printf("%d %s\n", number, name);
		free(name);
	}
}

int main(int argc, char **argv)
{
	unsigned architecture;

	if (argc != 2)
		return 2;
	architecture = (unsigned)strtoul(argv[1], NULL, 0);
	print_range(architecture, 0, NUMBERS);
	print_range(architecture, ARM_FIRST, ARM_LAST);
	return fflush(stdout) == 0 ? 0 : 1;
}
