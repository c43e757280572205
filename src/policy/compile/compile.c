/* SPDX-License-Identifier: ISC */
/*
 * policy-compile TARGET FILE.policy... > policies.c
 *
 * Runs on the build machine and makes seccomp filters for the machine that the compiler's triplet
 * (cc -dumpmachine) names. The language is described at the top of always.policy.
 *
 * Names and numbers of system calls are libseccomp's; the filter is not, because
 *  - libseccomp has one answer for every call without a rule; here a call that was left out gets
 *    EPERM, but one that was invented after the policy was written ENOSYS;
 *  - its conditions say "allow if", never "refuse if not": what fails one gets the filter's
 *    default answer;
 *  - where there is a socketcall(), its rule for socket(AF_UNIX) also allows every other family
 *    by that road;
 *  - version 2.5.4 gets the byte order of some answers wrong when it cross builds for a big-endian
 *    target;
 *  - it asks for each number by itself. Runs of numbers with the same answer make a filter of a
 *    quarter of the size, and every connection has to load it.
 */
#define _GNU_SOURCE
#include "policy/policy.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>

/* Policies are the project's own files: whoever meets one of these limits raises it. */
enum {
	MAX_RULES = 1024,      /* libseccomp knows some 500 names */
	MAX_WORDS = 20,        /* of a line: NAME and three masked conditions are 19 */
	MAX_VALUES = 10,       /* of a condition */
	MAX_CONDITIONS = 3,    /* of a line: a socket's family, type and protocol */
	MAX_POLICIES = 16,     /* a call of this program */
	MAX_INCLUDES = 8,      /* deep: ends a file that includes itself */
	MAX_RANGES = 512,      /* of call numbers with one answer; arm has most, about 200 */
	WINDOW = 1000,         /* numbers that an architecture's table may span */
	ARM_PRIVATE = 0xf0000, /* where arm keeps a few calls of its own (set_tls) */
};

/* The numbers that x86_64 skipped when all architectures' new calls were to go on alike from 424.
 * What has been put there since (uretprobe) is younger than every `newest` written so far. */
enum { X86_64_GAP_FIRST = 335, X86_64_GAP_LAST = 423 };

/* From here on x86_64 has the x32 ABI's numbers: foreign, though the architecture is the same. */
#define X32_FIRST 0x40000000u

struct machine {
	const char *triplet; /* a pattern; the first that fits is it */
	uint32_t arch;       /* SCMP_ARCH_*, as the kernel tells the filter; 0: can't be done */
	uint32_t first;      /* number of the first call */
	bool big_endian;
	const char *defined; /* true for the preprocessor if it compiles for this target */
};

static const struct machine machines[] = {
	{ "x86_64*x32", 0, 0, false, NULL },
	{ "x86_64*", SCMP_ARCH_X86_64, 0, false, "defined(__x86_64__) && !defined(__ILP32__)" },
	{ "i[3-6]86*", SCMP_ARCH_X86, 0, false, "defined(__i386__)" },
	{ "aarch64_be*", 0, 0, true, NULL },
	{ "aarch64*", SCMP_ARCH_AARCH64, 0, false,
		"defined(__aarch64__) && defined(__AARCH64EL__)" },
	{ "armeb*", 0, 0, true, NULL },
	{ "arm*", SCMP_ARCH_ARM, 0, false, "defined(__ARM_EABI__) && defined(__ARMEL__)" },
	{ "riscv64*", SCMP_ARCH_RISCV64, 0, false, "defined(__riscv) && __riscv_xlen == 64" },
	{ "mips*64*el-*n32", SCMP_ARCH_MIPSEL64N32, 6000, false,
		"defined(__MIPSEL__) && _MIPS_SIM == _ABIN32" },
	{ "mips*64*n32", SCMP_ARCH_MIPS64N32, 6000, true,
		"defined(__MIPSEB__) && _MIPS_SIM == _ABIN32" },
	{ "mips*64*el-*", SCMP_ARCH_MIPSEL64, 5000, false,
		"defined(__MIPSEL__) && _MIPS_SIM == _ABI64" },
	{ "mips*64*", SCMP_ARCH_MIPS64, 5000, true, "defined(__MIPSEB__) && _MIPS_SIM == _ABI64" },
	{ "mips*el-*", SCMP_ARCH_MIPSEL, 4000, false,
		"defined(__MIPSEL__) && _MIPS_SIM == _ABIO32" },
	{ "mips*", SCMP_ARCH_MIPS, 4000, true, "defined(__MIPSEB__) && _MIPS_SIM == _ABIO32" },
	{ "powerpc64le*", SCMP_ARCH_PPC64LE, 0, false,
		"defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)" },
	{ "powerpc64*", SCMP_ARCH_PPC64, 0, true,
		"defined(__powerpc64__) && defined(__BIG_ENDIAN__)" },
	{ "powerpcle*", 0, 0, false, NULL },
	{ "powerpc*", SCMP_ARCH_PPC, 0, true, "defined(__powerpc__) && !defined(__powerpc64__)" },
	{ "s390x*", SCMP_ARCH_S390X, 0, true, "defined(__s390x__)" },
	{ "s390*", SCMP_ARCH_S390, 0, true, "defined(__s390__) && !defined(__s390x__)" },
	{ "hppa*", SCMP_ARCH_PARISC, 0, true, "defined(__hppa__) && !defined(__LP64__)" },
#ifdef SCMP_ARCH_LOONGARCH64
	{ "loongarch64*", SCMP_ARCH_LOONGARCH64, 0, false, "defined(__loongarch64)" },
#endif
};

