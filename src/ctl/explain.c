/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/account_status.h"
#include "ctl/ctl.h"
#include "ctl/explain_user.h"
#include "ctl/snapshot.h"
#include "lib/fd.h"
#include "state/limiter.h"

/* A connection, as far as it is known. */
struct visit {
	struct source from, to;
	bool has_to;
};

/* The word that holds the source: FILE:LINE: `KEYWORD WORD` */
static void print_word(
	const char *keyword, const struct networks *networks, const struct source *source)
{
	for (unsigned i = 0; i < networks->count; i++) {
		const struct prefix_word *word = &networks->word[i];

		if (!prefix_holds(&networks->prefix[i], source))
			continue;
		print_escaped(stdout, word->place.file);
		(void)printf(":%u: `%s ", word->place.line, keyword);
		print_escaped(stdout, word->text);
		(void)putchar('`');
		return;
	}
}

/* ---- Which account ---- */

/* False: it takes the connection only at some local addresses, and none was said. */
static bool takes(const struct account *account, const struct visit *visit)
{
	return account->to.count == 0 || visit->has_to;
}

static void print_taker(const struct account *account, const struct visit *visit)
{
	(void)printf("Account %s takes it: ", account->name);
	print_word("from", &account->from, &visit->from);
	if (account->to.count != 0 && visit->has_to) {
		(void)fputs(", ", stdout);
		print_word("to", &account->to, &visit->to);
	}
	(void)putchar('\n');
}

/* What keeps the account from taking it. */
static void print_other(const struct account *account, const struct visit *visit)
{
	bool is_from = networks_hold(&account->from, &visit->from);
	const struct networks *networks = is_from ? &account->to : &account->from;

	(void)printf("Account %s does not: `%s` has only", account->name, is_from ? "to" : "from");
	for (unsigned i = 0; i < networks->count; i++) {
		(void)putchar(' ');
		print_escaped(stdout, networks->word[i].text);
	}
	(void)putchar('\n');
}

/* The account that takes it, after what is to be said of those before it. NULL: none does. */
static const struct account *find_account(const struct ctl *ctl, const struct visit *visit)
{
	for (unsigned i = 0; i < ctl->conf.accounts_count; i++) {
		const struct account *account = &ctl->conf.accounts[i];

		if (!networks_hold(&account->from, &visit->from) ||
			(account->to.count != 0 && visit->has_to &&
				!networks_hold(&account->to, &visit->to))) {
			print_other(account, visit);
			continue;
		}
		if (takes(account, visit)) {
			print_taker(account, visit);
			return account;
		}
		print_other(account, visit);
		(void)printf("  ... but it would, at one of these: nmnotifyctl explain ADDRESS to "
			     "ADDRESS\n");
	}
	return NULL;
}

/* ---- When it would start ---- */

static void print_span(struct span span)
{
	(void)printf("%u.%03u s", span.ms / 1000, span.ms % 1000);
}

static void print_limit(struct span rest, struct rate rate)
{
	(void)printf("Limit: a start each ");
	print_span(rate.emission);
	(void)printf(", %u at once; ", rate.burst);
	if (rest.ms == 0) {
		(void)puts("this source is within it");
		return;
	}
	(void)printf("this source has to wait for ");
	print_span(rest);
	(void)putchar('\n');
}

/* What would become of a line that comes now. */
static void print_verdict(const struct account_status *status, struct span limit)
{
	bool is_limit = limit.ms > status->interval.ms;
	struct span rest = is_limit ? limit : status->interval;

	(void)fputs("A line now: ", stdout);
	if (status->is_waiting && (status->next == NEXT_RUN || status->next_in.ms <= limit.ms)) {
		(void)fputs("coalesced, with the start that somebody waits for already", stdout);
		rest = status->next_in;
	} else if (status->is_running || rest.ms != 0) {
		(void)fputs("deferred", stdout);
	} else {
		(void)puts("accepted, and the action starts at once");
		return;
	}
	if (status->is_running)
		(void)fputs(", until the run in progress has ended", stdout);
	if (rest.ms != 0) {
		(void)fputs(status->is_running ? ", and for " : ", for ", stdout);
		print_span(rest);
		(void)printf(" at least, by `%s`", is_limit ? "limit" : "interval");
	}
	(void)putchar('\n');
}

static void print_forecast(
	struct snapshot *snapshot, const struct account *account, const struct source *source)
{
	struct cells cells = limiter_locate(&snapshot->state, source);
	struct moment at = limiter_peek(&cells, account->limit);
	struct span limit = moment_until(moment_now(), at);
	struct account_status status = account_status(snapshot, account);

	print_limit(limit, account->limit);
	print_verdict(&status, limit);
}

static int forecast(const struct ctl *ctl, const struct account *account, const struct visit *visit)
{
	static struct snapshot snapshot; /* large */
	struct state_error error = { .what = "cannot open directory", .name = ctl->base_path };
	int base = open(ctl->base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum snapshot_found found = errno == ENOENT ? SNAPSHOT_NONE : SNAPSHOT_FAILED;

	error.code = errno;
	if (base >= 0) {
		found = snapshot_read(&snapshot, base, account->name, &error);
		fd_close_if_open(base);
	}
	if (found == SNAPSHOT_FAILED)
		return ctl_fail_state(ctl, &error);
	if (found == SNAPSHOT_NONE)
		snapshot = (struct snapshot){ .now = moment_now() }; /* a fresh one is all zeros */
	print_forecast(&snapshot, account, &visit->from);
	return EX_OK;
}

static void print_account(const struct account *account)
{
	(void)fputs("It runs as ", stdout);
	if (account->user.text != NULL)
		print_escaped(stdout, account->user.text);
	else
		(void)fputs("the running user", stdout);
	(void)printf(" under `confine %s`:", account->confine);
	for (char **word = account->action.words; *word != NULL; word++) {
		(void)putchar(' ');
		print_escaped(stdout, *word);
	}
	(void)putchar('\n');
}

/* ---- The subcommand ---- */

static bool parse(const struct ctl *ctl, const char *text, struct source *source)
{
	if (strcmp(text, "local") == 0) {
		*source = (struct source){ .kind = SOURCE_LOCAL };
		return true;
	}
	if (source_parse(text, source))
		return true;
	(void)ctl_fail_usage(ctl,
		"'%s' is no address: write 192.0.2.1, 2001:db8::1, fe80::1%%eth0 or local", text);
	return false;
}

int ctl_explain(struct ctl *ctl, int argc, char **argv)
{
	struct visit visit = { .has_to = argc == 3 };
	const struct account *account;

	if (argc == 2 && strcmp(argv[0], "user") == 0)
		return explain_user(ctl, argv[1]);
	if (argc != 1 && (argc != 3 || strcmp(argv[1], "to") != 0))
		return ctl_fail_usage(ctl, "needs an address, or a user");
	if (!parse(ctl, argv[0], &visit.from) || (visit.has_to && !parse(ctl, argv[2], &visit.to)))
		return EX_USAGE;
	if (!ctl_read_conf(ctl))
		return EX_CONFIG;
	account = find_account(ctl, &visit);
	if (account == NULL) {
		(void)puts("A line is denied, unread: no account takes it, for the reasons above");
		return EX_OK;
	}
	print_account(account);
	return forecast(ctl, account, &visit);
}
