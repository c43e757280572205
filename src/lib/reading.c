/* SPDX-License-Identifier: ISC */
#include "lib/reading.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/users.h"

/* ---- Lines ---- */

/* The first control character but a tab, or 0. */
static char control_find(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' && *text != '\t')
			return *text;
	return '\0';
}

static void wrong_words(
	struct reading *reading, const struct words_fault *fault, const struct words *words)
{
	struct report *report = &reading->report;
	const char *keyword = words->count > 0 ? words->word[0] : NULL;

	if (fault->error == WORDS_TOO_MANY)
		report_wrong_form(report, keyword, fault->at,
			" is too much: %d words a line is the most", WORDS_MAX);
	else if (fault->error == WORDS_BACKSLASH)
		report_wrong_form(report, keyword, fault->at,
			": a backslash ends the line, which cannot go on on the next one: "
			"write all on one line");
	else
		report_wrong_form(report, keyword, fault->at,
			": a quote before it is not closed: write a second %c, or \\%c if it is "
			"meant as it is",
			fault->quote, fault->quote);
}

static void line_apply(struct reading *reading, char *text)
{
	static struct words words; /* else it would be zeroed for each line (compiler.mk) */
	char control = control_find(text);
	struct words_fault fault;

	if (control != '\0') {
		report_wrong(&reading->report, "a control character, '%c': remove it", control);
		return;
	}
	fault = words_split(text, &words);
	if (fault.error != WORDS_FINE)
		wrong_words(reading, &fault, &words);
	else if (words.count > 0)
		keyword_apply(reading, &words);
}

/* Bytes of text that can still be read. */
static size_t text_room(const struct reading *reading)
{
	size_t allowed = reading->text_most - reading->text_length;
	size_t left = reading->memory_size - reading->memory_used;

	return allowed < left ? allowed : left;
}

static void text_took(struct reading *reading, size_t length)
{
	reading->text_length += length;
	reading->memory_used += length;
}

static void wrong_length(struct reading *reading)
{
	report_wrong(&reading->report, "the configuration is longer than %u bytes",
		(unsigned)reading->text_most);
}

void reading_option(struct reading *reading, const char *text, unsigned number)
{
	size_t length = strlen(text) + 1;
	char *copy = reading->memory + reading->memory_used;

	reading->report.here = (struct place){ .file = "-o", .line = number };
	if (length > text_room(reading)) {
		wrong_length(reading);
		return;
	}
	memcpy(copy, text, length);
	text_took(reading, length);
	reading->is_command_line = true;
	line_apply(reading, copy);
	reading->is_command_line = false;
}

/* ---- A file ---- */

static bool file_is_trusted(struct reading *reading, int fd, size_t *size)
{
	struct stat st;
	unsigned before = reading->report.wrong;

	*size = 0;
	if (fstat(fd, &st) != 0)
		report_wrong(&reading->report, "cannot examine: %s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		report_wrong(&reading->report, "not a regular file");
	else if (st.st_uid != 0 && st.st_uid != geteuid() && user_is_unknown(st.st_uid))
		report_wrong(&reading->report,
			"its owner is not known in this user namespace, so it is not trusted: "
			"start nmnotify outside, or give it a file of the running user's");
	else if (st.st_uid != 0 && st.st_uid != geteuid())
		report_wrong(&reading->report,
			"owned by user %u, neither root nor the running user: chown it",
			(unsigned)st.st_uid);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		report_wrong(&reading->report, "others than its owner may write it: chmod go-w");
	else
		*size = (size_t)st.st_size;
	return reading->report.wrong == before;
}

/* Reads the `size` bytes that fd had, behind the text that is there. -1: reported. */
static ssize_t file_read(struct reading *reading, int fd, size_t size)
{
	char *text = reading->memory + reading->memory_used;
	size_t room = text_room(reading), length = 0;
	ssize_t got = 0;

	if (size >= room) { /* the last line's NUL needs a byte, too */
		wrong_length(reading);
		return -1;
	}
	while (length < size) {
		got = read(fd, text + length, size - length);
		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		length += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		report_wrong(&reading->report, "cannot read: %s", strerror(errno));
	return got < 0 ? -1 : (ssize_t)length;
}

/* Is it text, as far as can be told at once? If not, that is said once, and not for each line. */
static bool is_text(struct reading *reading, const char *text, size_t length)
{
	size_t end = strlen(text);

	if (length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
		report_wrong(&reading->report,
			"the file is UTF-16: save it as UTF-8, without a byte order mark");
		return false;
	}
	if (end == length)
		return true;
	reading->report.here.line = 1;
	for (size_t i = 0; i < end; i++)
		reading->report.here.line += text[i] == '\n';
	report_wrong(&reading->report, "a NUL byte: save the file as text, in UTF-8");
	return false;
}

/* Takes the CR from a line's end. That is reported once; the rest of the line is read as ever. */
static void line_end(struct reading *reading, char *line, const char *end, bool *said)
{
	size_t length = (size_t)(end - line);

	/* With another one before it, it is reported as a control character. */
	if (length == 0 || strchr(line, '\r') != line + length - 1)
		return;
	line[length - 1] = '\0';
	if (!*said)
		report_wrong(&reading->report,
			"lines end in CR LF, as on Windows: save the file with LF alone, or "
			"convert it with dos2unix");
	*said = true;
}

static void file_lines(struct reading *reading, size_t length)
{
	char *text = reading->memory + reading->memory_used, *end = text + length;
	bool said_cr = false;

	*end = '\0';
	text_took(reading, length + 1);
	if (!is_text(reading, text, length))
		return;
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0) {
		reading->report.here.line = 1;
		report_wrong(&reading->report,
			"a byte order mark at the beginning, '%c%c%c': save the file without",
			text[0], text[1], text[2]);
		reading->report.here.line = 0;
		text += 3;
	}
	while (text < end) {
		char *newline = strchr(text, '\n');
		char *next = newline == NULL ? end : newline + 1;

		if (newline != NULL)
			*newline = '\0';
		reading->report.here.line++;
		line_end(reading, text, newline != NULL ? newline : end, &said_cr);
		line_apply(reading, text);
		text = next;
	}
}

void reading_file(struct reading *reading, const char *path, bool optional)
{
	/* O_NONBLOCK: a fifo in its place must not hold us. */
	int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t length;
	size_t size;

	reading->report.here.file = path;
	reading->report.here.line = 0;
	if (fd < 0) {
		if (!optional || errno != ENOENT)
			report_wrong(&reading->report, "cannot open: %s", strerror(errno));
		return;
	}
	if (file_is_trusted(reading, fd, &size)) {
		length = file_read(reading, fd, size);
		if (length >= 0)
			file_lines(reading, (size_t)length);
	}
	(void)close(fd); /* was only read */
}