/* A constant as a C compiler for the target has it, and as one for this machine does. */
#define IS(expression) #expression, expression

/* What a policy calls the values in its conditions. They are the same on all architectures. */
static const struct {
	const char *name;
	const char *expression;
	uint32_t value;
} constants[] = {
	{ "AF_UNIX", IS(AF_UNIX) },
	{ "AF_INET", IS(AF_INET) },
	{ "AF_INET6", IS(AF_INET6) },
	{ "AF_NETLINK", IS(AF_NETLINK) },
	{ "NETLINK_ROUTE", IS(NETLINK_ROUTE) },
	/* The kernel's: in the other bits of a type are flags (net/socket.c). */
	{ "SOCK_TYPE_MASK", IS(0xf) },
	{ "IPPROTO_ICMP", IS(IPPROTO_ICMP) },
	{ "IPPROTO_TCP", IS(IPPROTO_TCP) },
	{ "IPPROTO_UDP", IS(IPPROTO_UDP) },
	{ "IPPROTO_ICMPV6", IS(IPPROTO_ICMPV6) },
	{ "MSG_OOB", IS(MSG_OOB) },
	{ "MSG_OOB_FASTOPEN", IS(MSG_OOB | MSG_FASTOPEN) },
	{ "TCP_ULP", IS(TCP_ULP) },
	{ "SIOCGIFBR", IS(SIOCGIFBR) },
	{ "SIOCSIFBR", IS(SIOCSIFBR) },
	{ "SIOCADDDLCI", IS(SIOCADDDLCI) },
	{ "SIOCDELDLCI", IS(SIOCDELDLCI) },
	{ "SIOCGIFVLAN", IS(SIOCGIFVLAN) },
	{ "SIOCSIFVLAN", IS(SIOCSIFVLAN) },
	/* Not CLONE_NEWTIME: clone() takes that bit for part of the exit signal. */
	{ "CLONE_NEW*", IS(CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS |
				CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWUTS) },
	{ "S_IFMT", IS(S_IFMT) },
	{ "S_IFREG", IS(S_IFREG) },
	{ "S_IFIFO", IS(S_IFIFO) },
	{ "S_IFSOCK", IS(S_IFSOCK) },
	/* Spelt as numbers, because the header says "this architecture's". */
	{ "PER_LINUX32", IS(0x0008) },
	{ "UNAME26", IS(0x20000) },
	{ "PER_LINUX32_UNAME26", IS(0x20008) },
	{ "PER_QUERY", IS(0xffffffff) },
};

enum column { USUAL, MIPS, HPPA, COLUMNS };

