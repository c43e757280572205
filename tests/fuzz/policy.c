/* SPDX-License-Identifier: ISC */
/*
 * The policy compiler: of any text it makes a filter that the kernel would take and that gives the
 * answers which the text's rules give, looked up one by one; or it complains and ends.
 *
 * Input: a byte that picks the target, then the text. A file that it includes is itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

_Noreturn static void compiler_ends(int status);
static FILE *text_open(void);
static void text_close(FILE *file);
static ssize_t line_take(char **line, size_t *size, FILE *file);
static void memory_forget(void *memory);
static char *memory_copy(const char *text);
__attribute__((format(printf, 2, 3))) static int memory_print(char **to, const char *format, ...);
__attribute__((format(printf, 2, 3))) static int complain(FILE *to, const char *format, ...);

/* The compiler's own source. It ends soon, and so may forget memory and files; we do not. */
#define main                       compiler_main
#define exit(status)               compiler_ends(status)
#define fopen(path, mode)          text_open()
#define fclose(file)               text_close(file)
#define getline(line, size, file)  line_take(line, size, file)
#define free(memory)               memory_forget(memory)
#define strdup(text)               memory_copy(text)
#define asprintf(to, ...)          memory_print(to, __VA_ARGS__)
#define fprintf(to, ...)           complain(to, __VA_ARGS__)
#define vfprintf(to, format, args) ((void)(to), (void)(format))
#define fputc(c, to)               ((void)(to))
#undef _GNU_SOURCE /* it says so itself */
#include "../../src/policy/compile/compile.c"
#undef main
#undef exit
#undef fopen
#undef fclose
#undef getline
#undef free
#undef strdup
#undef asprintf
#undef fprintf
#undef vfprintf
#undef fputc

#define MEMORY_BYTES (1024 * 1024)

static struct {
	jmp_buf end;
	struct input text;
	/* By the depth of the file. */
	FILE *file[MAX_INCLUDES + 2];
	char *line[MAX_INCLUDES + 2];
	unsigned files, complaints, operand;
	char memory[MEMORY_BYTES];
	size_t used;
} run;

/* ---- What the compiler calls ---- */

_Noreturn static void compiler_ends(int status)
{
	must(status == 1);
	longjmp(run.end, 1);
}

static int complain(FILE *to, const char *format, ...)
{
	must(to == stderr && *format != '\0');
	run.complaints++;
	return 0;
}

static FILE *text_open(void)
{
	FILE *file = fmemopen((void *)(uintptr_t)run.text.bytes, run.text.length, "r");

	must(file != NULL && run.files < COUNT(run.file));
	run.line[run.files] = NULL;
	run.file[run.files++] = file;
	return file;
}

/* Files are closed in the order in which they are nested. */
static void text_close(FILE *file)
{
	must(run.files > 0 && run.file[run.files - 1] == file);
	run.files--;
	free(run.line[run.files]);
	(void)fclose(file);
}

static ssize_t line_take(char **line, size_t *size, FILE *file)
{
	ssize_t length = getline(line, size, file);

	must(run.file[run.files - 1] == file);
	run.line[run.files - 1] = *line;
	return length;
}

/* A line is freed with its file. */
static void memory_forget(void *memory)
{
	for (unsigned i = 0; i < run.files; i++)
		if (memory == run.line[i])
			return;
	free(memory);
}

static char *memory_take(size_t size)
{
	char *memory = run.memory + run.used;

	must(size <= sizeof(run.memory) - run.used);
	run.used += size;
	return memory;
}

static char *memory_copy(const char *text)
{
	return strcpy(memory_take(strlen(text) + 1), text);
}

static int memory_print(char **to, const char *format, ...)
{
	va_list arguments;
	char text[4096];
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text[sizeof(text) - 1] = '\0';
	*to = memory_copy(text);
	return length;
}

/* ---- What the filter must be ---- */

/* As the kernel sees it: from the first instruction on. */
static const struct sock_filter *instruction(const struct made_filter *p, unsigned at)
{
	must(at < p->length);
	return &p->reversed[p->length - 1 - at];
}

static void check_loadable(const struct made_filter *p)
{
	must(p->length >= 1 && p->length <= BPF_MAXINSNS);
	for (unsigned at = 0; at < p->length; at++) {
		const struct sock_filter *f = instruction(p, at);

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			must(f->k % 4 == 0 && f->k < sizeof(struct seccomp_data));
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
			must(at + 1 + f->jt < p->length && at + 1 + f->jf < p->length);
			break;
		case BPF_ALU | BPF_AND | BPF_K: break;
		case BPF_RET | BPF_K: break;
		default: must(false);
		}
	}
	must(instruction(p, p->length - 1)->code == (BPF_RET | BPF_K));
}

