/* SPDX-License-Identifier: ISC */
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/advice.h"
#include "policy/confine.h"
#include "conf/shadow.h"
#include "lib/text.h"
#include "lib/users.h"
#include "conf/variable.h"

#define MESSAGE_MAX 1024

/* Letters of a keyword that may have been misspelt. */
#define MISSPELT_LEAST 4

struct words {
	char *word[CONF_LINE_WORDS];
	bool quoted[CONF_LINE_WORDS]; /* with a quote or backslash: meant as it is */
	unsigned count;
};

/* ---- Messages ---- */

static void tell(struct conf *conf, enum severity severity, const struct text *text)
{
	conf->wrong += severity == SEVERITY_ERROR;
	conf->report(conf->context, severity, conf->file, conf->line, text->bytes);
}

__attribute__((format(printf, 3, 0))) static void tell_list(
	struct conf *conf, enum severity severity, const char *format, va_list arguments)
{
	char message[MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	text_add_list(&text, format, arguments);
	tell(conf, severity, &text);
}

__attribute__((format(printf, 2, 3))) static void wrong(struct conf *conf, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell_list(conf, SEVERITY_ERROR, format, arguments);
	va_end(arguments);
}

/* KEYWORD: 'WORD' and what there is to say of it. `keyword` may be NULL. */
__attribute__((format(printf, 5, 0))) static void tell_word(struct conf *conf,
	enum severity severity, const char *keyword, const char *word, const char *format,
	va_list arguments)
{
	char message[MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	if (keyword != NULL)
		text_add(&text, "%s: ", keyword);
	text_add_word(&text, word);
	text_add_list(&text, format, arguments);
	tell(conf, severity, &text);
}

/* What is wrong with how a word is written. */
__attribute__((format(printf, 4, 5))) static void wrong_form(
	struct conf *conf, const char *keyword, const char *word, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell_word(conf, SEVERITY_ERROR, keyword, word, format, arguments);
	va_end(arguments);
}

/* What is wrong with a word: a character that nobody sees, if it has one. */
__attribute__((format(printf, 4, 5))) static void wrong_word(
	struct conf *conf, const char *keyword, const char *word, const char *format, ...)
{
	const char *character = advice_character(word);
	va_list arguments;

	if (character != NULL) {
		wrong_form(conf, keyword, word, " has %s", character);
		return;
	}
	va_start(arguments, format);
	tell_word(conf, SEVERITY_ERROR, keyword, word, format, arguments);
	va_end(arguments);
}

/* For conf.advises. */
__attribute__((format(printf, 4, 5))) static void warn_word(
	struct conf *conf, const char *keyword, const char *word, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell_word(conf, SEVERITY_WARNING, keyword, word, format, arguments);
	va_end(arguments);
}

void conf_tell_list(struct conf *conf, enum severity severity, const struct place *place,
	const char *format, va_list arguments)
{
	conf->file = place->file;
	conf->line = place->line;
	tell_list(conf, severity, format, arguments);
}

void conf_tell(struct conf *conf, enum severity severity, const struct place *place,
	const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	conf_tell_list(conf, severity, place, format, arguments);
	va_end(arguments);
}

/* What could stand behind the keyword: for who has said nothing there, or nothing at all. */
static void add_example(struct text *text, const char *keyword)
{
	text_add(text, ": write such as '%s %s'", keyword, advice_example(keyword));
}

const char *conf_place(
	const char *here, const struct place *place, char bytes[static CONF_PLACE_MAX])
{
	struct text text = { .bytes = bytes, .size = CONF_PLACE_MAX };

	if (place->file == here)
		text_add(&text, "line %u", place->line);
	else
		text_add(&text, "%s:%u", place->file, place->line);
	return bytes;
}

/* ---- Values ---- */

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

static void span_set(struct conf *conf, const char *keyword, const char *text, uint32_t least_ms,
	struct span *span)
{
	const char *c = text;
	uint64_t number, unit;

	if (!number_take(&c, SPAN_MAX_MS, &number) || (unit = unit_milliseconds(c)) == 0) {
		wrong_word(conf, keyword, text, " is not a time such as 500ms, 10s, 5m, 2h or 1d");
		return;
	}
	if (number * unit > SPAN_MAX_MS || number * unit < least_ms) {
		wrong_word(conf, keyword, text, " is not between %ums and 7d", least_ms);
		return;
	}
	span->ms = (uint32_t)(number * unit);
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

static void set_limit(struct conf *conf, struct account *block, const struct words *words)
{
	uint64_t count, period, emission, burst = 1;
	const char *burst_text = words->count == 4 ? words->word[3] : "1";
	char joined[MESSAGE_MAX];
	struct text text = TEXT_IN(joined);

	if ((words->count != 2 && words->count != 4) ||
		(words->count == 4 && strcmp(words->word[2], "burst") != 0) ||
		!rate_parse(words->word[1], &count, &period) ||
		!number_parse(burst_text, UINT32_MAX, &burst) || burst == 0) {
		wrong_word(conf, words->word[0], words_join(words, &text),
			" is not COUNT/PERIOD, such as 12/m, and perhaps burst NUMBER");
		return;
	}
	emission = (period + count - 1) / count; /* up: never more than was asked for */
	if (emission > SPAN_MAX_MS || emission * (burst + 1) > SPAN_MAX_MS) {
		wrong_word(conf, words->word[0], words_join(words, &text),
			": burst %u at this rate takes more than 7d to recover: write a shorter "
			"PERIOD%s",
			(unsigned)burst, burst > 1 ? ", or a smaller burst" : "");
		return;
	}
	block->limit.emission.ms = (uint32_t)emission;
	block->limit.burst = (uint32_t)burst;
}

/* ---- Keywords: each takes the words of its line, the first being the keyword ---- */

static struct place place_here(const struct conf *conf)
{
	return (struct place){ .file = conf->file, .line = conf->line };
}

/* A path that does not begin with a slash. */
static void wrong_path(struct conf *conf, const struct words *words)
{
	const char *path = words->word[1];

	if (*path == '~' || *path == '$')
		wrong_word(conf, words->word[0], path,
			" is not an absolute path: nothing is expanded here, so write it whole");
	else if (strchr(path, '/') == NULL && *path != '\0' &&
		 strcmp(words->word[0], "action") == 0)
		wrong_word(conf, words->word[0], path,
			" is not an absolute path: write the one that 'command -v %s' shows", path);
	else
		wrong_word(conf, words->word[0], path,
			" is not an absolute path: write it whole, from '/' on");
}

static void set_state(struct conf *conf, struct account *block, const struct words *words)
{
	(void)block;
	if (words->word[1][0] != '/')
		wrong_path(conf, words);
	else
		conf->state = words->word[1];
	conf->state_place = place_here(conf);
}

static void set_log(struct conf *conf, struct account *block, const struct words *words)
{
	static const char *const targets[] = {
		[LOG_TARGET_AUTO] = "auto",
		[LOG_TARGET_JOURNAL] = "journal",
		[LOG_TARGET_SYSLOG] = "syslog",
		[LOG_TARGET_STDERR] = "stderr",
	};

	(void)block;
	for (unsigned i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		if (strcmp(words->word[1], targets[i]) == 0) {
			conf->log = (enum log_target)i;
			return;
		}
	}
	wrong_word(conf, words->word[0], words->word[1], " is not auto, journal, syslog or stderr");
}

static void set_idle(struct conf *conf, struct account *block, const struct words *words)
{
	(void)block;
	span_set(conf, words->word[0], words->word[1], 0, &conf->idle);
}

static bool name_is_good(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > CONF_NAME_MAX || !(is_letter(*name) || is_digit(*name)))
		return false;
	for (const char *c = name; *c != '\0'; c++)
		if (!is_letter(*c) && !is_digit(*c) && strchr("._-", *c) == NULL)
			return false;
	return true;
}

static struct account *account_add(struct conf *conf, const char *name)
{
	struct account *account = &conf->accounts[conf->accounts_count++];

	account->name = name;
	account->place = place_here(conf);
	return account;
}

static void set_account(struct conf *conf, struct account *block, const struct words *words)
{
	const char *name = words->word[1];
	char place[CONF_PLACE_MAX];

	(void)block;
	if (!name_is_good(name))
		wrong_word(conf, words->word[0], name,
			" is not a name: a letter or digit, then letters, digits, "
			"'.', '_' and '-', %d at most",
			CONF_NAME_MAX);
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const struct account *one = &conf->accounts[i];

		if (strcmp(name, one->name) == 0)
			wrong_word(conf, words->word[0], name,
				" is there already (%s): write another name",
				conf_place(conf->file, &one->place, place));
	}
	if (conf->accounts_count == CONF_ACCOUNTS_MAX) {
		wrong_word(conf, words->word[0], name, " is one too many: %d accounts is the most",
			CONF_ACCOUNTS_MAX);
		return;
	}
	conf->block = account_add(conf, name);
}

/* The index of what comes next in the pool, as entries of this size. */
static unsigned pool_next(const struct conf *conf, size_t size)
{
	return (unsigned)((conf->pool_used + size - 1) / size);
}

static void prefix_add(struct conf *conf, const struct prefix *prefix)
{
	unsigned index = pool_next(conf, sizeof(*prefix));

	conf->prefixes[index] = *prefix;
	conf->prefixes_count++;
	conf->pool_used = (index + 1) * sizeof(*prefix);
}

static void word_add(struct conf *conf, char *word)
{
	unsigned index = pool_next(conf, sizeof(word));

	conf->words[index] = word;
	conf->words_count++;
	conf->pool_used = (index + 1) * sizeof(word);
}

static void wrong_prefix(struct conf *conf, const char *keyword, const char *word, bool is_to)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	advice_prefix(&text, word, is_to);
	wrong_word(conf, keyword, word, ": %s", bytes);
}

