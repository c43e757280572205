/* SPDX-License-Identifier: ISC */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/text.h"

void print_escaped(FILE *stream, const char *string)
{
	char shown[5];
	char byte[2] = { 0 };

	for (; *string != '\0'; string++) {
		struct text text = TEXT_IN(shown);

		byte[0] = *string;
		text_add_escaped(&text, byte);
		(void)fputs(shown, stream); /* main() looks at its end */
	}
}

__attribute__((format(printf, 2, 0))) static void say(
	const struct ctl *ctl, const char *format, va_list arguments)
{
	char *message = NULL;

	if (vasprintf(&message, format, arguments) < 0)
		return;
	(void)fprintf(stderr, "nmnotifyctl%s%s: ", ctl->command != NULL ? " " : "",
		ctl->command != NULL ? ctl->command : "");
	print_escaped(stderr, message);
	(void)fputc('\n', stderr);
	free(message);
}

int ctl_fail(const struct ctl *ctl, int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(ctl, format, arguments);
	va_end(arguments);
	return status;
}

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	struct ctl *ctl = context;

	if (severity == SEVERITY_WARNING)
		return;
	ctl->mistakes++;
	if (line != 0)
		(void)ctl_fail(ctl, 0, "%s:%u: %s", file, line, message);
	else
		(void)ctl_fail(ctl, 0, "%s: %s", file, message);
}

bool ctl_read_conf(struct ctl *ctl)
{
	conf_begin(&ctl->conf, report, ctl);
	/* What `from` and `to` say is kept as it was written only for who advises. */
	ctl->conf.reading.report.advises = true;
	conf_file(&ctl->conf, ctl->conf_file, false);
	if (!conf_end(&ctl->conf))
		return false;
	ctl->base_path =
		state_base_path(ctl->conf.state.text, ctl->base_buffer, sizeof(ctl->base_buffer));
	if (ctl->base_path == NULL)
		(void)ctl_fail(ctl, 0, "%s: `state` is too long a path: write a shorter one",
			ctl->conf_file);
	return ctl->base_path != NULL;
}

const struct account *ctl_account(const struct ctl *ctl, const char *name)
{
	const struct account *account = conf_account_named(&ctl->conf, name);
	char names[CONF_ACCOUNTS_MAX * (CONF_NAME_MAX + 2)];
	struct text text = TEXT_IN(names);

	if (account != NULL)
		return account;
	for (unsigned i = 0; i < ctl->conf.accounts_count; i++)
		text_add(&text, "%s%s", i == 0 ? "" : ", ", ctl->conf.accounts[i].name);
	(void)ctl_fail(ctl, 0, "%s has no account %s; it has %s", ctl->conf_file, name, names);
	return NULL;
}

int ctl_take_account(struct ctl *ctl, int argc, char **argv, const struct account **account)
{
	if (argc != 1)
		return ctl_fail_usage(ctl, "needs an account: `nmnotifyctl status` lists them");
	if (!ctl_read_conf(ctl))
		return EX_CONFIG;
	*account = ctl_account(ctl, argv[0]);
	return *account != NULL ? EX_OK : EX_USAGE;
}

int ctl_take_user(const struct ctl *ctl, const struct account *account, struct user *user)
{
	const char *wrong;

	if (geteuid() == 0 && account->user.text == NULL)
		return ctl_fail(ctl, EX_NOPERM,
			"account %s has no `user`: run this as the one that its unit has (User=)",
			account->name);
	wrong = ctl_find_user(account, user);
	if (wrong != NULL)
		return ctl_fail(ctl, EX_NOPERM, "user %s %s; run as root, or as that user",
			account->user.text, wrong);
	return EX_OK;
}

int ctl_fail_state(const struct ctl *ctl, const struct state_error *error)
{
	bool is_denied = error->code == EACCES || error->code == EPERM;

	return ctl_fail(ctl, EX_NOPERM, "state %s: %s %s%s%s; %s", ctl->base_path, error->what,
		error->name, error->code != 0 ? ": " : "",
		error->code != 0 ? strerror(error->code) : "",
		is_denied ? "run as root, or as the account's user"
			  : "see what `nmnotifyctl check` says");
}

const char *ctl_find_user(const struct account *account, struct user *user)
{
	const char *wrong = NULL;

	if (geteuid() == 0)
		return user_by_name(account->user.text, user);
	user_running(user);
	if (account->user.text != NULL && strcmp(account->user.text, user->name) != 0)
		wrong = "is not the running user";
	return wrong;
}
