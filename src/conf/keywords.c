/* SPDX-License-Identifier: ISC */
#include "conf/keywords.h"

#include <string.h>

#include "lib/advice.h"
#include "conf/ports.h"
#include "conf/variable.h"
#include "policy/confine.h"

/* ---- Accounts ---- */

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

struct account *account_add(struct conf *conf, const char *name)
{
	struct account *account = &conf->accounts[conf->accounts_count++];

	account->name = name;
	account->place = conf->reading.report.here;
	return account;
}

static void set_account(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct conf *conf = reading->owner;
	const char *name = words->word[1];
	struct account *account;
	char place[PLACE_TEXT_MAX];

	(void)to;
	if (!name_is_good(name))
		report_wrong_word(&reading->report, keyword->name, name,
			" is not a name: a letter or digit, then letters, digits, "
			"'.', '_' and '-', %d at most",
			CONF_NAME_MAX);
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const struct account *one = &conf->accounts[i];

		if (strcmp(name, one->name) == 0)
			report_wrong_word(&reading->report, keyword->name, name,
				" is there already (%s): write another name",
				place_text(reading->report.here.file, &one->place, place));
	}
	if (conf->accounts_count == CONF_ACCOUNTS_MAX) {
		report_wrong_word(&reading->report, keyword->name, name,
			" is one too many: %d accounts is the most", CONF_ACCOUNTS_MAX);
		return;
	}
	account = account_add(conf, name);
	reading_block(reading, account, &account->said, name);
}

/* ---- Networks ---- */

