/* SPDX-License-Identifier: ISC */
#include "conf/conf.h"

#include <string.h>
#include <unistd.h>

#include "conf/keywords.h"
#include "conf/shadow.h"
#include "lib/reading.h"

/* ---- Reading ---- */

static void begin_defaults(struct conf *conf)
{
	conf->reading.block = &conf->defaults;
	conf->reading.said = &conf->defaults.said;
	conf->reading.first_block = (struct said_text){ .text = NULL };
}

void conf_begin(struct conf *conf, report_writer *writer, void *context)
{
	conf->reading = (struct reading){
		.report = { .writer = writer, .context = context },
		.keywords = keywords,
		.keywords_count = KEYWORDS,
		.page = "nmnotify.conf(5)",
		.owner = conf,
		.globals = conf,
		.text_most = CONF_BYTES_MAX,
		.memory = conf->memory,
		.memory_size = sizeof(conf->memory),
	};
	begin_defaults(conf);
	keyword_defaults(&conf->reading, true, conf);
	keyword_defaults(&conf->reading, false, &conf->defaults);
}

void conf_option(struct conf *conf, const char *text, unsigned number)
{
	reading_option(&conf->reading, text, number);
}

void conf_file(struct conf *conf, const char *path, bool optional)
{
	conf->file = path;
	if (conf->state.text == NULL)
		conf->state.place.file = path;
	begin_defaults(conf);
	reading_file(&conf->reading, path, optional);
}

static void account_inherit(struct conf *conf, struct account *account)
{
	const struct account *defaults = &conf->defaults;

	keyword_inherit(&conf->reading, &account->said, account, defaults);
	/* What `local` is for is to tell others. */
	if (account->said.line[KEYWORD_ISOLATE] == 0 && defaults->said.line[KEYWORD_ISOLATE] == 0)
		account->isolate = strcmp(account->confine, "local") != 0;
}

static void wrong_lack(
	struct conf *conf, const struct account *account, const char *keyword, const char *why)
{
	char message[REPORT_MESSAGE_MAX];
	struct text text = TEXT_IN(message);

	text_add(&text, "account %s has no '%s'%s", account->name, keyword, why);
	keyword_add_example(&conf->reading, &text, keyword);
	report_text(&conf->reading.report, SEVERITY_ERROR, &text);
}

static void account_check(struct conf *conf, const struct account *account)
{
	struct report *report = &conf->reading.report;

	report->here = account->place;
	if (account->from.count == 0)
		wrong_lack(conf, account, "from", "");
	if (account->action.words == NULL)
		wrong_lack(conf, account, "action", "");
	if (account->user.text != NULL || geteuid() != 0)
		return;
	if (!report->advises)
		wrong_lack(conf, account, "user", ", which root must have");
	else
		report_at(report, SEVERITY_WARNING, &account->place,
			"account %s has no 'user', which root must have: a super-server that "
			"starts nmnotify as somebody else needs none",
			account->name);
}

bool conf_end(struct conf *conf)
{
	/* With anything wrong, what else is missing is likely to be so for that reason. */
	const struct report *report = &conf->reading.report;
	unsigned before = report->wrong;

	if (before == 0 && conf->accounts_count == 0) {
		conf->reading.report.here.line = 0;
		account_add(conf, "default");
	}
	for (unsigned i = 0; i < conf->accounts_count && before == 0; i++) {
		account_inherit(conf, &conf->accounts[i]);
		account_check(conf, &conf->accounts[i]);
	}
	if (report->wrong == 0 && report->advises)
		shadow_check(conf);
	return report->wrong == 0;
}

/* ---- Looking up ---- */

bool statuses_hold(const struct statuses *statuses, int status)
{
	return (statuses->bits[status / 32] >> status % 32 & 1) != 0;
}

bool networks_hold(const struct networks *networks, const struct source *source)
{
	for (unsigned i = 0; i < networks->count; i++)
		if (prefix_holds(&networks->prefix[i], source))
			return true;
	return false;
}

const struct account *conf_account(
	const struct conf *conf, const struct source *source, const struct source *to)
{
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const struct account *account = &conf->accounts[i];

		if (networks_hold(&account->from, source) &&
			(account->to.count == 0 || networks_hold(&account->to, to)))
			return account;
	}
	return NULL;
}

const struct account *conf_account_named(const struct conf *conf, const char *name)
{
	for (unsigned i = 0; i < conf->accounts_count; i++)
		if (strcmp(conf->accounts[i].name, name) == 0)
			return &conf->accounts[i];
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
