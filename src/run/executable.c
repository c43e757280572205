/* SPDX-License-Identifier: ISC */
#include "run/executable.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/fd.h"

/* What the kernel looks at (binfmts.h, BINPRM_BUF_SIZE). */
#define HEADER_BYTES 256

/* How many interpreters of interpreters the kernel goes through. */
#define DEPTH_MAX 5

/* A program that is linked by hand may have more; its loader is then not looked for. */
#define SEGMENTS_MAX 64

struct header {
	union {
		char bytes[HEADER_BYTES];
		ElfW(Ehdr) elf;
	};
	size_t length;
};

/* Our own beginning, which says what this machine's programs are like. From the linker. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): it is ld(1)'s. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static enum executable explain(const char *path, unsigned depth, struct text *text);

/* ---- The path ---- */

/* The first directory on the way that keeps us from going on; false: none. */
static bool way_is_barred(const char *path, char prefix[static PATH_MAX])
{
	struct stat st;

	for (const char *slash = strchr(path + 1, '/'); slash != NULL;
		slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - path);

		if (length >= PATH_MAX)
			return false;
		memcpy(prefix, path, length);
		prefix[length] = '\0';
		if (stat(prefix, &st) != 0 || !S_ISDIR(st.st_mode) || access(prefix, X_OK) != 0)
			return true;
	}
	return false;
}

static void explain_missing(const char *path, int error, struct text *text)
{
	char prefix[PATH_MAX];
	struct stat st;

	text_add(text, "%s: %s", path, strerror(error));
	if (error != ENOENT && way_is_barred(path, prefix))
		text_add(text, " (at %s)", prefix);
	else if (error == ENOENT && lstat(path, &st) == 0)
		text_add(text, " (it is a symlink to nothing)");
}

static const char *kind_name(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a fifo";
	return S_ISSOCK(mode) ? "a socket" : "a device";
}

static void explain_permission(const char *path, int error, struct text *text)
{
	struct statvfs vfs;

	text_add(text, "%s: %s", path, strerror(error));
	if (statvfs(path, &vfs) == 0 && (vfs.f_flag & ST_NOEXEC))
		text_add(text, " (its file system is mounted noexec)");
	else
		text_add(text, " (not executable for this user)");
}

/* ---- binfmt_misc ---- */

/* Has anybody told the kernel of other kinds of program? */
static bool has_binfmt_misc(void)
{
	const char *const usual[] = { "register", "status", NULL };
	int fd = open("/proc/sys/fs/binfmt_misc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool found = fd >= 0 && !fd_holds_only(fd, usual);

	if (fd >= 0)
		(void)close(fd); /* was only read */
	return found;
}

static enum executable no_format(const char *path, const char *what, struct text *text)
{
	bool perhaps = has_binfmt_misc();

	text_add(text, "%s: %s%s", path, what, perhaps ? ", unless binfmt_misc knows it" : "");
	return perhaps ? EXECUTABLE_DOUBTFUL : EXECUTABLE_WRONG;
}

/* ---- What is in it ---- */

static int header_read(const char *path, struct header *header)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, header->bytes, sizeof(header->bytes));

	header->length = got < 0 ? 0 : (size_t)got;
	if (fd >= 0 && got < 0) {
		(void)close(fd); /* was only read */
		return -1;
	}
	return fd;
}

static bool is_script(const struct header *header)
{
	return header->length >= 2 && memcmp(header->bytes, "#!", 2) == 0;
}

/* The interpreter of a script, as the kernel reads it; false if it finds none. */
static bool interpreter_take(const struct header *header, char name[static HEADER_BYTES])
{
	const char *end = header->bytes + header->length, *from = header->bytes + 2;
	size_t length = 0;

	while (from < end && (*from == ' ' || *from == '\t'))
		from++;
	while (from + length < end && strchr(" \t\n", from[length]) == NULL)
		length++;
	/* strchr() finds the NUL, too. Cut off by the end of what the kernel reads, it is none. */
	if (length == 0 || (from + length == end && header->length == HEADER_BYTES))
		return false;
	memcpy(name, from, length);
	name[length] = '\0';
	return true;
}

