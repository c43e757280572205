/* SPDX-License-Identifier: ISC */
#include "lib/keyword.h"

#include <string.h>
#include <strings.h>

/* Too many other words are like a keyword with fewer letters. */
#define MISSPELT_LEAST 4

/* ---- Types ---- */

/* Milliseconds of a unit; 0: no such unit. */
static uint64_t unit_milliseconds(const char *unit)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		{ "d", 86400000 } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit, units[i].name) == 0)
			return units[i].ms;
	return 0;
}

void keyword_span(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	const char *text = words->word[1];
	struct span *span = to;
	uint64_t number, unit;

	if (!number_take(&text, SPAN_MAX_MS, &number) || (unit = unit_milliseconds(text)) == 0)
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is not a time such as 500ms, 10s, 5m, 2h or 1d");
	else if (number * unit > SPAN_MAX_MS || number * unit < keyword->least)
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is not between %ums and 7d", keyword->least);
	else
		span->ms = (uint32_t)(number * unit);
}

void keyword_long_span(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	const char *text = words->word[1];
	struct long_span *span = to;
	uint64_t number, unit;

	if (!number_take(&text, UINT32_MAX, &number) || (unit = unit_milliseconds(text)) < 1000)
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is not a time such as 10s, 5m, 2h or 30d");
	else if (number * (unit / 1000) > keyword->greatest ||
		 number * (unit / 1000) < keyword->least)
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is not between %us and %ud", keyword->least, keyword->greatest / 86400);
	else
		span->s = number * (unit / 1000);
}

void keyword_number(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	uint64_t number;

	if (!number_parse(words->word[1], keyword->greatest, &number) || number < keyword->least)
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is not a number from %u to %u", keyword->least, keyword->greatest);
	else
		*(uint32_t *)to = (uint32_t)number;
}

/* COUNT/PERIOD with PERIOD a unit, perhaps with a number before it: 12/m, 1/90s. */
static bool rate_parse(const char *text, uint64_t *count, uint64_t *period)
{
	uint64_t number = 1, unit;

	if (!number_take(&text, UINT32_MAX, count) || *count == 0 || *text++ != '/')
		return false;
	if (is_digit(*text) && (!number_take(&text, SPAN_MAX_MS, &number) || number == 0))
		return false;
	unit = unit_milliseconds(text);
	*period = number * unit;
	return unit != 0;
}

/* All values of a line, as one text. */
static const char *words_join(const struct words *words, struct text *text)
{
	for (unsigned i = 1; i < words->count; i++)
		text_add(text, "%s%s", i == 1 ? "" : " ", words->word[i]);
	return text->bytes;
}