static void wrong_prefix(struct reading *reading, const struct words *words, unsigned i, bool is_to)
{
	char bytes[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	advice_prefix(&text, words->word[i], is_to);
	report_wrong_word(&reading->report, words->word[0], words->word[i], ": %s", bytes);
}

static void advise_prefix(struct reading *reading, const struct words *words, unsigned i,
	const struct prefix *prefix, bool is_to)
{
	char bytes[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, ": ");
	if (advice_one_address(&text, words->word[i], prefix, is_to))
		report_warn_word(&reading->report, words->word[0], words->word[i], "%s", bytes);
}

static void set_networks(
	struct reading *reading, struct networks *networks, const struct words *words, bool is_to)
{
	struct conf *conf = reading->owner;
	bool advises = reading->report.advises;
	struct prefix *prefix = reading_keep(reading, (words->count - 1) * sizeof(*prefix));
	struct prefix_word *word =
		advises ? reading_keep(reading, (words->count - 1) * sizeof(*word)) : NULL;

	if (prefix == NULL || (advises && word == NULL))
		return;
	*networks = (struct networks){ .prefix = prefix, .word = word };
	for (unsigned i = 1; i < words->count; i++) {
		if (conf->prefixes_count == CONF_PREFIXES_MAX) {
			report_wrong_word(&reading->report, words->word[0], words->word[i],
				" is one too many: %d networks in all is the most",
				CONF_PREFIXES_MAX);
			return;
		}
		if (!prefix_parse(words->word[i], prefix) ||
			(is_to && prefix->kind != PREFIX_ADDRESS)) {
			wrong_prefix(reading, words, i, is_to);
			continue;
		}
		if (advises) {
			advise_prefix(reading, words, i, prefix, is_to);
			*word++ = (struct prefix_word){ .text = words->word[i],
				.place = reading->report.here };
		}
		prefix++;
		networks->count++;
		conf->prefixes_count++;
	}
}

static void set_from(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	(void)keyword;
	set_networks(reading, to, words, false);
}

static void set_to(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	(void)keyword;
	set_networks(reading, to, words, true);
}

/* ---- The action and what it may ---- */

static void set_confine(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	if (policy_find(words->word[1]) == NULL)
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is no policy: write mail, local or none");
	*(const char **)to = words->word[1];
}

/* A value that only a shell would make something of. */
static void advise_value(struct reading *reading, char *text)
{
	const char *value = text + variable_name_length(text) + 1;

	if (*value == '~')
		report_warn_word(&reading->report, "env", text,
			": nothing is expanded: write the absolute path");
	else if (strchr(value, '$') != NULL || strchr(value, '`') != NULL)
		report_warn_word(&reading->report, "env", text,
			": nothing is expanded: write the value itself, or "
			"quote it if it is meant as it is");
}

static void variable_add(struct reading *reading, char *text)
{
	struct conf *conf = reading->owner;
	size_t length = variable_name_length(text);

	if (length == 0 || text[length] != '=')
		report_wrong_word(
			&reading->report, "env", text, " is not NAME=value, such as TZ=UTC");
	else if (strncmp(text, "NMNOTIFY_", 9) == 0)
		report_wrong_word(&reading->report, "env", text,
			": NMNOTIFY_ is ours to set: write another name");
	else if (conf->variables_count == CONF_ENV_MAX)
		report_wrong_word(&reading->report, "env", text,
			" is one too many: %d variables in all is the most", CONF_ENV_MAX);
	else
		conf->variables[conf->variables_count++] =
			(struct variable){ .block = reading->block, .text = text };
}

static void set_env(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	(void)keyword;
	(void)to;
	for (unsigned i = 1; i < words->count; i++) {
		unsigned before = reading->report.wrong;

		variable_add(reading, words->word[i]);
		if (reading->report.advises && reading->report.wrong == before && !words->quoted[i])
			advise_value(reading, words->word[i]);
	}
}

static void pass_add(struct reading *reading, char *name)
{
	struct conf *conf = reading->owner;
	size_t length = variable_name_length(name);
	const char *refusal;

	if (length != 0 && name[length] == '=')
		report_wrong_word(&reading->report, "pass", name,
			" has a value: write 'env NAME=value', or the name alone for the "
			"starter's");
	else if (length == 0 || name[length] != '\0')
		report_wrong_word(&reading->report, "pass", name,
			" is not the name of a variable, such as GNUPGHOME");
	else if ((refusal = variable_refusal(name)) != NULL)
		report_wrong_word(&reading->report, "pass", name, ": %s", refusal);
	else if (conf->passes_count == CONF_PASS_MAX)
		report_wrong_word(&reading->report, "pass", name,
			" is one too many: %d names in all is the most", CONF_PASS_MAX);
	else
		conf->passes[conf->passes_count++] =
			(struct variable){ .block = reading->block, .text = name };
}

static void set_pass(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	(void)keyword;
	(void)to;
	for (unsigned i = 1; i < words->count; i++)
		pass_add(reading, words->word[i]);
}

/* Words that only a shell understands, where there is none. Behind sh -c they may be meant: but not
 * one that can only end the command itself. */
static void advise_action(struct reading *reading, const struct words *words)
{
	bool is_script = false;

	for (unsigned i = 2; i < words->count && !is_script; i++)
		is_script = advice_is_interpreter(words->word[1]) && words->word[i][0] == '-' &&
			    strchr(words->word[i], 'c') != NULL;
	for (unsigned i = 2; i < words->count; i++) {
		const char *oddity = words->quoted[i] ? NULL : word_oddity(words->word[i]);
		char bytes[REPORT_MESSAGE_MAX];
		struct text text = TEXT_IN(bytes);

		if (oddity != NULL)
			text_add(&text, " has %s", oddity);
		else if (words->quoted[i] || (is_script && !advice_is_operator(words->word[i])))
			continue;
		else {
			text_add(&text, ": ");
			if (!advice_shell(&text, words->word[i]))
				continue;
		}
		report_warn_word(&reading->report, words->word[0], words->word[i], "%s", bytes);
	}
}

/* A program that is named as a shell would find it. */
static void wrong_program(struct reading *reading, const struct words *words)
{
	const char *path = words->word[1];

	if (*path == '\0' || *path == '~' || *path == '$' || strchr(path, '/') != NULL)
		keyword_wrong_path(reading, words);
	else
		report_wrong_word(&reading->report, words->word[0], path,
			" is not an absolute path: write the one that 'command -v %s' shows", path);
}

static void set_action(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct conf *conf = reading->owner;
	struct command *action = to;
	char **word;

	if (words->word[1][0] != '/')
		wrong_program(reading, words);
	if (conf->words_count + words->count > CONF_WORDS_MAX) {
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" has too many words: %d in all actions is the most", CONF_WORDS_MAX);
		return;
	}
	if (reading->report.advises)
		advise_action(reading, words);
	word = reading_keep(reading, words->count * sizeof(*word));
	if (word == NULL)
		return;
	*action = (struct command){ .words = word, .place = reading->report.here };
	conf->words_count += words->count;
	for (unsigned i = 1; i < words->count; i++)
		*word++ = words->word[i];
	*word = NULL;
}

