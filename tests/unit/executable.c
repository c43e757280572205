/* SPDX-License-Identifier: ISC */
/* Why a program cannot be executed: what is said, and that execve(2) agrees. */
#include "unit.h"

#include <dirent.h>
#include <elf.h>
#include <link.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "run/executable.h"

/* So that a copy of this program ends at once. */
#define COPY "NMNOTIFY_UNIT_COPY"

#define PERHAPS ", unless binfmt_misc knows it"

static const char *place;

/* PATH of a file in the test's folder; of the last four calls. */
static const char *in(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % COUNT(paths)];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", place, name);
	return path;
}

static const char *file_make(const char *name, const void *bytes, size_t length, mode_t mode)
{
	const char *path = in(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
	return path;
}

static const char *script_make(const char *name, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return file_make(name, text, strlen(text), 0755);
}

/* A copy of this program; `change` may change its first bytes. */
static const char *copy_make(const char *name, void (*change)(uint8_t *bytes, size_t length))
{
	static uint8_t bytes[8u << 20];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got;

	assert_true(fd >= 0);
	while ((got = read(fd, bytes + length, sizeof(bytes) - length)) > 0)
		length += (size_t)got;
	assert_int_equal(close(fd), 0);
	assert_true(length > sizeof(ElfW(Ehdr)) && length < sizeof(bytes));
	if (change != NULL)
		change(bytes, length);
	return file_make(name, bytes, length, 0755);
}

/* ---- What is said ---- */

static bool has_binfmt(void)
{
	DIR *directory = opendir("/proc/sys/fs/binfmt_misc");
	const struct dirent *entry;
	bool found = false;

	if (directory == NULL)
		return false;
	while ((entry = readdir(directory)) != NULL)
		found = found || (entry->d_name[0] != '.' &&
					 strcmp(entry->d_name, "register") != 0 &&
					 strcmp(entry->d_name, "status") != 0);
	(void)closedir(directory);
	return found;
}

static int execute(void *context)
{
	char *arguments[] = { context, NULL }, *environment[] = { COPY "=1", NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(null, STDERR_FILENO);
	execve(context, arguments, environment);
	return 99;
}

/* Does execve(2) take it? */
static bool executes(const char *path)
{
	char copy[512];

	(void)snprintf(copy, sizeof(copy), "%s", path);
	return unit_reap(unit_fork(execute, copy)) != 99;
}

static bool shell_is_as_wide(void)
{
	uint8_t ident[EI_CLASS + 1] = { 0 };
	int fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && read(fd, ident, sizeof(ident)) > 0 && close(fd) == 0);
	return ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
}

/* Where programs are emulated, none of ours can be executed, and under valgrind one that cannot ends
 * the process. Where the kernel runs ours beside its own, the shell is of another kind. */
static bool can_execute(void)
{
	static int can = -1;

	if (can < 0)
		can = shell_is_as_wide() && executes(copy_make("probe", NULL)) &&
		      !executes(script_make("probe2", "#!/no/such\n"));
	return can == 1;
}

/* `format` has the place for each %s. */
static void expect(const char *path, enum executable wanted, const char *format, ...)
{
	char bytes[1024] = "", message[1024] = "";
	struct text text = TEXT_IN(bytes);
	enum executable result = executable_explain(path, &text);
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (wanted == EXECUTABLE_DOUBTFUL) { /* here: if there is something that may know it */
		if (has_binfmt())
			(void)strcat(message, PERHAPS);
		else
			wanted = EXECUTABLE_WRONG;
	}
	assert_string_equal(bytes, message);
	assert_int_equal(result, wanted);
	if (wanted != EXECUTABLE_DOUBTFUL && can_execute())
		assert_int_equal(executes(path), wanted == EXECUTABLE_FINE);
}

static int begin(void **state)
{
	int result = unit_place_make(state);

	place = result == 0 ? ((struct unit_place *)*state)->path : NULL;
	return result;
}

static void executable_that_is_fine_has_no_message(void **state)
{
	(void)state;
	if (!can_execute())
		skip(); /* emulated: what this machine has is of another architecture */
	expect(copy_make("program", NULL), EXECUTABLE_FINE, "%s", "");
	expect(script_make("script", "#!/bin/sh\nexit 0\n"), EXECUTABLE_FINE, "%s", "");
	expect(script_make("blanks", "#! \t/bin/sh \t-e\nexit 0\n"), EXECUTABLE_FINE, "%s", "");
	expect(script_make("bare", "#!/bin/sh"), EXECUTABLE_FINE, "%s", "");
	expect(script_make("argument", "#!/bin/sh -e -x y\n"), EXECUTABLE_FINE, "%s", "");
	assert_int_equal(symlink("script", in("link")), 0);
	expect(in("link"), EXECUTABLE_FINE, "%s", "");
	expect(script_make("of-a-script", "#!%s\n", in("script")), EXECUTABLE_FINE, "%s", "");
}

static void executable_path_that_leads_nowhere_says_where(void **state)
{
	const char *p = place;

	(void)state;
	(void)file_make("file", "", 0, 0755); /* it could be entered, were it a directory */
	expect(in("none"), EXECUTABLE_WRONG, "%s/none: No such file or directory", p);
	expect(in("a/b"), EXECUTABLE_WRONG, "%s/a/b: No such file or directory", p);
	expect(in("file/b/c"), EXECUTABLE_WRONG, "%s/file/b/c: Not a directory (at %s/file)", p, p);
	assert_int_equal(symlink("none", in("nowhere")), 0);
	expect(in("nowhere"), EXECUTABLE_WRONG,
		"%s/nowhere: No such file or directory (it is a symlink to nothing)", p);
	assert_int_equal(symlink("loop", in("loop")), 0);
	expect(in("loop"), EXECUTABLE_WRONG, "%s/loop: %s", p, strerror(ELOOP));
	expect(in("loop/x"), EXECUTABLE_WRONG, "%s/loop/x: %s (at %s/loop)", p, strerror(ELOOP), p);
}

static void executable_is_a_regular_file(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	expect(place, EXECUTABLE_WRONG, "%s: a directory, not a program", place);
	assert_int_equal(mkfifo(in("fifo"), 0755), 0);
	expect(in("fifo"), EXECUTABLE_WRONG, "%s/fifo: a fifo, not a program", place);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in("socket"));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	(void)close(fd);
	expect(in("socket"), EXECUTABLE_WRONG, "%s/socket: a socket, not a program", place);
	expect("/dev/null", EXECUTABLE_WRONG, "/dev/null: a device, not a program");
}

