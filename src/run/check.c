/* SPDX-License-Identifier: ISC */
#include "run/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "policy/confine.h"
#include "run/executable.h"
#include "run/reach.h"
#include "lib/text.h"
#include "lib/users.h"

#define MESSAGE_MAX 1024

/* Shorter than any program needs that fetches mail, and what 5ms instead of 5m is. */
#define TIMEOUT_SHORT_MS 1000

struct check {
	struct conf *conf;
	const struct account *account;
	uid_t self;
	struct user user;              /* the account's, or the running one */
	bool knows_user;               /* it is the account's */
	const struct command *command; /* the account's action, or its command for failures */
	bool is_script;                /* its program is, as root sees it */
};

static const char *program_of(const struct check *check)
{
	return check->command->words[0];
}

static const char *keyword_of(const struct check *check)
{
	return check->command == &check->account->action ? "action" : "failure";
}

__attribute__((format(printf, 3, 4))) static void tell(
	const struct check *check, enum severity severity, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report_at_list(
		&check->conf->reading.report, severity, &check->command->place, format, arguments);
	va_end(arguments);
}

/* ---- As the account's user ---- */

static void check_program(const struct check *check)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);
	enum executable result = executable_explain(program_of(check), &text);

	if (result != EXECUTABLE_FINE)
		tell(check, result == EXECUTABLE_WRONG ? SEVERITY_ERROR : SEVERITY_WARNING,
			"%s: %s", keyword_of(check), bytes);
	else if (check->is_script && access(program_of(check), R_OK) != 0)
		tell(check, SEVERITY_ERROR, "%s: %s: a script that %s may not read",
			keyword_of(check), program_of(check), check->user.name);
}

static void check_home(const struct check *check)
{
	/* Debian's system users have none, and say so. */
	if (strcmp(check->user.home, "/nonexistent") == 0 || chdir(check->user.home) == 0)
		return;
	tell(check, SEVERITY_WARNING,
		"the home of %s, %s, cannot be entered (%s): the action begins in /",
		check->user.name, check->user.home, strerror(errno));
	if (chdir("/") != 0)
		return; /* the programs that are looked for have absolute paths */
}

/* Does `env HOME` say another one than the user's? */
static bool has_home(const struct check *check)
{
	const struct conf *conf = check->conf;

	for (unsigned i = 0; i < conf->variables_count; i++)
		if (conf_variable_is_of(conf, &conf->variables[i], check->account) &&
			strncmp(conf->variables[i].text, "HOME=", 5) == 0)
			return true;
	return false;
}