/* Those that differ: mips and hppa have their own. */
static const struct {
	const char *name;
	const char *expression;
	uint32_t value[COLUMNS];
} machine_constants[] = {
	{ "TIOCSTI", "TIOCSTI", { 0x5412, 0x5472, 0x5412 } },
	{ "TIOCLINUX", "TIOCLINUX", { 0x541c, 0x5483, 0x541c } },
	{ "TIOCSETD", "TIOCSETD", { 0x5423, 0x7401, 0x5423 } },
	{ "SOCK_STREAM", "SOCK_STREAM", { 1, 2, 1 } }, /* on mips the other way round */
	{ "SOCK_DGRAM", "SOCK_DGRAM", { 2, 1, 2 } },
	{ "SOCK_NONBLOCK_CLOEXEC", "SOCK_NONBLOCK | SOCK_CLOEXEC",
		{ 0x80800, 0x80080, 0x40200000 } },
	/* As fork(3) has it. */
	{ "FORK", "CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD",
		{ 0x1200011, 0x1200012, 0x1200012 } },
	{ "ENOSYS", "ENOSYS", { 38, 89, 251 } }, /* EPERM is 1 everywhere */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct condition {
	unsigned arg;
	uint32_t mask;
	bool none_of; /* != */
	bool null; /* the whole argument is 0: an address, of which the low half says too little */
	unsigned count;
	uint32_t values[MAX_VALUES];
};

enum answer { ALLOW, REFUSE, ABSENT, KILL, ANSWERS };

struct rule {
	char *name;
	enum answer answer;
	unsigned conditions_count;
	struct condition conditions[MAX_CONDITIONS];
	const char *file; /* where it stands */
	unsigned line;
};

struct policy_text {
	const struct machine *target;
	unsigned count;
	struct rule rules[MAX_RULES];
	bool others_said;
	enum answer others;
	int newest; /* x86_64's number; -1 until said */
};

/* Where the reader is, for messages. */
struct place {
	const char *file;
	unsigned line;
	unsigned depth;
};

__attribute__((noreturn, format(printf, 2, 3))) static void fail(
	const struct place *at, const char *format, ...)
{
	va_list args;

	/* That there is nobody to complain to changes nothing. */
	if (at && at->line)
		(void)fprintf(stderr, "%s:%u: ", at->file, at->line);
	else
		(void)fprintf(stderr, "%s: ", at ? at->file : "policy-compile");
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	exit(1);
}

static void *checked(void *memory)
{
	if (!memory)
		fail(NULL, "out of memory");
	return memory;
}

/* ---- Reading a policy ---- */

static enum column column_of(const struct machine *t)
{
	if (t->first != 0) /* nobody else's numbers start elsewhere */
		return MIPS;
	return t->arch == SCMP_ARCH_PARISC ? HPPA : USUAL;
}

static uint32_t constant(const struct place *at, const struct machine *t, const char *word)
{
	unsigned long number;
	char *end;

	for (size_t i = 0; i < COUNT(machine_constants); i++)
		if (strcmp(machine_constants[i].name, word) == 0)
			return machine_constants[i].value[column_of(t)];
	for (size_t i = 0; i < COUNT(constants); i++)
		if (strcmp(constants[i].name, word) == 0)
			return constants[i].value;
	errno = 0;
	number = strtoul(word, &end, 0);
	if (end == word || *end || *word == '-' || errno || number > UINT32_MAX)
		fail(at, "'%s' is neither a known constant nor a number of 32 bits", word);
	return (uint32_t)number;
}

/* What the filter returns for an answer. */
static uint32_t action(const struct machine *t, enum answer answer)
{
	switch (answer) {
	case ALLOW: return SECCOMP_RET_ALLOW;
	case REFUSE: return SECCOMP_RET_ERRNO | EPERM;
	case ABSENT: return SECCOMP_RET_ERRNO | constant(NULL, t, "ENOSYS");
	default: return SECCOMP_RET_KILL_PROCESS;
	}
}

/* Reads `argN [& MASK] ==|!= A|B|C` or `argN == NULL`; returns how many words that took. */
static unsigned read_condition(
	const struct place *at, const struct machine *t, char **words, struct condition *c)
{
	unsigned n = 1;
	char *rest, *word;

	if (strncmp(words[0], "arg", 3) != 0 || words[0][3] < '0' || words[0][3] > '5' ||
		words[0][4])
		fail(at, "'%s' is not one of arg0 ... arg5", words[0]);
	*c = (struct condition){ .arg = (unsigned)(words[0][3] - '0'), .mask = UINT32_MAX };
	if (words[n] && strcmp(words[n], "&") == 0 && words[n + 1]) {
		c->mask = constant(at, t, words[n + 1]);
		n += 2;
	}
	if (!words[n] || (strcmp(words[n], "==") != 0 && strcmp(words[n], "!=") != 0))
		fail(at, "a condition needs == or !=");
	c->none_of = words[n++][0] == '!';
	if (!words[n])
		fail(at, "a comparison with nothing");
	if (strcmp(words[n], "NULL") == 0) {
		if (c->none_of || c->mask != UINT32_MAX)
			fail(at, "NULL can only be compared with ==, and without a mask");
		c->null = true;
		return n + 1;
	}
	for (word = strtok_r(words[n++], "|", &rest); word; word = strtok_r(NULL, "|", &rest)) {
		if (c->count == MAX_VALUES)
			fail(at, "more than %d values", MAX_VALUES);
		c->values[c->count++] = constant(at, t, word);
		if (c->values[c->count - 1] & ~c->mask)
			fail(at, "'%s' can't be equal: it has bits outside the mask", word);
	}
	if (c->count == 0)
		fail(at, "a comparison with nothing");
	return n;
}

static void read_conditions(
	const struct place *at, const struct machine *t, char **words, struct rule *r)
{
	while (*words) {
		if (r->conditions_count == MAX_CONDITIONS)
			fail(at, "more than %d conditions", MAX_CONDITIONS);
		words += read_condition(at, t, words, &r->conditions[r->conditions_count++]);
		if (!*words)
			break;
		if (strcmp(*words, "and") != 0 || !words[1])
			fail(at, "'%s' where a condition ends, or `and` and another follows",
				*words);
		words++;
	}
}

/* The same name may come again only as one more condition under which it is allowed. */
static void refuse_second_mention(
	const struct place *at, const struct policy_text *text, const struct rule *new)
{
	for (unsigned i = 0; i < text->count; i++) {
		const struct rule *old = &text->rules[i];

		if (strcmp(old->name, new->name) != 0)
			continue;
		if (!old->conditions_count || !new->conditions_count)
			fail(at, "%s has been decided in %s:%u", new->name, old->file, old->line);
	}
}

static void read_rule(
	const struct place *at, struct policy_text *text, enum answer answer, char **words)
{
	struct rule r = { .answer = answer, .file = at->file, .line = at->line };

	/* A name that only other architectures have is a number below -1 here. */
	if (seccomp_syscall_resolve_name(words[0]) == __NR_SCMP_ERROR)
		fail(at, "libseccomp knows no system call '%s' on any architecture", words[0]);
	read_conditions(at, text->target, words + 1, &r);
	if (r.conditions_count && answer != ALLOW)
		fail(at, "only allow takes a condition");
	r.name = checked(strdup(words[0]));
	refuse_second_mention(at, text, &r);
	if (text->count == MAX_RULES)
		fail(at, "more than %d rules", MAX_RULES);
	text->rules[text->count++] = r;
}

static void read_newest(const struct place *at, struct policy_text *text, const char *name)
{
	if (text->newest >= 0)
		fail(at, "newest has been said before");
	text->newest = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);
	if (text->newest <= X86_64_GAP_LAST)
		fail(at, "'%s' is no call of x86_64 that is newer than Linux 5.0", name);
}

