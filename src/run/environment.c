/* SPDX-License-Identifier: ISC */
#include "run/environment.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/text.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static bool is_same_name(const char *a, const char *b)
{
	size_t length = strcspn(a, "=");

	return strncmp(a, b, length + 1) == 0;
}

/* Adds a variable; a later one of the same name takes an earlier one's place. */
static void environment_put(struct environment *environment, char *text)
{
	for (unsigned i = 0; i < environment->count; i++) {
		if (is_same_name(environment->variable[i], text)) {
			environment->variable[i] = text;
			return;
		}
	}
	environment->variable[environment->count++] = text;
}

/*
 * The directory by which programs find their user's own services: with it systemctl --user, D-Bus
 * and the like work. Only if he himself, or his own service manager, has started us and it is his:
 * what root's environment says of it is not about him. NULL: none.
 */
static const char *runtime_directory(void)
{
	const char *path = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (getauxval(AT_EUID) == 0 || path == NULL || *path != '/' || stat(path, &st) != 0)
		return NULL;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
			       (st.st_mode & (S_IWGRP | S_IWOTH)) == 0
		       ? path
		       : NULL;
}

/* What the account wants of our own environment, where it is set. */
static void environment_pass(struct environment *environment, const struct job *job)
{
	const struct conf *conf = job->conf;

	for (unsigned i = 0; i < conf->passes_count; i++) {
		const char *name = conf->passes[i].text;
		size_t length = strlen(name);

		if (!conf_variable_is_of(conf, &conf->passes[i], job->account))
			continue;
		for (char **variable = environ; *variable != NULL; variable++) {
			if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=') {
				environment_put(environment, *variable);
				break;
			}
		}
	}
}

/* NULL unless it is about failures. */
static const char *number_text(const struct job *job, unsigned number, char *bytes, size_t size)
{
	struct text text = { .bytes = bytes, .size = size };

	text_add(&text, "%u", number);
	return job->failures != 0 ? bytes : NULL;
}

void environment_make(struct environment *environment, const struct job *job)
{
	const struct user *user = job->user;
	const struct conf *conf = job->conf;
	char failures[16], status[16];
	const struct {
		const char *name, *value;
	} base[VARIABLES] = {
		[VARIABLE_PATH] = { "PATH", PATH_DEFAULT },
		[VARIABLE_HOME] = { "HOME", user->home },
		[VARIABLE_USER] = { "USER", user->name },
		[VARIABLE_LOGNAME] = { "LOGNAME", user->name },
		[VARIABLE_SHELL] = { "SHELL", user->shell },
		[VARIABLE_ACCOUNT] = { "NMNOTIFY_ACCOUNT", job->account->name },
		[VARIABLE_SOURCE] = { "NMNOTIFY_SOURCE", job->source_text },
		[VARIABLE_RUNTIME] = { "XDG_RUNTIME_DIR", runtime_directory() },
		[VARIABLE_FAILURES] = { "NMNOTIFY_FAILURES",
			number_text(job, job->failures, failures, sizeof(failures)) },
		[VARIABLE_STATUS] = { "NMNOTIFY_STATUS",
			number_text(job, (unsigned)job->status, status, sizeof(status)) },
	};

	for (unsigned i = 0; i < VARIABLES; i++) {
		struct text text = TEXT_IN(environment->text[i]);

		if (base[i].value == NULL)
			continue;
		text_add(&text, "%s=%s", base[i].name, base[i].value);
		if (!text.cut)
			environment_put(environment, environment->text[i]);
	}
	environment_pass(environment, job);
	for (unsigned i = 0; i < conf->variables_count; i++)
		if (conf_variable_is_of(conf, &conf->variables[i], job->account))
			environment_put(environment, conf->variables[i].text);
	environment->variable[environment->count] = NULL;
}

const char *environment_value(const struct environment *environment, const char *name)
{
	size_t length = strlen(name);

	for (unsigned i = 0; i < environment->count; i++) {
		const char *variable = environment->variable[i];

		if (strncmp(variable, name, length) == 0 && variable[length] == '=')
			return variable + length + 1;
	}
	return NULL;
}