/* For conf.advises. */
static void advise_prefix(struct conf *conf, const char *keyword, const char *word,
	const struct prefix *prefix, bool is_to)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	conf->prefix_words[conf->prefixes_count] =
		(struct prefix_word){ .text = word, .place = place_here(conf) };
	text_add(&text, ": ");
	if (advice_one_address(&text, word, prefix, is_to))
		warn_word(conf, keyword, word, "%s", bytes);
}

/* The keyword's words, as prefixes. `first` is where they begin among all that are written. */
static void set_prefixes(struct conf *conf, struct slice *slice, unsigned *first,
	const struct words *words, bool is_to)
{
	slice->start = pool_next(conf, sizeof(struct prefix));
	slice->count = 0;
	*first = conf->prefixes_count;
	for (unsigned i = 1; i < words->count; i++) {
		struct prefix prefix;

		if (conf->prefixes_count == CONF_PREFIXES_MAX) {
			wrong_word(conf, words->word[0], words->word[i],
				" is one too many: %d networks in all is the most",
				CONF_PREFIXES_MAX);
			return;
		}
		if (!prefix_parse(words->word[i], &prefix) ||
			(is_to && prefix.kind != PREFIX_ADDRESS)) {
			wrong_prefix(conf, words->word[0], words->word[i], is_to);
			continue;
		}
		if (conf->advises)
			advise_prefix(conf, words->word[0], words->word[i], &prefix, is_to);
		prefix_add(conf, &prefix);
		slice->count++;
	}
}

