/* SPDX-License-Identifier: ISC */
/*
 * nmnotify-send: tells the relay that a user has new mail, or sends the line itself.
 * nmnotify-send(1).
 *
 * As who started it, often a mail system's root. With -u, what it reads is its arguments, and all
 * that it does is one datagram for each user: it inherits whatever a mail system has, closed
 * descriptors and ignored signals, and lives too short for it to matter. Without, it looks up names
 * by a child, and is under send.policy before it makes the first connection.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/text.h"
#include "sender/direct.h"
#include "sender/failure.h"
#include "sender/host.h"
#include "sender/names.h"
#include "sender/notice.h"

#define WHY_MAX 1024

/* What one call may name. */
#define HOSTS_MAX    16

#define FINGER_PORT  79
#define WAIT_DEFAULT 10
#define WAIT_MOST    3600

/* One host of the command line. */
struct attempt {
	struct host host;
	bool is_wrong;    /* nothing is sent to it, and that has been said */
	struct span left; /* of its time */
};

struct send {
	char **users; /* in the place of the arguments that they stood behind */
	int users_count;
	bool is_early;
	const char *socket;
	struct span wait;
	uint16_t port;
	enum source_kind only;
	struct source from;
	struct direct_how how;
	struct failures failures;
};

static const char usage[] =
	"usage: nmnotify-send [-en] [-s socket] -u user...\n"
	"       nmnotify-send [-46eU] [-b address] [-p port] [-w seconds] host[:port]...\n"
	"Tells nmnotify-relay that users have new mail, or hosts directly.\n"
	"  -u user     whose it is; may be given again\n"
	"  -n          it is not in the mailbox yet\n"
	"  -s socket   the relay's, instead of " NOTICE_SOCKET "\n"
	"  -4, -6      use IPv4, IPv6 alone\n"
	"  -U          by UDP, instead of TCP\n"
	"  -b address  send from this address of this machine\n"
	"  -p port     instead of 79, where a host has none of its own\n"
	"  -w seconds  for one host, instead of 10\n"
	"  -e          if that fails, say why, and exit with 75 instead of 0\n"
	"  -V          print the version and exit\n"
	"  -h          print this and exit\n";

/* ---- Options ---- */

static bool take_wait(struct send *s, const char *text)
{
	uint64_t seconds;

	if (!number_parse(text, WAIT_MOST, &seconds) || seconds == 0)
		return false;
	s->wait.ms = (uint32_t)seconds * 1000;
	return true;
}

static bool take_from(struct send *s, const char *text)
{
	s->how.from = &s->from;
	return source_parse(text, &s->from);
}

/* NULL, or what is wrong with it. */
static const char *take_option(struct send *s, int option)
{
	bool is_fine = true;

	switch (option) {
	case '4': s->only = SOURCE_IPV4; break;
	case '6': s->only = SOURCE_IPV6; break;
	case 'b': is_fine = take_from(s, optarg); break;
	case 'e': s->failures.is_asked = true; break;
	case 'h': answer(usage);
	case 'n': s->is_early = true; break;
	case 'p': is_fine = port_parse(optarg, &s->port); break;
	case 's': s->socket = optarg; break;
	case 'U': s->how.is_udp = true; break;
	case 'u': s->users[s->users_count++] = optarg; break;
	case 'V': answer("nmnotify-send " VERSION "\n");
	case 'w': is_fine = take_wait(s, optarg); break;
	default: is_fine = false;
	}
	return is_fine ? NULL : option_wrong(option);
}

/* All of them, so that -e counts wherever it stands. NULL, or what is wrong with the first. With +
 * and :, getopt(3) neither sorts nor speaks. */
static const char *read_options(struct send *s, int argc, char **argv)
{
	const char *wrong = NULL;
	int option;

	s->users = argv;
	while ((option = getopt(argc, argv, "+:46b:ehnp:s:Uu:Vw:")) != -1) {
		const char *its = take_option(s, option);

		wrong = wrong != NULL ? wrong : its;
	}
	if (wrong == NULL && (s->users_count == 0) == (optind >= argc))
		wrong = s->users_count == 0 ? "neither a user nor a host is named"
					    : "a user and a host are named";
	return wrong;
}

/* ---- To the relay ---- */

static void hand_over(struct send *s, const char *user)
{
	struct notice notice;
	const char *wrong = notice_of_mail(&notice, user, s->is_early);
	char bytes[WHY_MAX];
	struct text why = TEXT_IN(bytes);

	if (wrong == NULL && !notice_send(&notice, s->socket, &why))
		wrong = bytes;
	if (wrong != NULL)
		failure_say(&s->failures, "notice", "user", user, wrong);
}

/* ---- To hosts ---- */

static void say_unsent(struct send *s, struct attempt *attempt, const char *why)
{
	attempt->is_wrong = true;
	failure_say(&s->failures, "sending", "host", attempt->host.text, why);
}

/* Looks up a name, which takes from its host's time. */
static void find(struct send *s, struct attempt *attempt, const char *text)
{
	struct deadline deadline;
	const char *wrong = host_parse(&attempt->host, text, s->port, s->only);

	attempt->is_wrong = false;
	attempt->left = s->wait;
	if (wrong == NULL && attempt->host.is_name) {
		deadline = deadline_in(s->wait);
		wrong = names_find(&attempt->host, deadline);
		attempt->left = deadline_rest(deadline);
	}
	if (wrong != NULL)
		say_unsent(s, attempt, wrong);
}

static void send_line(struct send *s, struct attempt *attempt)
{
	char bytes[WHY_MAX];
	struct text why = TEXT_IN(bytes);

	if (!attempt->is_wrong &&
		!direct_send(&attempt->host, &s->how, deadline_in(attempt->left), &why))
		say_unsent(s, attempt, bytes);
}

static void send_lines(struct send *s, char **hosts)
{
	struct attempt attempt[HOSTS_MAX];
	int count = 0;

	for (; *hosts != NULL && count < HOSTS_MAX; count++)
		find(s, &attempt[count], *hosts++);
	if (*hosts != NULL)
		failure_say(&s->failures, "sending", "host", *hosts, "it is one too many");
	if (!direct_confine(&s->failures)) {
		failure_say(&s->failures, "sending", NULL, NULL, "this process cannot be confined");
		return;
	}
	for (int i = 0; i < count; i++)
		send_line(s, &attempt[i]);
}

int main(int argc, char **argv)
{
	struct send s = {
		.socket = NOTICE_SOCKET,
		.port = FINGER_PORT,
		.wait.ms = WAIT_DEFAULT * 1000,
		.failures = { .usage = usage, .log.program = "nmnotify-send" },
	};
	const char *wrong = read_options(&s, argc, argv);

	if (wrong != NULL)
		failure_say_usage(&s.failures, wrong);
	else if (s.users_count == 0 && !direct_guard())
		failure_say(&s.failures, "sending", NULL, NULL, strerror(errno));
	else if (s.users_count == 0)
		send_lines(&s, argv + optind);
	for (int i = 0; wrong == NULL && i < s.users_count; i++)
		hand_over(&s, s.users[i]);
	return s.failures.status;
}
