/* SPDX-License-Identifier: ISC */
/*
 * nmnotify-login: tells the relay who checks mail from where, and executes the rest of its
 * arguments. nmnotify-login(8).
 *
 * As who started it: a POP3 or IMAP server, as a user of its own, as root, or as who logs in. That
 * one waits: so whatever happens, the command comes next, with all descriptors, the environment and
 * the ways with signals as they are.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/text.h"
#include "sender/failure.h"
#include "sender/login.h"
#include "sender/notice.h"

#define WHY_MAX 1024

/* Exit statuses of env(1). */
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND      127

struct options {
	struct login login;
	const char *socket;
};

static const char usage[] =
	"usage: nmnotify-login [-s socket] [-u user -a address] [command [argument...]]\n"
	"Tells nmnotify-relay who checks mail from where, and executes the command.\n"
	"  -u user     who it is, and\n"
	"  -a address  from where, instead of what PAM, Courier or Dovecot say\n"
	"  -s socket   the relay's, instead of " NOTICE_SOCKET "\n"
	"  -V          print the version and exit\n"
	"  -h          print this and exit\n";

/* NULL, or what is wrong with the last one that is wrong. With + and :, getopt(3) neither sorts nor
 * speaks. */
static const char *read_options(struct options *options, int argc, char **argv)
{
	const char *wrong = NULL;
	int option;

	while ((option = getopt(argc, argv, "+:a:hs:u:V")) != -1) {
		switch (option) {
		case 'a': options->login.address = optarg; break;
		case 'h': answer(usage);
		case 's': options->socket = optarg; break;
		case 'u': options->login.user = optarg; break;
		case 'V': answer("nmnotify-login " VERSION "\n");
		default: wrong = option_wrong(option); break;
		}
	}
	if (wrong == NULL && (options->login.user == NULL) != (options->login.address == NULL))
		wrong = "there must be both -u and -a, or none";
	return wrong;
}

static void hand_over(struct options *options, struct failures *failures)
{
	struct login *login = &options->login;
	const char *wrong = login->user != NULL ? NULL : login_of_environment(login);
	char bytes[WHY_MAX];
	struct text why = TEXT_IN(bytes);
	struct notice notice;

	if (wrong == NULL && login->user == NULL)
		return;
	if (wrong == NULL)
		wrong = notice_of_login(&notice, login->user, login->address);
	if (wrong == NULL && !notice_send(&notice, options->socket, &why))
		wrong = bytes;
	if (wrong != NULL)
		failure_say(failures, "login", "user", login->user, wrong);
}

static int execute(char **command, struct failures *failures)
{
	int error;

	(void)execvp(command[0], command);
	error = errno;
	failure_say(failures, "command", "name", command[0], strerror(error));
	return error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

int main(int argc, char **argv)
{
	struct options options = { .socket = NOTICE_SOCKET };
	struct failures failures = { .usage = usage, .log.program = "nmnotify-login" };
	const char *wrong = read_options(&options, argc, argv);

	if (wrong != NULL)
		failure_say_usage(&failures, wrong);
	else
		hand_over(&options, &failures);
	return optind < argc ? execute(argv + optind, &failures) : failures.status;
}