static void read_others(const struct place *at, struct policy_text *text, const char *answer)
{
	if (text->others_said)
		fail(at, "others has been said before");
	text->others_said = true;
	if (strcmp(answer, "allow") == 0)
		text->others = ALLOW;
	else if (strcmp(answer, "refuse") == 0)
		text->others = REFUSE;
	else
		fail(at, "others takes allow or refuse, not '%s'", answer);
}

static void read_file(const struct place *from, struct policy_text *text, const char *path);

/* A file is named as it is seen from the one that includes it. */
static void include(const struct place *at, struct policy_text *text, const char *name)
{
	const char *slash = strrchr(at->file, '/');
	int folder = slash ? (int)(slash - at->file + 1) : 0;
	char *path;

	if (at->depth == MAX_INCLUDES)
		fail(at, "files include each other more than %d deep", MAX_INCLUDES);
	if (asprintf(&path, "%.*s%s", folder, at->file, name) < 0)
		fail(NULL, "out of memory");
	read_file(at, text, path); /* and path stays: rules point to it */
}

static void read_line(const struct place *at, struct policy_text *text, char *line)
{
	char *words[MAX_WORDS + 1] = { NULL }, *rest;
	unsigned count = 0;

	line[strcspn(line, "#\n")] = '\0';
	for (char *w = strtok_r(line, " \t", &rest); w; w = strtok_r(NULL, " \t", &rest)) {
		if (count == MAX_WORDS)
			fail(at, "more than %d words", MAX_WORDS);
		words[count++] = w;
	}
	if (count == 0)
		return;
	if (count == 1)
		fail(at, "'%s' needs something after it", words[0]);
	if (strcmp(words[0], "allow") == 0)
		read_rule(at, text, ALLOW, words + 1);
	else if (strcmp(words[0], "refuse") == 0)
		read_rule(at, text, REFUSE, words + 1);
	else if (strcmp(words[0], "enosys") == 0)
		read_rule(at, text, ABSENT, words + 1);
	else if (count > 2)
		fail(at, "'%s' is too much", words[2]);
	else if (strcmp(words[0], "include") == 0)
		include(at, text, words[1]);
	else if (strcmp(words[0], "newest") == 0)
		read_newest(at, text, words[1]);
	else if (strcmp(words[0], "others") == 0)
		read_others(at, text, words[1]);
	else
		fail(at, "'%s' is none of allow, refuse, enosys, include, newest, others",
			words[0]);
}