static enum executable explain_script(
	const char *path, const struct header *header, unsigned depth, struct text *text)
{
	char name[HEADER_BYTES];
	size_t before = text->length;
	enum executable result;

	if (!interpreter_take(header, name))
		return no_format(path, "its first line names no interpreter behind #!", text);
	text_add(text, "%s: its interpreter ", path);
	result = explain(name, depth + 1, text);
	if (result == EXECUTABLE_FINE) {
		text->length = before;
		text->bytes[before] = '\0';
	} else if (name[strlen(name) - 1] == '\r') {
		text_add(text, " (its first line ends in CR LF: save it with LF alone)");
	}
	return result;
}

/* The loader that a dynamic program asks for; false if it asks for none. */
static bool loader_read(int fd, const ElfW(Ehdr) * elf, char name[static PATH_MAX])
{
	ElfW(Phdr) segment;
	ssize_t got;

	for (unsigned i = 0; i < elf->e_phnum && i < SEGMENTS_MAX; i++) {
		off_t at = (off_t)(elf->e_phoff + i * sizeof(segment));

		if (pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment))
			return false;
		if (segment.p_type != PT_INTERP || segment.p_filesz == 0 ||
			segment.p_filesz >= PATH_MAX)
			continue;
		got = pread(fd, name, segment.p_filesz, (off_t)segment.p_offset);
		if (got <= 0)
			return false;
		name[got] = '\0';
		return true;
	}
	return false;
}

static enum executable explain_elf(
	const char *path, int fd, const struct header *header, struct text *text)
{
	const ElfW(Ehdr) *elf = &header->elf;
	char loader[PATH_MAX];

	if (header->length < sizeof(*elf) ||
		memcmp(elf->e_ident, __ehdr_start.e_ident, EI_VERSION) != 0 ||
		elf->e_machine != __ehdr_start.e_machine)
		return no_format(path, "a program for another kind of machine", text);
	if (elf->e_type != ET_EXEC && elf->e_type != ET_DYN)
		return no_format(path, "an object file, not a program", text);
	if (!loader_read(fd, elf, loader) || access(loader, X_OK) == 0)
		return EXECUTABLE_FINE;
	text_add(text, "%s: its loader %s: %s", path, loader, strerror(errno));
	return EXECUTABLE_WRONG;
}

static enum executable explain_content(const char *path, unsigned depth, struct text *text)
{
	enum executable result = EXECUTABLE_FINE;
	struct header header = { .length = 0 };
	int fd = header_read(path, &header);

	if (fd < 0)
		return EXECUTABLE_FINE; /* who may not read it may execute it all the same */
	if (is_script(&header))
		result = explain_script(path, &header, depth, text);
	else if (header.length >= SELFMAG && memcmp(header.bytes, ELFMAG, SELFMAG) == 0)
		result = explain_elf(path, fd, &header, text);
	else
		result = no_format(path,
			"neither a program nor a script, whose first line is #! and its "
			"interpreter",
			text);
	(void)close(fd); /* was only read */
	return result;
}

static enum executable explain(const char *path, unsigned depth, struct text *text)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		explain_missing(path, errno, text);
		return EXECUTABLE_WRONG;
	}
	if (!S_ISREG(st.st_mode)) {
		text_add(text, "%s: %s, not a program", path, kind_name(st.st_mode));
		return EXECUTABLE_WRONG;
	}
	if (access(path, X_OK) != 0) {
		explain_permission(path, errno, text);
		return EXECUTABLE_WRONG;
	}
	if (depth > DEPTH_MAX) {
		text_add(text, "%s: %s", path, strerror(ELOOP));
		return EXECUTABLE_WRONG;
	}
	return explain_content(path, depth, text);
}

enum executable executable_explain(const char *path, struct text *text)
{
	return explain(path, 0, text);
}

bool executable_is_script(const char *path)
{
	struct header header = { .length = 0 };
	struct stat st;
	int fd;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	fd = header_read(path, &header);
	if (fd >= 0)
		(void)close(fd); /* was only read */
	return fd >= 0 && is_script(&header);
}