static void executable_needs_permission(void **state)
{
	const char *path = file_make("text", "#!/bin/sh\n", 10, 0644);

	(void)state;
	expect(path, EXECUTABLE_WRONG, "%s: Permission denied (not executable for this user)", path);
}

static void executable_directory_that_bars_the_way_is_named(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in("shut"), 0700), 0);
	(void)script_make("shut/x", "#!/bin/sh\n");
	if (geteuid() == 0)
		skip(); /* root goes through: tests/integration/check.t becomes a user */
	assert_int_equal(chmod(in("shut"), 0), 0);
	expect(in("shut/x"), EXECUTABLE_WRONG, "%s/shut/x: Permission denied (at %s/shut)", place,
		place);
	assert_int_equal(chmod(in("shut"), 0700), 0);
}

static void executable_script_needs_its_interpreter(void **state)
{
	const char *p = place;
	char name[300];

	(void)state;
	expect(script_make("missing", "#!/no/such x\n"), EXECUTABLE_WRONG,
		"%s/missing: its interpreter /no/such: No such file or directory", p);
	expect(script_make("nested", "#!%s\n", in("missing")), EXECUTABLE_WRONG,
		"%s/nested: its interpreter %s/missing: its interpreter /no/such: No such file or "
		"directory",
		p, p);
	expect(script_make("directory", "#!%s\n", p), EXECUTABLE_WRONG,
		"%s/directory: its interpreter %s: a directory, not a program", p, p);
	(void)file_make("plain", "#!/bin/sh\n", 10, 0644);
	expect(script_make("denied", "#!%s\n", in("plain")), EXECUTABLE_WRONG,
		"%s/denied: its interpreter %s/plain: Permission denied (not executable for this "
		"user)",
		p, p);
	expect(script_make("crlf", "#!/bin/sh\r\nexit 0\r\n"), EXECUTABLE_WRONG,
		"%s/crlf: its interpreter /bin/sh\r: No such file or directory (its first line "
		"ends in CR LF: save it with LF alone)",
		p);
	expect(script_make("blank", "#!  \nx\n"), EXECUTABLE_DOUBTFUL,
		"%s/blank: its first line names no interpreter behind #!", p);
	expect(script_make("none", "#!"), EXECUTABLE_DOUBTFUL,
		"%s/none: its first line names no interpreter behind #!", p);
	/* The kernel reads 256 bytes, and an interpreter that goes on behind them is none. */
	memset(name, 'x', sizeof(name));
	name[253] = '\0';
	expect(script_make("long", "#!/%s\n", name), EXECUTABLE_DOUBTFUL,
		"%s/long: its first line names no interpreter behind #!", p);
	name[252] = '\0';
	expect(script_make("fits", "#!/%s\n", name), EXECUTABLE_WRONG,
		"%s/fits: its interpreter /%s: No such file or directory", p, name);
}