static void read_file(const struct place *from, struct policy_text *text, const char *path)
{
	struct place at = { .file = path, .depth = from ? from->depth + 1 : 0 };
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!file)
		fail(from, "%s: %s", path, strerror(errno));
	while (getline(&line, &size, file) >= 0) {
		at.line++;
		read_line(&at, text, line);
	}
	if (ferror(file))
		fail(from, "%s: %s", path, strerror(errno));
	free(line);
	(void)fclose(file); /* was only read */
}

/* ---- What a policy says about a number ---- */

struct ruling {
	const struct rule *conditional; /* its first rule; NULL: the answer is always the same */
	enum answer answer;
	bool known; /* it was a call when the policy was written */
};

/* Call numbers with the same ruling: from `first` up to the next range's. */
struct range {
	uint32_t first;
	struct ruling ruling;
};

struct ranges {
	unsigned count;
	uint32_t first, beyond; /* of the numbers that the kernel goes through */
	struct range list[MAX_RANGES];
};

/* Was there such a call when the policy was written? Not to depend on libseccomp's version. */
static bool known_then(const struct policy_text *text, const char *name)
{
	static const char *const later[] = { "riscv_hwprobe" }; /* and without a number on x86_64 */
	int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);

	for (size_t i = 0; i < COUNT(later); i++)
		if (strcmp(name, later[i]) == 0)
			return false;
	if (number < 0)
		return true; /* only older ABIs have it */
	return number < X86_64_GAP_FIRST || (number > X86_64_GAP_LAST && number <= text->newest);
}

static bool is_same_condition(const struct condition *a, const struct condition *b)
{
	return a->arg == b->arg && a->mask == b->mask && a->none_of == b->none_of &&
	       a->null == b->null && a->count == b->count &&
	       memcmp(a->values, b->values, a->count * sizeof(a->values[0])) == 0;
}

static bool is_same_rule(const struct rule *a, const struct rule *b)
{
	if (a->conditions_count != b->conditions_count)
		return false;
	for (unsigned i = 0; i < a->conditions_count; i++)
		if (!is_same_condition(&a->conditions[i], &b->conditions[i]))
			return false;
	return true;
}

/* The first rule of that name from the one with this index on; NULL if there is none. */
static const struct rule *find_rule(const struct policy_text *text, size_t from, const char *name)
{
	for (size_t i = from; i < text->count; i++)
		if (strcmp(text->rules[i].name, name) == 0)
			return &text->rules[i];
	return NULL;
}

/* The next rule of the same name. */
static const struct rule *next_rule(const struct policy_text *text, const struct rule *r)
{
	return find_rule(text, (size_t)(r - text->rules) + 1, r->name);
}

/* Do two names, by their first rules, have the same conditions in the same order? */
static bool is_same_call(const struct policy_text *text, const struct rule *a, const struct rule *b)
{
	/* Its arguments can be in another order: put_condition(). */
	if (strcmp(a->name, "clone") == 0 || strcmp(b->name, "clone") == 0)
		return a == b;
	while (a && b && is_same_rule(a, b)) {
		a = next_rule(text, a);
		b = next_rule(text, b);
	}
	return !a && !b;
}

/* One for all names with the same conditions, which need them only once in the filter. */
static const struct rule *representative(const struct policy_text *text, const struct rule *r)
{
	for (unsigned i = 0; i < text->count; i++) {
		const struct rule *other = &text->rules[i];

		if (other->conditions_count && find_rule(text, 0, other->name) == other &&
			is_same_call(text, other, r))
			return other;
	}
	return r;
}

static struct ruling decide(const struct policy_text *text, uint32_t number)
{
	char *name = seccomp_syscall_resolve_num_arch(text->target->arch, (int)number);
	struct ruling d = { .answer = ABSENT };
	const struct rule *r;

	if (!name)
		return d;
	d.known = known_then(text, name);
	if (d.known)
		d.answer = text->others;
	r = find_rule(text, 0, name);
	if (r) {
		d.answer = r->answer;
		d.known = true;
		d.conditional = r->conditions_count ? representative(text, r) : NULL;
	}
	free(name);
	return d;
}

static void add_range(struct ranges *ranges, uint32_t first, struct ruling d)
{
	const struct ruling *before =
		ranges->count ? &ranges->list[ranges->count - 1].ruling : NULL;

	if (before && before->conditional == d.conditional && before->answer == d.answer)
		return;
	if (ranges->count == MAX_RANGES)
		fail(NULL, "more than %d ranges of call numbers", MAX_RANGES);
	ranges->list[ranges->count++] = (struct range){ .first = first, .ruling = d };
}

static void add_window(struct ranges *ranges, const struct policy_text *text, uint32_t first)
{
	for (uint32_t number = first; number < first + WINDOW; number++) {
		struct ruling d = decide(text, number);

		add_range(ranges, number, d);
		if (d.known && first == ranges->first)
			ranges->beyond = number + 1;
	}
	add_range(ranges, first + WINDOW, (struct ruling){ .answer = ABSENT });
}