static void set_from(struct conf *conf, struct account *block, const struct words *words)
{
	set_prefixes(conf, &block->from, &block->from_word, words, false);
}

static void set_to(struct conf *conf, struct account *block, const struct words *words)
{
	set_prefixes(conf, &block->to, &block->to_word, words, true);
}

static void set_interval(struct conf *conf, struct account *block, const struct words *words)
{
	span_set(conf, words->word[0], words->word[1], 0, &block->interval);
}

static void set_timeout(struct conf *conf, struct account *block, const struct words *words)
{
	span_set(conf, words->word[0], words->word[1], 1, &block->timeout);
}

static void set_read_timeout(struct conf *conf, struct account *block, const struct words *words)
{
	span_set(conf, words->word[0], words->word[1], 1, &block->read_timeout);
}

static void yes_no_set(struct conf *conf, const struct words *words, bool *value)
{
	*value = strcmp(words->word[1], "yes") == 0;
	if (!*value && strcmp(words->word[1], "no") != 0)
		wrong_word(conf, words->word[0], words->word[1], " is not yes or no");
}

static void set_bare_lf(struct conf *conf, struct account *block, const struct words *words)
{
	yes_no_set(conf, words, &block->bare_lf);
}

static void set_user(struct conf *conf, struct account *block, const struct words *words)
{
	block->user = words->word[1];
	block->user_place = place_here(conf);
}

static void set_confine(struct conf *conf, struct account *block, const struct words *words)
{
	if (policy_find(words->word[1]) == NULL)
		wrong_word(conf, words->word[0], words->word[1],
			" is no policy: write mail, local or none");
	block->confine = words->word[1];
}

static void set_isolate(struct conf *conf, struct account *block, const struct words *words)
{
	yes_no_set(conf, words, &block->isolate);
}

/* A value that only a shell would make something of. */
static void advise_value(struct conf *conf, char *text)
{
	const char *value = strchr(text, '=') + 1;

	if (*value == '~')
		warn_word(conf, "env", text, ": nothing is expanded: write the absolute path");
	else if (strchr(value, '$') != NULL || strchr(value, '`') != NULL)
		warn_word(conf, "env", text,
			": nothing is expanded: write the value itself, or "
			"quote it if it is meant as it is");
}