/* What is not there by now has no rule in the action, and for a link there is none at all. */
static void check_paths(
	const struct check *check, const char *keyword, const struct path_list *list)
{
	int home = open(check->user.home, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	for (unsigned i = 0; i < list->count; i++) {
		if (*list->word[i] == '~' && (home < 0 || has_home(check)))
			continue;
		fd = reach_open(home, list->word[i]);
		if (fd < 0)
			tell(check, SEVERITY_WARNING, "%s: '%s' is left out: %s%s", keyword,
				list->word[i], strerror(errno),
				errno == ELOOP ? ": write where the link leads" : "");
		fd_close_if_open(fd);
	}
	fd_close_if_open(home);
}

/* In a process of its own, since there is no way back to root. Returns how many errors there are.
 */
static unsigned check_as_user(const struct check *check)
{
	unsigned before = check->conf->reading.report.wrong;

	if (check->self == 0 && check->knows_user && !privileges_become(&check->user)) {
		tell(check, SEVERITY_ERROR, "cannot become user %s: %s", check->user.name,
			strerror(errno));
		return 1;
	}
	if (check->knows_user && check->command == &check->account->action)
		check_home(check);
	check_program(check);
	if (check->knows_user && check->account->landlock != LANDLOCK_NO) {
		check_paths(check, "read", &check->account->read);
		check_paths(check, "write", &check->account->write);
		check_paths(check, "execute", &check->account->execute);
	}
	return check->conf->reading.report.wrong - before;
}

static void check_command(struct check *check, const struct command *command)
{
	int status = 0;
	pid_t child;

	check->command = command;
	check->is_script = executable_is_script(program_of(check));
	child = fork();
	if (child == 0)
		_exit(check_as_user(check) == 0 ? 0 : 1);
	if (child < 0 || waitpid(child, &status, 0) != child)
		tell(check, SEVERITY_ERROR, "the %s could not be checked: %s", keyword_of(check),
			strerror(errno));
	else if (status != 0)
		check->conf->reading.report.wrong++; /* the child has said it */
}

/* ---- The user ---- */

/* False if no starter could run an action as him: reported. */
static bool check_user(struct check *check)
{
	const char *name = check->account->user.text, *wrong = NULL;
	const struct place *place = &check->account->user.place;

	check->knows_user = true;
	if (name != NULL)
		wrong = user_by_name(name, &check->user);
	else if (check->self != 0)
		user_running(&check->user);
	else
		check->knows_user = false; /* conf_end() has warned of it */
	if (wrong != NULL) {
		report_at(&check->conf->reading.report, SEVERITY_ERROR, place, "user %s %s", name,
			wrong);
		return false;
	}
	if (name != NULL && check->self != 0 && check->user.uid != check->self) {
		report_at(&check->conf->reading.report, SEVERITY_WARNING, place,
			"user %s is not the running user: what %s may execute can only root check, "
			"or %s",
			name, name, name);
		check->knows_user = false;
	}
	return true;
}

/* ---- What is probably not meant ---- */

/* A program that talks to a mail server has nothing to talk with under `confine local`. */
static void check_policy(const struct check *check)
{
	static const char *const fetchers[] = { "mbsync", "fetchmail", "getmail", "getmail6",
		"offlineimap", "mpop", "fdm", "isync", "mra", "imapfilter" };
	const char *path = program_of(check), *slash = strrchr(path, '/');

	if (strcmp(check->account->confine, "local") != 0)
		return;
	for (unsigned i = 0; i < sizeof(fetchers) / sizeof(fetchers[0]); i++)
		if (strcmp(slash + 1, fetchers[i]) == 0)
			tell(check, SEVERITY_WARNING,
				"action: %s reaches no mail server under 'confine local': write "
				"'confine mail'",
				path);
}

static void check_times(const struct check *check)
{
	if (check->account->timeout.ms < TIMEOUT_SHORT_MS)
		tell(check, SEVERITY_WARNING,
			"account %s: the action is ended after %ums: 5m is five minutes, 5ms is "
			"not",
			check->account->name, (unsigned)check->account->timeout.ms);
}

static void check_landlock(const struct check *check)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	if (reach_is_lacking(check->account, &text))
		tell(check, SEVERITY_ERROR, "account %s: %s", check->account->name, bytes);
}

/* ---- The state ---- */

__attribute__((format(printf, 3, 4))) static void tell_state(
	struct conf *conf, enum severity severity, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	/* What the environment says is the starter's, and need not be the service's. */
	report_at_list(&conf->reading.report,
		conf->state.text != NULL ? severity : SEVERITY_WARNING, &conf->state.place, format,
		arguments);
	va_end(arguments);
}

/* The directory above, which has to be there. */
static void check_parent(struct conf *conf, uid_t self, const char *base)
{
	char parent[PATH_MAX];
	size_t length = strlen(base);
	struct stat st;

	while (length > 1 && base[length - 1] == '/')
		length--;
	while (length > 1 && base[length - 1] != '/')
		length--;
	memcpy(parent, base, length);
	parent[length] = '\0';
	if (stat(parent, &st) != 0)
		tell_state(conf, SEVERITY_ERROR, "state: %s cannot be made: %s: %s", base, parent,
			strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		tell_state(conf, SEVERITY_ERROR, "state: %s cannot be made: %s: %s", base, parent,
			strerror(ENOTDIR));
	else if (access(parent, W_OK | X_OK) != 0)
		tell_state(conf, self == 0 ? SEVERITY_ERROR : SEVERITY_WARNING,
			"state: %s cannot be made by this user: %s: %s", base, parent,
			strerror(errno));
}

/* Could a starter other than root be meant, who is the directory's owner? */
static bool owner_may_start(const struct conf *conf, uid_t owner)
{
	static struct user user;

	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const char *name = conf->accounts[i].user.text;

		if (name != NULL && (user_by_name(name, &user) != NULL || user.uid != owner))
			return false;
	}
	return true;
}