static void find_ranges(struct ranges *ranges, const struct policy_text *text)
{
	ranges->count = 0;
	ranges->first = ranges->beyond = text->target->first;
	add_range(ranges, 0, (struct ruling){ .answer = ABSENT });
	add_window(ranges, text, text->target->first);
	if (text->target->arch == SCMP_ARCH_ARM)
		add_window(ranges, text, ARM_PRIVATE);
	if (text->target->arch == SCMP_ARCH_X86_64)
		add_range(ranges, X32_FIRST, (struct ruling){ .answer = KILL });
}

/* ---- The filter ---- */

/*
 * Built from its end to its beginning, so that every jump, which can only go forward, goes to what
 * is there already. A label counts instructions from the end, its own included.
 */
typedef unsigned label;

struct made_filter {
	const struct policy_text *text;
	label answers[ANSWERS];      /* the latest copy; 0: none yet */
	label conditions[MAX_RULES]; /* likewise, of a representative's */
	unsigned length;
	struct sock_filter reversed[BPF_MAXINSNS];
};

/* A jump crosses at most 255 instructions. An answer that has got further away than this is put
 * again, which leaves room for what comes between here and the jump. */
enum { FAR = 200 };

static label put(struct made_filter *p, unsigned code, uint32_t k, label if_true, label if_false)
{
	unsigned here = p->length;

	if (here == BPF_MAXINSNS || here - if_true > UCHAR_MAX || here - if_false > UCHAR_MAX)
		fail(NULL, "the filter takes more instructions than a jump can cross");
	p->reversed[p->length++] = (struct sock_filter){
		.code = (unsigned short)code,
		.jt = (unsigned char)(here - if_true),
		.jf = (unsigned char)(here - if_false),
		.k = k,
	};
	return p->length;
}

/* An instruction that does not jump. */
static label put_plain(struct made_filter *p, unsigned code, uint32_t k)
{
	return put(p, code, k, p->length, p->length);
}

static label put_load(struct made_filter *p, size_t offset)
{
	return put_plain(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static label put_answer(struct made_filter *p, enum answer a)
{
	if (!p->answers[a] || p->length - p->answers[a] > FAR)
		p->answers[a] = put_plain(p, BPF_RET | BPF_K, action(p->text->target, a));
	return p->answers[a];
}

static label put_condition(
	struct made_filter *p, const struct rule *r, const struct condition *c, label yes, label no)
{
	const struct machine *t = p->text->target;
	bool s390 = t->arch == SCMP_ARCH_S390 || t->arch == SCMP_ARCH_S390X;
	size_t low = t->big_endian ? 4 : 0, high = 4 - low, place;
	label equal = c->none_of ? no : yes, next = c->none_of ? yes : no;
	unsigned arg = c->arg;

	/* clone(2), "C library/kernel differences": the stack comes first, then the flags. */
	if (s390 && strcmp(r->name, "clone") == 0)
		arg = arg == 0;
	place = offsetof(struct seccomp_data, args) + 8 * arg;
	if (c->null) {
		put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, yes, no);
		equal = put_load(p, place + high);
		next = put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, equal, no);
	}
	for (unsigned i = c->count; i-- > 0;)
		next = put(p, BPF_JMP | BPF_JEQ | BPF_K, c->values[i], equal, next);
	if (c->mask != UINT32_MAX)
		put_plain(p, BPF_ALU | BPF_AND | BPF_K, c->mask);
	return put_load(p, place + low);
}

/* Allowed if all conditions of one of the call's rules hold. */
static label put_conditions(struct made_filter *p, const char *name)
{
	label next = put_answer(p, REFUSE), allow = put_answer(p, ALLOW);

	for (unsigned i = p->text->count; i-- > 0;) {
		const struct rule *r = &p->text->rules[i];
		label yes = allow;

		if (strcmp(r->name, name) != 0)
			continue;
		for (unsigned c = r->conditions_count; c-- > 0;)
			yes = put_condition(p, r, &r->conditions[c], yes, next);
		next = yes;
	}
	return next;
}

/* ---- The cheapest tests ---- */

/*
 * Whoever installs a filter waits until the kernel has compiled each instruction, and has gone
 * through it once for each number that the machine knows, to note which are always allowed
 * (kernel/seccomp.c, seccomp_cache_prepare). Here an instruction took as long as so many steps of
 * that. Calls made later cost nothing if they were noted.
 *
 * What it gains, in runs of 3,000 starts of the handler: with a tree that halves the ranges, 166
 * instructions of mail.policy instead of 139, a malformed line takes 4 % longer, and an accepted
 * one 4 %; with a chain wherever it asks for three numbers at most, and halves else, 2 % and 2 %;
 * with the fewest instructions, in long chains, 10 % and 8 %.
 */