static void variable_add(struct conf *conf, const struct account *block, char *text)
{
	size_t length = variable_name_length(text);

	if (length == 0 || text[length] != '=')
		wrong_word(conf, "env", text, " is not NAME=value, such as TZ=UTC");
	else if (strncmp(text, "NMNOTIFY_", 9) == 0)
		wrong_word(conf, "env", text, ": NMNOTIFY_ is ours to set: write another name");
	else if (conf->variables_count == CONF_ENV_MAX)
		wrong_word(conf, "env", text, " is one too many: %d variables in all is the most",
			CONF_ENV_MAX);
	else
		conf->variables[conf->variables_count++] =
			(struct variable){ .block = block, .text = text };
}

static void set_env(struct conf *conf, struct account *block, const struct words *words)
{
	for (unsigned i = 1; i < words->count; i++) {
		unsigned before = conf->wrong;

		variable_add(conf, block, words->word[i]);
		if (conf->advises && conf->wrong == before && !words->quoted[i])
			advise_value(conf, words->word[i]);
	}
}

static void pass_add(struct conf *conf, const struct account *block, char *name)
{
	size_t length = variable_name_length(name);
	const char *refusal;

	if (length != 0 && name[length] == '=')
		wrong_word(conf, "pass", name,
			" has a value: write 'env NAME=value', or the name alone for the "
			"starter's");
	else if (length == 0 || name[length] != '\0')
		wrong_word(conf, "pass", name, " is not the name of a variable, such as GNUPGHOME");
	else if ((refusal = variable_refusal(name)) != NULL)
		wrong_word(conf, "pass", name, ": %s", refusal);
	else if (conf->passes_count == CONF_PASS_MAX)
		wrong_word(conf, "pass", name, " is one too many: %d names in all is the most",
			CONF_PASS_MAX);
	else
		conf->passes[conf->passes_count++] =
			(struct variable){ .block = block, .text = name };
}

static void set_pass(struct conf *conf, struct account *block, const struct words *words)
{
	for (unsigned i = 1; i < words->count; i++)
		pass_add(conf, block, words->word[i]);
}

/* Words that only a shell understands, where there is none. Behind sh -c they may be meant: but not
 * one that can only end the command itself. */
static void advise_action(struct conf *conf, const struct words *words)
{
	bool is_script = false;

	for (unsigned i = 2; i < words->count && !is_script; i++)
		is_script = advice_is_interpreter(words->word[1]) && words->word[i][0] == '-' &&
			    strchr(words->word[i], 'c') != NULL;
	for (unsigned i = 2; i < words->count; i++) {
		const char *character = words->quoted[i] ? NULL : advice_character(words->word[i]);
		char bytes[MESSAGE_MAX];
		struct text text = TEXT_IN(bytes);

		if (character != NULL)
			text_add(&text, " has %s", character);
		else if (words->quoted[i] || (is_script && !advice_is_operator(words->word[i])))
			continue;
		else {
			text_add(&text, ": ");
			if (!advice_shell(&text, words->word[i]))
				continue;
		}
		warn_word(conf, "action", words->word[i], "%s", bytes);
	}
}

static void set_action(struct conf *conf, struct account *block, const struct words *words)
{
	struct slice *action = &block->action;

	if (words->word[1][0] != '/')
		wrong_path(conf, words);
	if (conf->words_count + words->count > CONF_WORDS_MAX) {
		wrong_word(conf, "action", words->word[1],
			" has too many words: %d in all actions is the most", CONF_WORDS_MAX);
		return;
	}
	if (conf->advises)
		advise_action(conf, words);
	action->start = pool_next(conf, sizeof(char *));
	action->count = words->count - 1;
	block->action_place = place_here(conf);
	for (unsigned i = 1; i < words->count; i++)
		word_add(conf, words->word[i]);
	word_add(conf, NULL);
}