/* ---- How a run ends ---- */

static void set_success(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct statuses *statuses = to;

	*statuses = (struct statuses){ { 0 } };
	for (unsigned i = 1; i < words->count; i++) {
		uint64_t status;

		if (!number_parse(words->word[i], 255, &status)) {
			report_wrong_word(&reading->report, keyword->name, words->word[i],
				" is no exit status: write a number from 0 to 255");
			continue;
		}
		statuses->bits[status / 32] |= UINT32_C(1) << status % 32;
	}
}

/* A number, and behind it what an action could be. */
static void set_failure(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct failure *failure = to;
	static struct words command; /* large */
	uint64_t count;

	if (!number_parse(words->word[1], FAILURES_MAX, &count) || count == 0) {
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is no number of runs from 1 to %d: write it before the program",
			FAILURES_MAX);
		return;
	}
	*failure = (struct failure){ .count = (uint32_t)count };
	if (words->count == 2)
		return;
	command.count = words->count - 1;
	command.word[0] = words->word[0];
	for (unsigned i = 1; i < command.count; i++) {
		command.word[i] = words->word[i + 1];
		command.quoted[i] = words->quoted[i + 1];
	}
	set_action(reading, keyword, &failure->command, &command);
}

/* ---- What of files and ports the action can reach ---- */

/* Counts the words of a line with those of actions, and keeps room for as many values. NULL if it
 * would be too many: reported. */
static void *words_keep(struct reading *reading, const struct keyword *keyword,
	const struct words *words, size_t size)
{
	struct conf *conf = reading->owner;

	if (conf->words_count + words->count > CONF_WORDS_MAX) {
		report_wrong_word(&reading->report, keyword->name, words->word[1],
			" is one word too many: %d of actions, paths and ports is the most",
			CONF_WORDS_MAX);
		return NULL;
	}
	conf->words_count += words->count;
	return reading_keep(reading, words->count * size);
}

/* `default` and `any`, which all these keywords know. False if it is neither. */
static bool is_special(struct reading *reading, const struct words *words, unsigned i, bool *is_any,
	bool *has_default)
{
	const char *word = words->word[i];

	if (strcmp(word, "default") == 0) {
		*has_default = true;
		return true;
	}
	if (strcmp(word, "any") != 0)
		return false;
	*is_any = true;
	if (words->count > 2)
		report_wrong_word(&reading->report, words->word[0], word,
			" is everything: leave out the rest");
	return true;
}

static bool is_home(const char *word)
{
	return word[0] == '~' && (word[1] == '\0' || word[1] == '/');
}

static void set_paths(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct path_list *list = to;
	char **path = words_keep(reading, keyword, words, sizeof(*path));

	*list = (struct path_list){ .word = path, .is_said = true };
	for (unsigned i = 1; i < words->count && path != NULL; i++) {
		char *word = words->word[i];

		if (is_special(reading, words, i, &list->is_any, &list->has_default))
			continue;
		if (*word != '/' && !is_home(word))
			report_wrong_word(&reading->report, keyword->name, word,
				" is not an absolute path, nor one below ~, the action's home");
		else
			path[list->count++] = word;
	}
}

static void set_connect(
	struct reading *reading, const struct keyword *keyword, void *to, const struct words *words)
{
	struct port_list *list = to;
	uint16_t *port = words_keep(reading, keyword, words, sizeof(*port));

	*list = (struct port_list){ .port = port, .is_said = true };
	for (unsigned i = 1; i < words->count && port != NULL; i++) {
		if (is_special(reading, words, i, &list->is_any, &list->has_default))
			continue;
		if (port_parse(words->word[i], &port[list->count]))
			list->count++;
		else
			report_wrong_word(&reading->report, keyword->name, words->word[i],
				" is not a TCP port: write its number, or imaps, pop3s or the like "
				"(nmnotify.conf(5))");
	}
}

/* ---- The table ---- */