enum { INSTRUCTION_STEPS = 40 };

/* A chain that begins just before an answer is FAR still reaches it. */
enum { CHAIN_MOST = 50 };
_Static_assert((int)FAR + (int)CHAIN_MOST <= UCHAR_MAX, "a jump crosses at most 255 instructions");

/* The ranges from one up to another are told apart by a branch, with a tree to each side; or by a
 * chain that asks for one number after the other, and whatever is left has the usual answer. */
struct plan {
	uint64_t cost;
	unsigned half; /* the range that the upper side begins with; 0: a chain */
	enum answer usual;
};

static struct plan plans[MAX_RANGES][MAX_RANGES + 1];

static bool has_answer(const struct range *range, enum answer answer)
{
	return range->ruling.conditional == NULL && range->ruling.answer == answer;
}

static uint32_t range_end(const struct ranges *ranges, unsigned i)
{
	return i + 1 < ranges->count ? ranges->list[i + 1].first : UINT32_MAX;
}

static uint64_t width(const struct ranges *ranges, unsigned i)
{
	return range_end(ranges, i) - ranges->list[i].first;
}

/* How many of its numbers the kernel goes through. */
static uint64_t weight(const struct ranges *ranges, unsigned i)
{
	uint32_t first = ranges->list[i].first, end = range_end(ranges, i);

	if (first < ranges->first)
		first = ranges->first;
	if (end > ranges->beyond)
		end = ranges->beyond;
	return first < end ? end - first : 0;
}

static uint64_t chain_cost(
	const struct ranges *ranges, unsigned from, unsigned to, enum answer usual)
{
	uint64_t asked = 0, left = 0;

	for (unsigned i = from; i < to; i++) {
		if (has_answer(&ranges->list[i], usual))
			left += weight(ranges, i);
		else
			asked += width(ranges, i);
	}
	if (asked > CHAIN_MOST)
		return UINT64_MAX;
	return asked * INSTRUCTION_STEPS + asked * (asked + 1) / 2 + asked * left;
}

static struct plan plan_of(const struct ranges *ranges, unsigned from, unsigned to)
{
	struct plan best = { .cost = UINT64_MAX };
	uint64_t all = 0;

	if (to - from == 1)
		return (struct plan){ .cost = 0 };
	for (enum answer usual = ALLOW; usual < ANSWERS; usual++) {
		uint64_t cost = chain_cost(ranges, from, to, usual);

		if (cost < best.cost)
			best = (struct plan){ .cost = cost, .usual = usual };
	}
	for (unsigned i = from; i < to; i++)
		all += weight(ranges, i);
	for (unsigned half = from + 1; half < to; half++) {
		uint64_t cost =
			INSTRUCTION_STEPS + all + plans[from][half].cost + plans[half][to].cost;

		if (cost < best.cost)
			best = (struct plan){ .cost = cost, .half = half };
	}
	return best;
}

static void make_plans(const struct ranges *ranges)
{
	for (unsigned length = 1; length <= ranges->count; length++)
		for (unsigned from = 0; from + length <= ranges->count; from++)
			plans[from][from + length] = plan_of(ranges, from, from + length);
}

static label put_range(struct made_filter *p, const struct range *range)
{
	const struct rule *r = range->ruling.conditional;
	label *latest = r ? &p->conditions[r - p->text->rules] : NULL;

	if (!r)
		return put_answer(p, range->ruling.answer);
	if (!*latest || p->length - *latest > FAR)
		*latest = put_conditions(p, r->name);
	return *latest;
}

static label put_chain(struct made_filter *p, const struct ranges *ranges, unsigned from,
	unsigned to, enum answer usual)
{
	label next = put_answer(p, usual);

	for (unsigned i = to; i-- > from;) {
		label equal;

		if (has_answer(&ranges->list[i], usual))
			continue;
		equal = put_range(p, &ranges->list[i]);
		for (uint32_t number = range_end(ranges, i); number-- > ranges->list[i].first;)
			next = put(p, BPF_JMP | BPF_JEQ | BPF_K, number, equal, next);
	}
	return next;
}

static label put_tree(
	struct made_filter *p, const struct ranges *ranges, unsigned from, unsigned to)
{
	const struct plan *plan = &plans[from][to];
	label above, below;

	if (to - from == 1)
		return put_range(p, &ranges->list[from]);
	if (plan->half == 0)
		return put_chain(p, ranges, from, to, plan->usual);
	above = put_tree(p, ranges, plan->half, to);
	below = put_tree(p, ranges, from, plan->half);
	return put(p, BPF_JMP | BPF_JGE | BPF_K, ranges->list[plan->half].first, above, below);
}

