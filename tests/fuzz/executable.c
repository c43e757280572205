/* SPDX-License-Identifier: ISC */
/*
 * Why a program cannot be executed, for any bytes in its file: -t reads it before anybody has run it.
 * Something is said exactly if it is not fine, and begins with the path; nothing is executed.
 */
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "run/executable.h"

/* What the kernel's own rule says of a file that is neither a script nor an ELF file. */
static bool is_known(const uint8_t *data, size_t size)
{
	return (size >= 2 && memcmp(data, "#!", 2) == 0) ||
	       (size >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;
	char bytes[16384] = "";
	struct text text = TEXT_IN(bytes);
	enum executable result;

	if (fd < 0) {
		fd = memfd_create("program", MFD_CLOEXEC);
		must(fd >= 0 && fchmod(fd, 0755) == 0);
		/* A script can name this one as its interpreter. */
		must(dup2(fd, 99) == 99);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/99");
	}
	must(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	result = executable_explain(path, &text);
	must(!text.cut && text.length == strlen(bytes));
	must((result == EXECUTABLE_FINE) == (text.length == 0));
	must(text.length == 0 || strncmp(bytes, path, strlen(path)) == 0);
	must(is_known(data, size) || result != EXECUTABLE_FINE);
	must(executable_is_script(path) == (size >= 2 && memcmp(data, "#!", 2) == 0));
	return 0;
}