static const struct {
	const char *name;
	void (*set)(struct conf *conf, struct account *block, const struct words *words);
	unsigned most; /* words after the keyword; at least one */
	bool global;   /* belongs before the first account */
	bool repeats;  /* lines of a block add up */
} keywords[KEYWORDS] = {
	[KEYWORD_STATE] = { .name = "state", .set = set_state, .most = 1, .global = true },
	[KEYWORD_LOG] = { .name = "log", .set = set_log, .most = 1, .global = true },
	[KEYWORD_IDLE] = { .name = "idle", .set = set_idle, .most = 1, .global = true },
	[KEYWORD_ACCOUNT] = { .name = "account", .set = set_account, .most = 1, .repeats = true },
	[KEYWORD_FROM] = { .name = "from", .set = set_from, .most = CONF_LINE_WORDS },
	[KEYWORD_TO] = { .name = "to", .set = set_to, .most = CONF_LINE_WORDS },
	[KEYWORD_LIMIT] = { .name = "limit", .set = set_limit, .most = 3 },
	[KEYWORD_INTERVAL] = { .name = "interval", .set = set_interval, .most = 1 },
	[KEYWORD_TIMEOUT] = { .name = "timeout", .set = set_timeout, .most = 1 },
	[KEYWORD_READ_TIMEOUT] = { .name = "read-timeout", .set = set_read_timeout, .most = 1 },
	[KEYWORD_BARE_LF] = { .name = "bare-lf", .set = set_bare_lf, .most = 1 },
	[KEYWORD_USER] = { .name = "user", .set = set_user, .most = 1 },
	[KEYWORD_ENV] = { .name = "env", .set = set_env, .most = CONF_LINE_WORDS, .repeats = true },
	[KEYWORD_PASS] = { .name = "pass",
		.set = set_pass,
		.most = CONF_LINE_WORDS,
		.repeats = true },
	[KEYWORD_CONFINE] = { .name = "confine", .set = set_confine, .most = 1 },
	[KEYWORD_ISOLATE] = { .name = "isolate", .set = set_isolate, .most = 1 },
	[KEYWORD_ACTION] = { .name = "action", .set = set_action, .most = CONF_LINE_WORDS },
};

/* ---- Lines ---- */

/* A word that is being taken, in place: what is written is never longer than what was read. */
struct lexer {
	char *from, *to;
	char quote;     /* the quote that is open, or 0 */
	char *opened;   /* what is behind it, until now */
	bool is_quoted; /* some of it was */
};

/* Takes one character, undoing quotes as sh(1) does. False at a backslash with nothing behind it.
 */
static bool character_take(struct lexer *lexer)
{
	char c = *lexer->from++;

	if (lexer->quote != 0 && c == lexer->quote) {
		lexer->quote = 0;
		return true;
	}
	if (lexer->quote == 0 && (c == '\'' || c == '"')) {
		lexer->is_quoted = true;
		lexer->quote = c;
		lexer->opened = lexer->to;
		return true;
	}
	if (c == '\\' && lexer->quote != '\'') {
		/* Within "", a backslash is one unless a character that it can protect follows. */
		if (lexer->quote == '"' && strchr("\"\\$`", *lexer->from) == NULL) {
			*lexer->to++ = c;
			return true;
		}
		if (*lexer->from == '\0')
			return false;
		lexer->is_quoted = true;
		c = *lexer->from++;
	}
	*lexer->to++ = c;
	return true;
}

/* Takes the word at lexer->from, in place, and ends it with a NUL. False: reported. */
static bool word_take(struct conf *conf, struct lexer *lexer, const struct words *words)
{
	const char *word = lexer->to, *keyword = words->count > 0 ? words->word[0] : NULL;

	while (*lexer->from != '\0' &&
		(lexer->quote != 0 || (*lexer->from != ' ' && *lexer->from != '\t'))) {
		if (!character_take(lexer)) {
			*lexer->to = '\0';
			wrong_form(conf, keyword, word,
				": a backslash ends the line, which cannot go on on the next one: "
				"write all on one line");
			return false;
		}
	}
	if (*lexer->from != '\0')
		lexer->from++;
	*lexer->to = '\0';
	if (lexer->quote != 0) {
		wrong_form(conf, keyword, lexer->opened,
			": a quote before it is not closed: write a second %c, or \\%c if it is "
			"meant as it is",
			lexer->quote, lexer->quote);
		return false;
	}
	return true;
}

static bool line_split(struct conf *conf, char *text, struct words *words)
{
	words->count = 0;
	for (;;) {
		struct lexer lexer = { .quote = 0 };

		text += strspn(text, " \t");
		if (*text == '\0' || *text == '#')
			return true;
		if (words->count == CONF_LINE_WORDS) {
			wrong_form(conf, words->word[0], text,
				" is too much: %d words a line is the most", CONF_LINE_WORDS);
			return false;
		}
		lexer.from = lexer.to = text;
		if (!word_take(conf, &lexer, words))
			return false;
		words->quoted[words->count] = lexer.is_quoted;
		words->word[words->count++] = text;
		text = lexer.from;
	}
}

/* The first control character but a tab, or 0. */
static char control_find(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' && *text != '\t')
			return *text;
	return '\0';
}

static enum keyword keyword_find(const char *name)
{
	enum keyword keyword = 0;

	while (keyword < KEYWORDS && strcmp(name, keywords[keyword].name) != 0)
		keyword++;
	return keyword;
}