static void put_filter(struct made_filter *p)
{
	static struct ranges ranges;
	label tree;

	find_ranges(&ranges, p->text);
	make_plans(&ranges);
	put_tree(p, &ranges, 0, ranges.count);
	tree = put_load(p, offsetof(struct seccomp_data, nr));
	/* Alone a number means nothing: 26 is msync for x86_64, but ptrace through int $0x80. */
	put(p, BPF_JMP | BPF_JEQ | BPF_K, p->text->target->arch, tree, put_answer(p, KILL));
	put_load(p, offsetof(struct seccomp_data, arch));
}

/* ---- Writing C ---- */

/* Returns the filter's length. */
static unsigned write_policy(const struct policy_text *text, const char *name, unsigned index)
{
	static struct made_filter p;

	p = (struct made_filter){ .text = text };
	put_filter(&p);
	printf("\n/* %s */\nstatic const struct sock_filter code_%u[] = {\n", name, index);
	for (unsigned i = p.length; i-- > 0;) {
		const struct sock_filter *f = &p.reversed[i];

		printf("\t{ 0x%02x, %u, %u, 0x%08x },\n", f->code, f->jt, f->jf, f->k);
	}
	printf("};\n");
	return p.length;
}

static void write_assertion(const char *expression, uint32_t value)
{
	printf("_Static_assert((%s) == 0x%x, \"\");\n", expression, value);
}

/* The target's compiler refuses what has come out of wrong constants. */
static void write_head(const struct machine *t, const char *triplet)
{
	static const char *const headers[] = { "errno.h", "netinet/in.h", "netinet/tcp.h",
		"sched.h", "signal.h", "sys/ioctl.h", "sys/socket.h", "sys/stat.h",
		"linux/netlink.h", "linux/sockios.h" };

	printf("/* Made by policy-compile for %s. */\n#include \"policy/policy.h\"\n\n", triplet);
	printf("#if !(%s)\n#error these filters are for another target\n#endif\n\n", t->defined);
	for (size_t i = 0; i < COUNT(headers); i++)
		printf("#include <%s>\n", headers[i]);
	for (size_t i = 0; i < COUNT(constants); i++)
		write_assertion(constants[i].expression, constants[i].value);
	for (size_t i = 0; i < COUNT(machine_constants); i++)
		write_assertion(
			machine_constants[i].expression, machine_constants[i].value[column_of(t)]);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* How much of a file's base name is the policy's. */
static int name_length(const char *base)
{
	size_t length = strspn(base, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	if (length == 0 || strcmp(base + length, ".policy") != 0)
		fail(NULL, "%s: a policy's file is NAME.policy, its name of a-z, 0-9, _ and -",
			base);
	return (int)length;
}

static unsigned compile(const struct machine *t, const char *path, unsigned index)
{
	static struct policy_text text;
	struct place whole = { .file = path };

	text = (struct policy_text){ .target = t, .newest = -1 };
	read_file(NULL, &text, path);
	if (!text.others_said)
		fail(&whole, "does not say `others refuse` or `others allow`");
	if (text.newest < 0)
		fail(&whole, "does not say what the `newest` call is");
	return write_policy(&text, base_name(path), index);
}

static const struct machine *find_machine(const char *triplet)
{
	for (size_t i = 0; i < COUNT(machines); i++) {
		if (fnmatch(machines[i].triplet, triplet, 0) != 0)
			continue;
		if (machines[i].arch == 0)
			break;
		return &machines[i];
	}
	fail(NULL, "'%s' is no target that there are filters for", triplet);
}

int main(int argc, char **argv)
{
	unsigned lengths[MAX_POLICIES], count = (unsigned)argc - 2;
	const struct machine *t;

	if (argc < 3 || count > MAX_POLICIES)
		fail(NULL, "usage: policy-compile TARGET FILE.policy... > policies.c");
	t = find_machine(argv[1]);
	write_head(t, argv[1]);
	for (unsigned i = 0; i < count; i++)
		lengths[i] = compile(t, argv[2 + i], i);
	printf("\nconst struct policy policies[] = {\n");
	for (unsigned i = 0; i < count; i++) {
		const char *base = base_name(argv[2 + i]);

		printf("\t{ \"%.*s\", code_%u, %u },\n", name_length(base), base, i, lengths[i]);
	}
	printf("};\nconst unsigned policies_count = %u;\n", count);
	if (fflush(stdout) != 0 || ferror(stdout))
		fail(NULL, "standard output: %s", strerror(errno));
	return 0;
}