static uint32_t filter_run(const struct made_filter *p, const uint32_t words[16])
{
	uint32_t accumulator = 0;

	for (unsigned at = 0;; at++) {
		const struct sock_filter *f = instruction(p, at);

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS: accumulator = words[f->k / 4]; break;
		case BPF_ALU | BPF_AND | BPF_K: accumulator &= f->k; break;
		case BPF_JMP | BPF_JEQ | BPF_K: at += accumulator == f->k ? f->jt : f->jf; break;
		case BPF_JMP | BPF_JGE | BPF_K: at += accumulator >= f->k ? f->jt : f->jf; break;
		default: return f->k;
		}
	}
}

static bool wanted_condition(const struct machine *target, const struct rule *rule,
	const struct condition *condition, const uint32_t words[16])
{
	bool is_swapped = (target->arch == SCMP_ARCH_S390X || target->arch == SCMP_ARCH_S390) &&
			  strcmp(rule->name, "clone") == 0;
	unsigned arg = is_swapped && condition->arg < 2 ? 1 - condition->arg : condition->arg;
	const uint32_t *halves = words + 4 + 2 * arg;
	uint32_t low = halves[target->big_endian];

	if (condition->null)
		return halves[0] == 0 && halves[1] == 0;
	for (unsigned i = 0; i < condition->count; i++)
		if ((low & condition->mask) == condition->values[i])
			return !condition->none_of;
	return condition->none_of;
}

static enum answer wanted_answer(
	const struct policy_text *text, uint32_t number, const uint32_t words[16])
{
	char *name = seccomp_syscall_resolve_num_arch(text->target->arch, (int)number);
	enum answer answer = ABSENT;

	if (name == NULL)
		return ABSENT;
	if (known_then(text, name))
		answer = text->others;
	for (unsigned i = 0; i < text->count; i++) {
		const struct rule *rule = &text->rules[i];
		unsigned c = 0;

		if (strcmp(rule->name, name) != 0)
			continue;
		while (c < rule->conditions_count &&
			wanted_condition(text->target, rule, &rule->conditions[c], words))
			c++;
		answer = c == rule->conditions_count ? rule->answer : REFUSE;
		if (answer != REFUSE)
			break;
	}
	free(name);
	return answer;
}

/* Arguments that conditions may hold of: rubbish, or small numbers. */
static void fill_arguments(uint32_t words[16], uint32_t number)
{
	for (unsigned i = 2; i < 16; i++) {
		words[i] = number * 2654435761u << i;
		if (number & 4)
			words[i] >>= 29;
		if (number & 8)
			words[i] = 0;
	}
}

static void check_answers(const struct made_filter *p, const struct machine *target)
{
	uint32_t words[16];

	for (uint32_t number = 0; number < WINDOW + 100; number++) {
		fill_arguments(words, number + run.operand);
		words[0] = target->first + number;
		words[1] = target->arch;
		must(filter_run(p, words) ==
			action(p->text->target, wanted_answer(p->text, words[0], words)));
		words[1] = ~target->arch;
		must(filter_run(p, words) == action(p->text->target, KILL));
	}
}

static void compile_text(const struct machine *target)
{
	static struct made_filter program;
	static struct policy_text text;

	text = (struct policy_text){ .target = target, .newest = -1 };
	program = (struct made_filter){ .text = &text };
	read_file(NULL, &text, "fuzz.policy");
	if (!text.others_said || text.newest < 0)
		return;
	put_filter(&program);
	check_loadable(&program);
	check_answers(&program, target);
	must(run.complaints == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const triplets[] = { "x86_64-linux-gnu", "aarch64-linux-gnu",
		"arm-linux-gnueabihf", "mips-linux-gnu", "s390x-linux-gnu", "powerpc-linux-gnu" };
	struct input input = { data, size };
	uint8_t target = take_byte(&input) % COUNT(triplets);

	if (input.length == 0)
		return 0;
	run.text = input;
	run.used = run.files = run.complaints = 0;
	run.operand = (unsigned)size;
	if (setjmp(run.end) == 0)
		compile_text(find_machine(triplets[target]));
	else
		must(run.complaints > 0);
	while (run.files > 0)
		text_close(run.file[run.files - 1]);
	return 0;
}