#define GLOBAL(member)  .global = true, KEYWORD_MEMBER(struct conf, member)
#define ACCOUNT(member) KEYWORD_MEMBER(struct account, member)
#define LIST            .list = true, .most = WORDS_MAX

const struct keyword keywords[KEYWORDS] = {
	[KEYWORD_STATE] = { "state", "/run/nmnotify", .type = keyword_path, .most = 1,
		GLOBAL(state) },
	[KEYWORD_LOG] = { "log", "journal", .type = keyword_choice, .most = 1, GLOBAL(log),
		.choices =
			"auto\0journal\0syslog\0stderr\0kmsg\0" }, /* in the order of log_target */
	[KEYWORD_IDLE] = { "idle", "60s", .type = keyword_span, .most = 1, GLOBAL(idle),
		.initial.span.ms = 60000 },
	[KEYWORD_ACCOUNT] = { "account", "home", .type = set_account, .most = 1, .repeats = true },
	[KEYWORD_FROM] = { "from", "192.0.2.25", .type = set_from, LIST, ACCOUNT(from) },
	[KEYWORD_TO] = { "to", "192.0.2.79", .type = set_to, LIST, ACCOUNT(to) },
	[KEYWORD_LIMIT] = { "limit", "12/m burst 6", .type = keyword_rate, .most = 3,
		ACCOUNT(limit), .initial.rate = { .emission = { .ms = 5000 }, .burst = 6 } },
	[KEYWORD_INTERVAL] = { "interval", "10s", .type = keyword_span, .most = 1,
		ACCOUNT(interval), .initial.span.ms = 10000 },
	[KEYWORD_TIMEOUT] = { "timeout", "5m", .type = keyword_span, .most = 1, ACCOUNT(timeout),
		.least = 1, .initial.span.ms = 5 * 60000 },
	[KEYWORD_RETRY] = { "retry", "1m", .type = keyword_span, .most = 1, ACCOUNT(retry) },
	[KEYWORD_SUCCESS] = { "success", "0 1", .type = set_success, LIST, ACCOUNT(success),
		.initial.number = 1 },
	[KEYWORD_FAILURE] = { "failure", "3", .type = set_failure, .most = WORDS_MAX,
		ACCOUNT(failure), .initial.number = 3 },
	[KEYWORD_READ_TIMEOUT] = { "read-timeout", "5s", .type = keyword_span, .most = 1,
		ACCOUNT(read_timeout), .least = 1, .initial.span.ms = 5000 },
	[KEYWORD_BARE_LF] = { "bare-lf", "yes", .type = keyword_yes_no, .most = 1,
		ACCOUNT(bare_lf) },
	[KEYWORD_USER] = { "user", "alice", .type = keyword_text, .most = 1, ACCOUNT(user) },
	[KEYWORD_ENV] = { "env", "TZ=UTC", .type = set_env, LIST, .repeats = true },
	[KEYWORD_PASS] = { "pass", "GNUPGHOME", .type = set_pass, LIST, .repeats = true },
	[KEYWORD_CONFINE] = { "confine", "mail", .type = set_confine, .most = 1, ACCOUNT(confine),
		.initial.text = "mail" },
	[KEYWORD_ISOLATE] = { "isolate", "yes", .type = keyword_yes_no, .most = 1,
		ACCOUNT(isolate) },
	[KEYWORD_LANDLOCK] = { "landlock", "required", .type = keyword_choice, .most = 1,
		ACCOUNT(landlock),
		.choices = "yes\0no\0required\0" }, /* in the order of landlock_use */
	[KEYWORD_READ] = { "read", "default /srv/mail", .type = set_paths, LIST, ACCOUNT(read) },
	[KEYWORD_WRITE] = { "write", "~/Maildir", .type = set_paths, LIST, ACCOUNT(write) },
	[KEYWORD_EXECUTE] = { "execute", "/usr ~/bin", .type = set_paths, LIST, ACCOUNT(execute) },
	[KEYWORD_CONNECT] = { "connect", "imaps 587", .type = set_connect, LIST, ACCOUNT(connect) },
	[KEYWORD_ACTION] = { "action", "/usr/bin/mbsync -q -a", .type = set_action,
		.most = WORDS_MAX, ACCOUNT(action) },
};