static void check_owner(struct conf *conf, uid_t self, const char *base, uid_t owner)
{
	if (owner == 0 || owner == self)
		return;
	/* systemd gives the default to whomever it starts us as (RuntimeDirectory=). */
	if (conf->state.text == NULL && self == 0)
		return;
	if (!owner_may_start(conf, owner))
		tell_state(conf, SEVERITY_ERROR,
			"state: user %u owns %s, who is neither root nor the accounts' user",
			(unsigned)owner, base);
	else
		tell_state(conf, SEVERITY_WARNING,
			"state: user %u owns %s: a handler that anybody else starts, even root, "
			"does not "
			"use it",
			(unsigned)owner, base);
}

static void check_state(struct conf *conf, uid_t self, const char *base)
{
	struct stat st;

	if (base == NULL || strlen(base) >= PATH_MAX) {
		tell_state(conf, SEVERITY_ERROR, "state: the path is too long");
		return;
	}
	if (lstat(base, &st) != 0) {
		if (errno == ENOENT)
			check_parent(conf, self, base);
		else
			tell_state(conf,
				self == 0 || errno != EACCES ? SEVERITY_ERROR : SEVERITY_WARNING,
				"state: %s: %s", base, strerror(errno));
	} else if (!S_ISDIR(st.st_mode)) {
		tell_state(conf, SEVERITY_ERROR, "state: %s is %s, not a directory", base,
			S_ISLNK(st.st_mode) ? "a symlink" : "a file");
	} else if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		tell_state(conf, SEVERITY_ERROR,
			"state: others than its owner may write to %s: chmod go-w", base);
	} else {
		check_owner(conf, self, base, st.st_uid);
	}
}

/* ---- The log ---- */

static void check_log(struct conf *conf)
{
	const struct place place = { .file = conf->file != NULL ? conf->file : "-o" };
	struct log log = { .target = conf->log };

	log_open(&log);
	if (log.kmsg < 0)
		report_at(&conf->reading.report, SEVERITY_WARNING, &place,
			"log: %s cannot be written by this user, and lines are lost: %s", LOG_KMSG,
			strerror(errno));
	log_close(&log);
}

/* ---- All of it ---- */

/* Has an account before it the same program and user? What is wrong with both is said once. */
static bool is_checked(const struct conf *conf, const struct account *account)
{
	for (const struct account *one = conf->accounts; one < account; one++)
		if (one->action.words == account->action.words &&
			one->failure.command.words == account->failure.command.words &&
			one->user.text == account->user.text &&
			strcmp(one->confine, account->confine) == 0 &&
			one->timeout.ms == account->timeout.ms &&
			one->landlock == account->landlock && one->isolate == account->isolate &&
			one->read.word == account->read.word &&
			one->write.word == account->write.word &&
			one->execute.word == account->execute.word &&
			one->connect.port == account->connect.port)
			return true;
	return false;
}

void check_machine(struct conf *conf, uid_t self, const char *base)
{
	static struct check check;

	check.conf = conf;
	check.self = self;
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		check.account = &conf->accounts[i];
		if (is_checked(conf, check.account) || !check_user(&check))
			continue;
		if (check.account->failure.command.words != NULL)
			check_command(&check, &check.account->failure.command);
		check_command(&check, &check.account->action);
		check_policy(&check);
		check_times(&check);
		check_landlock(&check);
	}
	check_state(conf, self, base);
	check_log(conf);
}