static void wrong_count(struct conf *conf, const struct words *words, unsigned most)
{
	char message[MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	if (words->count < 2) {
		text_add(&text, "%s: a value is missing", words->word[0]);
		add_example(&text, words->word[0]);
		tell(conf, SEVERITY_ERROR, &text);
	} else {
		wrong_word(conf, words->word[0], words->word[most + 1],
			" is one word too many: nothing can be behind '%s'", words->word[most]);
	}
}

/* A keyword that holds for all accounts, in an account's block. */
static void wrong_block(struct conf *conf, const char *keyword)
{
	const struct account *first = conf->accounts;

	while (first->place.file != conf->file)
		first++;
	wrong(conf, "%s belongs before the first account, %s (line %u): write it there", keyword,
		first->name, first->place.line);
}

/* Always of one file: what the command line says is pinned. */
static void wrong_twice(struct conf *conf, enum keyword keyword, unsigned first)
{
	bool adds_up = keyword == KEYWORD_FROM || keyword == KEYWORD_TO;

	wrong(conf, "%s is said twice, first on line %u: %s", keywords[keyword].name, first,
		adds_up ? "write all of it on one line" : "leave out one of them");
}

static void keyword_apply(struct conf *conf, enum keyword keyword, const struct words *words)
{
	struct account *block = conf->block;
	struct account scratch = { .name = NULL };

	if (words->count < 2 || words->count - 1 > keywords[keyword].most) {
		wrong_count(conf, words, keywords[keyword].most);
		return;
	}
	if (keywords[keyword].global && block != &conf->defaults) {
		wrong_block(conf, words->word[0]);
		return;
	}
	if (block->pinned[keyword] && !conf->command_line) {
		/* The command line has said it: check the file's word, then forget it. */
		const char *state = conf->state;
		struct place place = conf->state_place;
		enum log_target target = conf->log;
		struct span idle = conf->idle;

		keywords[keyword].set(conf, &scratch, words);
		conf->state = state;
		conf->state_place = place;
		conf->log = target;
		conf->idle = idle;
		return;
	}
	if (block->set[keyword] != 0 && !keywords[keyword].repeats) {
		wrong_twice(conf, keyword, block->set[keyword]);
		return;
	}
	block->set[keyword] = (uint16_t)conf->line;
	block->pinned[keyword] = conf->command_line && !keywords[keyword].repeats;
	keywords[keyword].set(conf, block, words);
}

static bool is_same(const char *a, size_t a_length, const char *b, size_t b_length)
{
	return a_length == b_length && strncasecmp(a, b, a_length) == 0;
}

/* A letter too many, too few or another one, or two that have changed places. Not for the shortest
 * keywords, which other words are too near to. */
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
static const char *keyword_meant(const char *word)
{
	size_t length = strcspn(word, ":=");

	for (enum keyword keyword = 0; keyword < KEYWORDS; keyword++) {
		const char *name = keywords[keyword].name;

		if (is_same(word, length, name, strlen(name)))
			return name;
	}
	for (enum keyword keyword = 0; keyword < KEYWORDS; keyword++) {
		const char *name = keywords[keyword].name;

		if (length > 0 && strlen(name) >= MISSPELT_LEAST &&
			is_misspelt(word, length, name, strlen(name)))
			return name;
	}
	return NULL;
}

static void wrong_keyword(struct conf *conf, const char *word)
{
	const char *character = advice_character(word), *meant = keyword_meant(word);
	char message[MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	text_add(&text, "there is no keyword ");
	text_add_word(&text, word);
	if (character != NULL)
		text_add(&text, ": it has %s", character);
	else if (meant != NULL)
		text_add(&text, ": write '%s' and a space", meant);
	else
		text_add(&text, ": nmnotify.conf(5) has them all");
	tell(conf, SEVERITY_ERROR, &text);
}

static void line_apply(struct conf *conf, char *text)
{
	static struct words words; /* as a variable of its own it would be zeroed for each line */
	char control = control_find(text);
	enum keyword keyword;

	if (control != '\0') {
		wrong(conf, "a control character, '%c': remove it", control);
		return;
	}
	if (!line_split(conf, text, &words) || words.count == 0)
		return;
	keyword = keyword_find(words.word[0]);
	if (keyword == KEYWORDS)
		wrong_keyword(conf, words.word[0]);
	else
		keyword_apply(conf, keyword, &words);
}

/* ---- The whole ---- */

void conf_begin(struct conf *conf, conf_report *report, void *context)
{
	conf->report = report;
	conf->context = context;
	conf->block = &conf->defaults;
	conf->idle.ms = 60000;
	conf->defaults.limit = (struct rate){ .emission = { .ms = 5000 }, .burst = 6 };
	conf->defaults.interval.ms = 10000;
	conf->defaults.timeout.ms = 5 * 60000;
	conf->defaults.read_timeout.ms = 5000;
	conf->defaults.confine = "mail";
}

void conf_option(struct conf *conf, const char *text, unsigned number)
{
	size_t length = strlen(text) + 1;
	char *copy = conf->text + conf->pool_used;

	conf->file = "-o";
	conf->line = number;
	if (length > CONF_BYTES_MAX - conf->text_length) {
		wrong(conf, "the configuration is longer than %d bytes", CONF_BYTES_MAX);
		return;
	}
	memcpy(copy, text, length);
	conf->text_length += length;
	conf->pool_used += length;
	conf->command_line = true;
	line_apply(conf, copy);
	conf->command_line = false;
}

static bool file_is_trusted(struct conf *conf, int fd, size_t *size)
{
	struct stat st;
	unsigned before = conf->wrong;

	*size = 0;
	if (fstat(fd, &st) != 0)
		wrong(conf, "cannot examine: %s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		wrong(conf, "not a regular file");
	else if (st.st_uid != 0 && st.st_uid != geteuid() && user_is_unknown(st.st_uid))
		wrong(conf, "its owner is not known in this user namespace, so it is not trusted: "
			    "start nmnotify outside, or give it a file of the running user's");
	else if (st.st_uid != 0 && st.st_uid != geteuid())
		wrong(conf, "owned by user %u, neither root nor the running user: chown it",
			(unsigned)st.st_uid);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		wrong(conf, "others than its owner may write it: chmod go-w");
	else
		*size = (size_t)st.st_size;
	return conf->wrong == before;
}

/* Reads the `size` bytes that fd had, behind the text that is there. -1: reported. */
static ssize_t file_read(struct conf *conf, int fd, size_t size)
{
	char *text = conf->text + conf->pool_used;
	size_t room = CONF_BYTES_MAX - conf->text_length, length = 0;
	ssize_t got = 0;

	if (size >= room) { /* the last line's NUL needs a byte, too */
		wrong(conf, "the configuration is longer than %d bytes", CONF_BYTES_MAX);
		return -1;
	}
	while (length < size) {
		got = read(fd, text + length, size - length);
		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		length += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		wrong(conf, "cannot read: %s", strerror(errno));
	return got < 0 ? -1 : (ssize_t)length;
}

/* Is it text, as far as can be told at once? If not, that is said once, and not for each line. */
static bool is_text(struct conf *conf, const char *text, size_t length)
{
	size_t end = strlen(text);

	if (length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
		wrong(conf, "the file is UTF-16: save it as UTF-8, without a byte order mark");
		return false;
	}
	if (end == length)
		return true;
	conf->line = 1;
	for (size_t i = 0; i < end; i++)
		conf->line += text[i] == '\n';
	wrong(conf, "a NUL byte: save the file as text, in UTF-8");
	return false;
}

/* Takes the CR from a line's end. It is said once; the rest of the line is looked at all the same.
 */
static void line_end(struct conf *conf, char *line, const char *end, bool *said)
{
	size_t length = (size_t)(end - line);

	/* With another one inside it is no line's end: as a control character it is told. */
	if (length == 0 || strchr(line, '\r') != line + length - 1)
		return;
	line[length - 1] = '\0';
	if (!*said)
		wrong(conf, "lines end in CR LF, as on Windows: save the file with LF alone, or "
			    "convert it with dos2unix");
	*said = true;
}

static void file_lines(struct conf *conf, size_t length)
{
	char *text = conf->text + conf->pool_used, *end = text + length;
	bool said_cr = false;

	*end = '\0';
	conf->text_length += length + 1;
	conf->pool_used += length + 1;
	if (!is_text(conf, text, length))
		return;
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0) {
		conf->line = 1;
		wrong(conf, "a byte order mark at the beginning, '%c%c%c': save the file without",
			text[0], text[1], text[2]);
		conf->line = 0;
		text += 3;
	}
	while (text < end) {
		char *newline = strchr(text, '\n');
		char *next = newline == NULL ? end : newline + 1;

		if (newline != NULL)
			*newline = '\0';
		conf->line++;
		line_end(conf, text, newline != NULL ? newline : end, &said_cr);
		line_apply(conf, text);
		text = next;
	}
}

void conf_file(struct conf *conf, const char *path, bool optional)
{
	/* O_NONBLOCK: a fifo in its place must not hold us. */
	int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t length;
	size_t size;

	conf->file = path;
	conf->line = 0;
	if (conf->state == NULL)
		conf->state_place.file = path;
	conf->block = &conf->defaults;
	if (fd < 0) {
		if (!optional || errno != ENOENT)
			wrong(conf, "cannot open: %s", strerror(errno));
		return;
	}
	if (file_is_trusted(conf, fd, &size)) {
		length = file_read(conf, fd, size);
		if (length >= 0)
			file_lines(conf, (size_t)length);
	}
	(void)close(fd); /* was only read */
}

/* Fills in what the account does not say itself. */
static void account_inherit(struct account *account, const struct account *defaults)
{
	struct account own = *account;

	*account = *defaults;
	account->name = own.name;
	account->place = own.place;
	if (own.set[KEYWORD_FROM]) {
		account->from = own.from;
		account->from_word = own.from_word;
	}
	if (own.set[KEYWORD_TO]) {
		account->to = own.to;
		account->to_word = own.to_word;
	}
	if (own.set[KEYWORD_LIMIT])
		account->limit = own.limit;
	if (own.set[KEYWORD_INTERVAL])
		account->interval = own.interval;
	if (own.set[KEYWORD_TIMEOUT])
		account->timeout = own.timeout;
	if (own.set[KEYWORD_READ_TIMEOUT])
		account->read_timeout = own.read_timeout;
	if (own.set[KEYWORD_BARE_LF])
		account->bare_lf = own.bare_lf;
	if (own.set[KEYWORD_USER]) {
		account->user = own.user;
		account->user_place = own.user_place;
	}
	if (own.set[KEYWORD_CONFINE])
		account->confine = own.confine;
	if (own.set[KEYWORD_ISOLATE])
		account->isolate = own.isolate;
	else if (!defaults->set[KEYWORD_ISOLATE]) /* what `local` is for is to tell others */
		account->isolate = strcmp(account->confine, "local") != 0;
	if (own.set[KEYWORD_ACTION]) {
		account->action = own.action;
		account->action_place = own.action_place;
	}
}

static void wrong_lack(
	struct conf *conf, const struct account *account, const char *keyword, const char *why)
{
	char message[MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	text_add(&text, "account %s has no '%s'%s", account->name, keyword, why);
	add_example(&text, keyword);
	tell(conf, SEVERITY_ERROR, &text);
}

static void account_check(struct conf *conf, const struct account *account)
{
	conf->file = account->place.file;
	conf->line = account->place.line;
	if (account->from.count == 0)
		wrong_lack(conf, account, "from", "");
	if (account->action.count == 0)
		wrong_lack(conf, account, "action", "");
	if (account->user != NULL || geteuid() != 0)
		return;
	if (!conf->advises)
		wrong_lack(conf, account, "user", ", which root must have");
	else
		conf_tell(conf, SEVERITY_WARNING, &account->place,
			"account %s has no 'user', which root must have: a super-server that "
			"starts nmnotify as somebody else needs none",
			account->name);
}

bool conf_end(struct conf *conf)
{
	/* With anything wrong, what else is missing is likely to be so for that reason. */
	unsigned before = conf->wrong;

	if (before == 0 && conf->accounts_count == 0) {
		conf->line = 0;
		conf->block = account_add(conf, "default");
	}
	for (unsigned i = 0; i < conf->accounts_count && before == 0; i++) {
		account_inherit(&conf->accounts[i], &conf->defaults);
		account_check(conf, &conf->accounts[i]);
	}
	if (conf->wrong == 0 && conf->advises)
		shadow_check(conf);
	return conf->wrong == 0;
}

static bool slice_holds(
	const struct conf *conf, const struct slice *slice, const struct source *source)
{
	for (unsigned i = 0; i < slice->count; i++)
		if (prefix_holds(&conf->prefixes[slice->start + i], source))
			return true;
	return false;
}

bool conf_takes(const struct conf *conf, const struct account *account, const struct source *source)
{
	return slice_holds(conf, &account->from, source);
}

const struct account *conf_account(
	const struct conf *conf, const struct source *source, const struct source *to)
{
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const struct account *account = &conf->accounts[i];

		if (slice_holds(conf, &account->from, source) &&
			(account->to.count == 0 || slice_holds(conf, &account->to, to)))
			return account;
	}
	return NULL;
}

bool conf_variable_is_of(
	const struct conf *conf, const struct variable *variable, const struct account *account)
{
	return variable->block == &conf->defaults || variable->block == account;
}

bool conf_needs_to(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->accounts_count; i++)
		if (conf->accounts[i].to.count != 0)
			return true;
	return false;
}
