/* SPDX-License-Identifier: ISC */
/* fetchmail's daemon mode, in which an action is over before the mail is there. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/check.h"
#include "ctl/process.h"
#include "lib/text.h"

#define PROGRAM "fetchmail"

/* What is said of fetchmail in an action, or in the shell's words of one. */
struct fetcher {
	bool is_fetchmail;
	bool is_foreground;    /* by --daemon 0 or --nodetach */
	bool is_next_interval; /* the last word was --daemon */
	bool is_next_file;     /* the last word was --fetchmailrc */
	char file[4096];       /* its configuration; "": in the user's home */
};

/* `word` behind `name` and perhaps `=`; NULL: it is another option. */
static const char *value_of(const char *word, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(word, name, length) != 0)
		return NULL;
	return word[length] == '=' ? word + length + 1 : word + length;
}

static void set_file(struct fetcher *fetcher, const char *path)
{
	struct text text = TEXT_IN(fetcher->file);

	text_add(&text, "%s", path);
}

static void take_option(struct fetcher *fetcher, const char *word)
{
	static const char *const intervals[] = { "--daemon", "-d" }, *const files[] = {
		"--fetchmailrc", "-f"
	};
	const char *value;

	if (strcmp(word, "--nodetach") == 0 || strcmp(word, "-N") == 0)
		fetcher->is_foreground = true;
	for (unsigned i = 0; i < 2; i++) {
		value = value_of(word, intervals[i]);
		if (value != NULL) {
			fetcher->is_next_interval = *value == '\0';
			fetcher->is_foreground |= strcmp(value, "0") == 0;
		}
		value = value_of(word, files[i]);
		if (value != NULL) {
			fetcher->is_next_file = *value == '\0';
			set_file(fetcher, value);
		}
	}
}

static void take_word(struct fetcher *fetcher, const char *word)
{
	const char *slash = strrchr(word, '/');

	if (fetcher->is_next_interval)
		fetcher->is_foreground |= strcmp(word, "0") == 0;
	else if (fetcher->is_next_file)
		set_file(fetcher, word);
	else if (fetcher->is_fetchmail && *word == '-')
		take_option(fetcher, word);
	else if (strcmp(slash != NULL ? slash + 1 : word, PROGRAM) == 0)
		fetcher->is_fetchmail = true;
	if (*word != '-')
		fetcher->is_next_interval = fetcher->is_next_file = false;
}

/* The words, and what a shell would make words of. */
static void take_action(struct fetcher *fetcher, const struct account *account)
{
	for (char **word = account->action.words; *word != NULL; word++) {
		char *copy = strdup(*word), *rest = NULL;

		for (char *part = copy == NULL ? NULL : strtok_r(copy, " \t\"'();&|", &rest);
			part != NULL; part = strtok_r(NULL, " \t\"'();&|", &rest))
			take_word(fetcher, part);
		free(copy);
	}
}

/* ---- Its files, which are the user's to write ---- */

/* NULL: it is not there, or no file. */
static FILE *open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	FILE *stream = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		stream = fdopen(fd, "r");
	if (stream == NULL)
		(void)close(fd); /* opened for reading: nothing can be lost */
	return stream;
}

/* Has a line `set daemon SECONDS`? */
static bool sets_daemon(const char *path)
{
	FILE *stream = open_file(path);
	char *line = NULL;
	size_t size = 0;
	bool does = false;

	while (!does && stream != NULL && getline(&line, &size, stream) > 0) {
		char *rest = NULL;
		const char *first = strtok_r(line, " \t\n", &rest);
		const char *second = strtok_r(NULL, " \t\n", &rest);
		const char *third = strtok_r(NULL, " \t\n", &rest);

		does = first != NULL && second != NULL && third != NULL &&
		       strcmp(first, "set") == 0 && strcmp(second, "daemon") == 0 &&
		       strcmp(third, "0") != 0;
	}
	free(line);
	if (stream != NULL)
		(void)fclose(stream); /* likewise */
	return does;
}

/* The user's daemon; 0: none runs. */
static pid_t find_daemon(const struct user *user)
{
	char path[USER_TEXT_MAX + 32], line[32];
	struct text text = TEXT_IN(path);
	struct process process;
	const char *digits = line;
	uint64_t pid = 0;
	FILE *stream;
	bool found;

	text_add(&text, "%s/.fetchmail.pid", user->home);
	stream = open_file(path);
	if (stream == NULL)
		return 0;
	found = fgets(line, sizeof(line), stream) != NULL &&
		number_take(&digits, INT32_MAX, &pid) &&
		process_look((pid_t)pid, user->uid, &process) &&
		strcmp(process.command, PROGRAM) == 0;
	(void)fclose(stream); /* likewise */
	return found ? (pid_t)pid : 0;
}

/* ---- Findings ---- */

static void add_findings(struct check *check, const struct account *account,
	const struct fetcher *fetcher, pid_t daemon, bool sets)
{
	if (daemon != 0 && fetcher->is_foreground)
		check_add(check, FINDING_WARNING,
			"end it with `fetchmail --quit` as that user, or have the action wake it: "
			"`isolate no`, and fetchmail without options",
			"account %s: fetchmail runs as a daemon, process %d, and beside it takes "
			"no "
			"options",
			account->name, (int)daemon);
	else if (daemon != 0 && account->isolate)
		check_add(check, FINDING_WARNING, "write `isolate no`",
			"account %s: fetchmail runs as a daemon, process %d, which an isolated "
			"action cannot wake",
			account->name, (int)daemon);
	else if (daemon == 0 && sets && !fetcher->is_foreground)
		check_add(check, FINDING_WARNING, "add `--daemon 0` to the action",
			"account %s: fetchmail's own configuration says `set daemon`, so the "
			"action "
			"is over at once, and leaves a daemon behind",
			account->name);
	else
		check_add(check, FINDING_OK, NULL,
			"account %s: fetchmail's daemon mode is not in "
			"the way",
			account->name);
}

/* As whom the action runs: the account says it, or else the unit. False: it cannot be found out. */
static bool find_user(const struct check *check, const struct account *account, struct user *user)
{
	static const char *const units[][2] = { { "nmnotify.socket", "nmnotify@check.service" },
		{ "nmnotifyd.socket", "nmnotifyd.service" } };
	char name[USER_TEXT_MAX] = "";

	if (!check->is_root || account->user.text != NULL)
		return ctl_find_user(account, user) == NULL;
	for (unsigned i = 0; i < 2 && name[0] == '\0'; i++)
		if (unit_is_used(&check->units, units[i][0]))
			unit_text(&check->units, units[i][1], UNIT_SERVICE, "User", name,
				sizeof(name));
	return name[0] != '\0' && user_by_name(name, user) == NULL;
}

static void check_account(struct check *check, const struct account *account)
{
	static struct fetcher fetcher; /* large */
	static struct user user;
	char path[USER_TEXT_MAX + 32];
	struct text text = TEXT_IN(path);

	fetcher = (struct fetcher){ .is_fetchmail = false };
	take_action(&fetcher, account);
	if (!fetcher.is_fetchmail || !find_user(check, account, &user))
		return;
	text_add(&text, "%s/.fetchmailrc", user.home);
	add_findings(check, account, &fetcher, find_daemon(&user),
		sets_daemon(fetcher.file[0] != '\0' ? fetcher.file : path));
}

void check_fetchers(struct check *check)
{
	for (unsigned i = 0; check->has_conf && i < check->ctl->conf.accounts_count; i++)
		check_account(check, &check->ctl->conf.accounts[i]);
}