void keyword_rate(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	uint64_t count, period, emission, burst = 1;
	const char *burst_text = words->count == 4 ? words->word[3] : "1";
	char joined[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(joined);

	if ((words->count != 2 && words->count != 4) ||
		(words->count == 4 && strcmp(words->word[2], "burst") != 0) ||
		!rate_parse(words->word[1], &count, &period) ||
		!number_parse(burst_text, UINT32_MAX, &burst) || burst == 0) {
		report_wrong_word(&reading->report, keyword->name, words_join(words, &text),
			" is not COUNT/PERIOD, such as 12/m, and perhaps burst NUMBER");
		return;
	}
	emission = (period + count - 1) / count; /* up: never more than was asked for */
	if (emission > SPAN_MAX_MS || emission * (burst + 1) > SPAN_MAX_MS) {
		report_wrong_word(&reading->report, keyword->name, words_join(words, &text),
			": burst %u at this rate takes more than 7d to recover: write a shorter "
			"PERIOD%s",
			(unsigned)burst, burst > 1 ? ", or a smaller burst" : "");
		return;
	}
	*(struct rate *)to =
		(struct rate){ .emission = { .ms = (uint32_t)emission }, .burst = (uint32_t)burst };
}

void keyword_yes_no(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	bool *value = to;

	*value = strcmp(words->word[1], "yes") == 0;
	if (!*value && strcmp(words->word[1], "no") != 0)
		report_wrong_word(
			&reading->report, keyword->name, words->word[1], " is not yes or no");
}

/* a, b or c */
static void choices_add(struct text *text, const char *choices)
{
	const char *separator = "";

	while (*choices != '\0') {
		text_add(text, "%s%s", separator, choices);
		choices += strlen(choices) + 1;
		separator =
			choices[0] != '\0' && choices[strlen(choices) + 1] == '\0' ? " or " : ", ";
	}
}

void keyword_choice(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	const char *choice = keyword->choices;
	char bytes[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	for (unsigned i = 0; *choice != '\0'; i++) {
		if (strcmp(words->word[1], choice) == 0) {
			*(unsigned *)to = i;
			return;
		}
		choice += strlen(choice) + 1;
	}
	choices_add(&text, keyword->choices);
	report_wrong_word(&reading->report, keyword->name, words->word[1], " is not %s", bytes);
}

void keyword_text(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	(void)keyword;
	*(struct said_text *)to =
		(struct said_text){ .text = words->word[1], .place = reading->report.here };
}

void keyword_wrong_path(struct reading *reading, const struct words *words)
{
	const char *path = words->word[1];

	report_wrong_word(&reading->report, words->word[0], path,
		*path == '~' || *path == '$'
			? " is not an absolute path: nothing is expanded here, so write it whole"
			: " is not an absolute path: write it whole, from '/' on");
}

void keyword_path(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	if (words->word[1][0] == '/')
		keyword_text(reading, keyword, to, words);
	else
		keyword_wrong_path(reading, words);
}

/* ---- The table ---- */

void *reading_keep(struct reading *reading, size_t size)
{
	size_t from = (reading->memory_used + sizeof(void *) - 1) & ~(sizeof(void *) - 1);

	if (from > reading->memory_size || size > reading->memory_size - from) {
		report_wrong(&reading->report, "the configuration is too large");
		return NULL;
	}
	reading->memory_used = from + size;
	return reading->memory + from;
}

static void *member(void *structure, const struct keyword *keyword)
{
	return (char *)structure + keyword->offset;
}

void keyword_defaults(const struct reading *reading, bool global, void *to)
{
	for (unsigned i = 0; i < reading->keywords_count; i++) {
		const struct keyword *keyword = &reading->keywords[i];

		if (keyword->global == global)
			memcpy(member(to, keyword), &keyword->initial,
				keyword->size < sizeof(keyword->initial)
					? keyword->size
					: sizeof(keyword->initial));
	}
}

void reading_block(struct reading *reading, void *block, struct said *said, const char *name)
{
	reading->block = block;
	reading->said = said;
	if (reading->first_block.text == NULL)
		reading->first_block =
			(struct said_text){ .text = name, .place = reading->report.here };
}

void keyword_inherit(
	const struct reading *reading, const struct said *said, void *block, const void *defaults)
{
	for (unsigned i = 0; i < reading->keywords_count; i++) {
		const struct keyword *keyword = &reading->keywords[i];

		if (!keyword->global && said->line[i] == 0)
			memcpy(member(block, keyword), (const char *)defaults + keyword->offset,
				keyword->size);
	}
}

/* ---- A line ---- */

static const struct keyword *keyword_find(const struct reading *reading, const char *name)
{
	for (unsigned i = 0; i < reading->keywords_count; i++)
		if (strcmp(name, reading->keywords[i].name) == 0)
			return &reading->keywords[i];
	return NULL;
}

void keyword_add_example(const struct reading *reading, struct text *text, const char *name)
{
	text_add(text, ": write such as '%s %s'", name, keyword_find(reading, name)->example);
}

static void wrong_count(
	struct reading *reading, const struct keyword *keyword, const struct words *words)
{
	char message[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	if (words->count < 2) {
		text_add(&text, "%s: a value is missing", keyword->name);
		keyword_add_example(reading, &text, keyword->name);
		report_text(&reading->report, SEVERITY_ERROR, &text);
	} else {
		report_wrong_word(&reading->report, keyword->name, words->word[keyword->most + 1],
			" is one word too many: nothing can be behind '%s'",
			words->word[keyword->most]);
	}
}

/* Reads a value only to report what is wrong with it: the command line has said another one, which
 * holds. */
static void forget(
	struct reading *reading, const struct keyword *keyword, const struct words *words)
{
	max_align_t scratch[(KEYWORD_SIZE_MAX + sizeof(max_align_t) - 1) / sizeof(max_align_t)];

	keyword->type(reading, keyword, scratch, words);
}

static void value_take(
	struct reading *reading, const struct keyword *keyword, const struct words *words)
{
	struct said *said = reading->said;
	size_t number = (size_t)(keyword - reading->keywords);

	if (said->pinned[number] && !reading->is_command_line) {
		forget(reading, keyword, words);
		return;
	}
	/* Both are of one file: what the command line says is pinned. */
	if (said->line[number] != 0 && !keyword->repeats) {
		report_wrong(&reading->report, "%s is said twice, first on line %u: %s",
			keyword->name, said->line[number],
			keyword->list ? "write all of it on one line" : "leave out one of them");
		return;
	}
	said->line[number] = reading->report.here.line;
	said->pinned[number] = reading->is_command_line && !keyword->repeats;
	keyword->type(reading, keyword,
		member(keyword->global ? reading->globals : reading->block, keyword), words);
}

static bool is_same(const char *a, size_t a_length, const char *b, size_t b_length)
{
	return a_length == b_length && strncasecmp(a, b, a_length) == 0;
}

/* Is it the name with one letter too many, too few, or another, or with two that have changed
 * places? */
static bool is_misspelt(const char *word, size_t length, const char *name, size_t name_length)
{
	while (length > 0 && name_length > 0 && strncasecmp(word, name, 1) == 0) {
		word++;
		length--;
		name++;
		name_length--;
	}
	if (length == 0 || name_length == 0)
		return length + name_length == 1;
	return is_same(word + 1, length - 1, name, name_length) ||
	       is_same(word, length, name + 1, name_length - 1) ||
	       is_same(word + 1, length - 1, name + 1, name_length - 1) ||
	       (length > 1 && name_length > 1 && strncasecmp(word, name + 1, 1) == 0 &&
		       strncasecmp(word + 1, name, 1) == 0 &&
		       is_same(word + 2, length - 2, name + 2, name_length - 2));
}

/* Interval, from:, interval=1s, frmo: the keyword that was meant, or NULL. */
static const char *keyword_meant(const struct reading *reading, const char *word)
{
	const struct keyword *end = reading->keywords + reading->keywords_count;
	size_t length = strcspn(word, ":=");

	for (const struct keyword *keyword = reading->keywords; keyword < end; keyword++)
		if (is_same(word, length, keyword->name, strlen(keyword->name)))
			return keyword->name;
	for (const struct keyword *keyword = reading->keywords; keyword < end; keyword++) {
		size_t name_length = strlen(keyword->name);

		if (length > 0 && name_length >= MISSPELT_LEAST &&
			is_misspelt(word, length, keyword->name, name_length))
			return keyword->name;
	}
	return NULL;
}

static void wrong_keyword(struct reading *reading, const char *word)
{
	const char *oddity = word_oddity(word), *meant = keyword_meant(reading, word);
	char message[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	text_add(&text, "there is no keyword ");
	text_add_word(&text, word);
	if (oddity != NULL)
		text_add(&text, ": it has %s", oddity);
	else if (meant != NULL)
		text_add(&text, ": write '%s' and a space", meant);
	else
		text_add(&text, ": %s has them all", reading->page);
	report_text(&reading->report, SEVERITY_ERROR, &text);
}

void keyword_apply(struct reading *reading, const struct words *words)
{
	const struct keyword *keyword = keyword_find(reading, words->word[0]);

	if (keyword == NULL)
		wrong_keyword(reading, words->word[0]);
	else if (words->count < 2 || words->count - 1 > keyword->most)
		wrong_count(reading, keyword, words);
	else if (keyword->global && reading->first_block.text != NULL)
		report_wrong(&reading->report,
			"%s belongs before the first account, %s (line %u): write it there",
			keyword->name, reading->first_block.text, reading->first_block.place.line);
	else
		value_take(reading, keyword, words);
}
