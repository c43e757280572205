/* SPDX-License-Identifier: ISC */
/* What the relay says of itself, and whether the mail system tells it of mail. */
#include <stdlib.h>
#include <string.h>

#include "ctl/check.h"
#include "ctl/command.h"
#include "ctl/relay.h"
#include "ctl/status.h"
#include "lib/text.h"

#define BIFF_SOCKET "nmnotify-relay-biff.socket"

/* ---- Its status ---- */

static void check_stores(struct check *check, const json_t *stores)
{
	for (size_t i = 0; i < json_array_size(stores); i++) {
		const json_t *store = json_array_get(stores, i);

		if (status_is_true(store, "away"))
			check_add(check, FINDING_CRITICAL,
				"start it, or mend `store` in the relay's configuration",
				"relay: the store %s does not answer: %s",
				status_text(store, "name"), status_text(store, "reason"));
		else
			check_add(check, FINDING_OK, NULL, "relay: the store %s answers",
				status_text(store, "name"));
	}
}

static void check_sockets(struct check *check, const json_t *sockets)
{
	for (size_t i = 0; i < json_array_size(sockets); i++) {
		const json_t *one = json_array_get(sockets, i);

		if (status_is_true(one, "deaf"))
			check_add(check, FINDING_CRITICAL,
				"run `systemctl restart nmnotify-relay.socket`",
				"relay: it cannot read %s", status_text(one, "place"));
	}
}

static void check_document(struct check *check, const json_t *relay)
{
	const json_t *configuration = json_object_get(relay, "configuration");

	if (json_is_number(json_object_get(configuration, "refused")))
		check_add(check, FINDING_WARNING,
			"mend it, and run `systemctl reload nmnotify-relay.service`",
			"relay: it goes on with an earlier configuration: %s",
			status_text(configuration, "reason"));
	else
		check_add(check, FINDING_OK, NULL, "relay: it answers");
	check_sockets(check, json_object_get(relay, "sockets"));
	check_stores(check, json_object_get(relay, "stores"));
	check->has_events = status_number(json_object_get(relay, "counts"), "events") > 0;
}

void check_relay(struct check *check)
{
	struct relay_answer answer;

	if (!check->has_relay && strcmp(check->ctl->relay, RELAY_STATUS_PATH) == 0)
		return;
	answer = relay_ask(check->ctl->relay, "status");
	if (answer.document != NULL)
		check_document(check, answer.document);
	else
		check_add(check, answer.said == RELAY_DENIED ? FINDING_UNKNOWN : FINDING_CRITICAL,
			relay_remedy(answer.said), "relay: %s", answer.wrong);
	json_decref(answer.document);
}

/* ---- What tells it ---- */

enum tells {
	TELLS_ABSENT, /* the mail system is not installed */
	TELLS_NOBODY, /* as far as its configuration says; users' files do not count */
	TELLS_BIFF,
	TELLS_RELAY,
};

/* Does what a program says have these words in it? False as well if it is not there; if it is, then
 * `*is_there` is set. */
static bool says(const char *const *words, const char *wanted, bool *is_there)
{
	int status = 0;
	char *said = command_read(words, COMMAND_OUTPUT, &status);
	bool does = said != NULL && strstr(said, wanted) != NULL;

	*is_there = *is_there || said != NULL;
	free(said);
	return does;
}

static enum tells tells_of(bool is_there, bool tells_relay, bool tells_biff)
{
	if (!is_there)
		return TELLS_ABSENT;
	if (tells_relay)
		return TELLS_RELAY;
	return tells_biff ? TELLS_BIFF : TELLS_NOBODY;
}

/* What it delivers by procmail, that one tells biff of; what it hands to another program, nobody.
 */
static enum tells look_postfix(void)
{
	static const char *const all[] = { "postconf", NULL },
				 *const services[] = { "postconf", "-M", NULL },
				 *const biff[] = { "postconf", "-h", "biff", NULL },
				 *const command[] = { "postconf", "-h", "mailbox_command", NULL };
	bool is_there = false;
	bool runs =
		says(all, "nmnotify-send", &is_there) || says(services, "nmnotify-send", &is_there);
	bool tells_biff = says(command, "procmail", &is_there) ||
			  (says(biff, "yes", &is_there) && !says(command, "/", &is_there));

	return tells_of(is_there, runs, tells_biff);
}

static enum tells look_exim(void)
{
	static const char *const debian[] = { "exim4", "-bP", "config", NULL }, *const other[] = {
		"exim", "-bP", "config", NULL
	};
	bool is_there = false, is_other = false;
	bool runs = says(debian, "nmnotify-send", &is_there);
	bool tells_biff = says(debian, "notify_comsat", &is_there);

	if (is_there)
		return tells_of(is_there, runs, tells_biff);
	runs = says(other, "nmnotify-send", &is_other);
	tells_biff = says(other, "notify_comsat", &is_other);
	return tells_of(is_other, runs, tells_biff);
}

/* Its script in Lua or Sieve, by its name in nmnotify-mail(7). */
static enum tells look_dovecot(void)
{
	static const char *const words[] = { "doveconf", "-n", NULL };
	bool is_there = false;
	bool runs = says(words, "nmnotify.lua", &is_there) ||
		    says(words, "nmnotify.sieve", &is_there) ||
		    says(words, "nmnotify.svbin", &is_there);

	return tells_of(is_there, runs, false);
}

static void add_system(struct check *check, const char *name, enum tells tells)
{
	if (tells == TELLS_BIFF && !unit_is_used(&check->units, BIFF_SOCKET))
		check_add(check, FINDING_WARNING,
			"run `systemctl enable " BIFF_SOCKET "`, and `systemctl restart "
			"nmnotify-relay.socket`",
			"%s tells biff of mail, and " BIFF_SOCKET " is not enabled", name);
	else
		check_add(check, FINDING_OK, NULL, "%s tells of mail", name);
}

void check_mail(struct check *check)
{
	static const struct {
		const char *name;
		enum tells (*look)(void);
	} systems[] = { { "Postfix", look_postfix }, { "Exim", look_exim },
		{ "Dovecot", look_dovecot } };
	unsigned telling = 0;
	char names[64];
	struct text text = TEXT_IN(names);

	if (!check->has_relay)
		return;
	for (unsigned i = 0; i < sizeof(systems) / sizeof(systems[0]); i++) {
		enum tells tells = systems[i].look();

		if (tells == TELLS_NOBODY)
			text_add(&text, "%s%s", text.length == 0 ? "" : ", ", systems[i].name);
		if (tells == TELLS_BIFF || tells == TELLS_RELAY) {
			add_system(check, systems[i].name, tells);
			telling++;
		}
	}
	if (telling != 0)
		return;
	if (text.length == 0)
		check_add(check, FINDING_OK, NULL,
			"mail system: not looked at, none of Postfix, Exim and Dovecot is here");
	else if (check->has_events)
		check_add(check, FINDING_OK, NULL, "mail system: the relay is told of mail");
	else
		check_add(check, FINDING_WARNING, "do what nmnotify-mail(7) says of it",
			"mail system: the configuration of %s is not seen to tell of mail, and no "
			"event has come since the relay was started",
			names);
}