/* Interpreters of interpreters, as many as the kernel goes through, and one more. */
static void executable_interpreters_end_somewhere(void **state)
{
	char name[16], before[512], last[1024] = "";
	struct text text;

	(void)state;
	if (!can_execute())
		skip(); /* emulated: what this machine has is of another architecture */
	(void)snprintf(before, sizeof(before), "/bin/sh");
	for (unsigned i = 0; i < 8; i++) {
		char bytes[8192];
		enum executable result;
		const char *path;

		(void)snprintf(name, sizeof(name), "s%u", i);
		path = script_make(name, "#!%s\n", before);
		text = TEXT_IN(bytes);
		result = executable_explain(path, &text);
		assert_int_equal(result, i < 5 ? EXECUTABLE_FINE : EXECUTABLE_WRONG);
		if (can_execute())
			assert_int_equal(executes(path), result == EXECUTABLE_FINE);
		(void)snprintf(before, sizeof(before), "%s", path);
		if (result == EXECUTABLE_WRONG)
			(void)snprintf(last, sizeof(last), ": %s", strerror(ELOOP));
		if (result == EXECUTABLE_WRONG)
			assert_string_equal(bytes + strlen(bytes) - strlen(last), last);
	}
}

static void change_machine(uint8_t *bytes, size_t length)
{
	(void)length;
	((ElfW(Ehdr) *)(void *)bytes)->e_machine = 0x3f3f;
}

static void change_class(uint8_t *bytes, size_t length)
{
	(void)length;
	bytes[EI_CLASS] = bytes[EI_CLASS] == ELFCLASS64 ? ELFCLASS32 : ELFCLASS64;
}

static void change_order(uint8_t *bytes, size_t length)
{
	(void)length;
	bytes[EI_DATA] = bytes[EI_DATA] == ELFDATA2LSB ? ELFDATA2MSB : ELFDATA2LSB;
}

static void change_type(uint8_t *bytes, size_t length)
{
	(void)length;
	((ElfW(Ehdr) *)(void *)bytes)->e_type = ET_REL;
}

static bool has_loader;

/* The loader's name is then another, as long. */
static void change_loader(uint8_t *bytes, size_t length)
{
	const ElfW(Ehdr) *elf = (const void *)bytes;

	for (unsigned i = 0; i < elf->e_phnum; i++) {
		const ElfW(Phdr) *segment =
			(const void *)(bytes + elf->e_phoff + i * sizeof(*segment));

		if (segment->p_type != PT_INTERP)
			continue;
		assert_true(segment->p_offset + segment->p_filesz <= length);
		memcpy(bytes + segment->p_offset, "/no-", 4);
		has_loader = true;
	}
}

