/* SPDX-License-Identifier: ISC */
/*
 * nmnotify-send: tells the relay that a user has new mail. nmnotify-send(1).
 *
 * As who started it, often a mail system's root: so what it reads is its arguments, and all that it
 * does is one datagram for each user. It inherits whatever a mail system has, closed descriptors
 * and ignored signals, and lives too short for it to matter.
 */
#include <unistd.h>

#include "lib/text.h"
#include "sender/failure.h"
#include "sender/notice.h"

#define WHY_MAX 512

struct send {
	char **users; /* in the place of the arguments that they stood behind */
	int users_count;
	bool is_early;
	const char *socket;
	struct failures failures;
};

static const char usage[] = "usage: nmnotify-send [-e] [-n] [-s socket] -u user...\n"
			    "Tells nmnotify-relay that users have new mail.\n"
			    "  -u user     whose it is; may be given again\n"
			    "  -n          it is not in the mailbox yet\n"
			    "  -s socket   the relay's, instead of " NOTICE_SOCKET "\n"
			    "  -e          if that fails, say why, and exit with 75 instead of 0\n"
			    "  -V          print the version and exit\n"
			    "  -h          print this and exit\n";

/* With + at the beginning and a colon, getopt(3) neither sorts nor speaks. */
static const char *wrong_option(bool lacks_value)
{
	static char bytes[64];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s '-%c'", lacks_value ? "a value is missing behind" : "cannot use",
		optopt);
	return bytes;
}

/* All of them, so that -e counts wherever it stands. NULL, or what is wrong. */
static const char *read_options(struct send *s, int argc, char **argv)
{
	const char *wrong = NULL;
	int option;

	s->users = argv;
	while ((option = getopt(argc, argv, "+:ehns:u:V")) != -1) {
		switch (option) {
		case 'e': s->failures.is_asked = true; break;
		case 'h': answer(usage);
		case 'n': s->is_early = true; break;
		case 's': s->socket = optarg; break;
		case 'u': s->users[s->users_count++] = optarg; break;
		case 'V': answer("nmnotify-send " VERSION "\n");
		default: wrong = wrong_option(option == ':');
		}
	}
	if (wrong == NULL && (s->users_count == 0 || optind < argc))
		wrong = s->users_count == 0 ? "no user is named" : "users are named by -u alone";
	return wrong;
}

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

int main(int argc, char **argv)
{
	struct send s = {
		.socket = NOTICE_SOCKET,
		.failures = { .usage = usage, .log.program = "nmnotify-send" },
	};
	const char *wrong = read_options(&s, argc, argv);

	if (wrong != NULL)
		failure_say_usage(&s.failures, wrong);
	for (int i = 0; wrong == NULL && i < s.users_count; i++)
		hand_over(&s, s.users[i]);
	return s.failures.status;
}