static void executable_elf_is_one_of_this_machine(void **state)
{
	static const char kind[] = "a program for another kind of machine";
	char bytes[512] = "", wanted[64];
	struct text text;

	(void)state;
	expect(copy_make("machine", change_machine), EXECUTABLE_DOUBTFUL, "%s/machine: %s", place,
		kind);
	expect(copy_make("type", change_type), EXECUTABLE_DOUBTFUL,
		"%s/type: an object file, not a program", place);
	expect(file_make("short", "\177ELF", 4, 0755), EXECUTABLE_DOUBTFUL, "%s/short: %s", place,
		kind);
	/* Some kernels have 32-bit programs, too, and some do not look at the order of bytes. */
	(void)copy_make("class", change_class);
	(void)copy_make("order", change_order);
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i == 0 ? "class" : "order";

		text = TEXT_IN(bytes);
		assert_int_not_equal(executable_explain(in(name), &text), EXECUTABLE_FINE);
		(void)snprintf(wanted, sizeof(wanted), "/%s: %s", name, kind);
		assert_non_null(strstr(bytes, wanted));
	}
	text = TEXT_IN(bytes);
	(void)copy_make("loader", change_loader);
	assert_int_equal(executable_explain(in("loader"), &text),
		has_loader ? EXECUTABLE_WRONG : EXECUTABLE_FINE);
	if (!has_loader)
		skip(); /* we are static */
	assert_non_null(strstr(bytes, "/loader: its loader /no-"));
	assert_non_null(strstr(bytes, ": No such file or directory"));
	if (can_execute())
		assert_false(executes(in("loader")));
}

static void executable_is_a_program_or_a_script(void **state)
{
	static const char neither[] =
		"neither a program nor a script, whose first line is #! and its interpreter";

	(void)state;
	expect(script_make("text", "echo hello\n"), EXECUTABLE_DOUBTFUL, "%s/text: %s", place, neither);
	expect(file_make("empty", "", 0, 0755), EXECUTABLE_DOUBTFUL, "%s/empty: %s", place, neither);
	expect(script_make("space", " #!/bin/sh\n"), EXECUTABLE_DOUBTFUL, "%s/space: %s", place, neither);
	expect(script_make("hash", "#"), EXECUTABLE_DOUBTFUL, "%s/hash: %s", place, neither);
}

static void executable_script_is_known_by_its_first_bytes(void **state)
{
	(void)state;
	assert_true(executable_is_script(script_make("script", "#!/bin/sh\n")));
	assert_true(executable_is_script(file_make("plain", "#!", 2, 0644)));
	assert_false(executable_is_script(script_make("text", "# !/bin/sh\n")));
	assert_false(executable_is_script(file_make("empty", "", 0, 0755)));
	assert_false(executable_is_script(file_make("one", "#", 1, 0755)));
	assert_false(executable_is_script(copy_make("program", NULL)));
	assert_false(executable_is_script(place));
	assert_false(executable_is_script(in("none")));
	assert_int_equal(mkfifo(in("fifo"), 0755), 0);
	assert_false(executable_is_script(in("fifo"))); /* and it does not wait for it */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, unit_place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(executable_that_is_fine_has_no_message),
		TEST(executable_path_that_leads_nowhere_says_where),
		TEST(executable_is_a_regular_file),
		TEST(executable_needs_permission),
		TEST(executable_directory_that_bars_the_way_is_named),
		TEST(executable_script_needs_its_interpreter),
		TEST(executable_interpreters_end_somewhere),
		TEST(executable_elf_is_one_of_this_machine),
		TEST(executable_is_a_program_or_a_script),
		TEST(executable_script_is_known_by_its_first_bytes),
	};

	if (getenv(COPY) != NULL)
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
