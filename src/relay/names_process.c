/* SPDX-License-Identifier: ISC */
/*
 * In the relay: the resolver is started when a name is wanted, and anew when it has ended, hangs,
 * or sends what it should not. An old one is killed, and looked at now and then: when it has ended,
 * the next one is started.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "lib/text.h"
#include "relay/names_parts.h"

/* From one start of the process to the next: at least the first, twice as long after each process
 * that was of no use, at most the second. */
static const struct span rest_least = { .ms = 1000 }, rest_most = { .ms = 32000 };

/* How soon to look again whether it has ended, at first. Twice as long each time, at most as long
 * as a rest. */
static const struct span look_first = { .ms = 5 };

/* A line of each kind, at most. */
static const struct span said_every = { .ms = 3600u * 1000 };

/* ---- What is said ---- */

static void say(struct names *names, enum said what, const char *message)
{
	struct deadline now = deadline_now();

	if (!deadline_is_over(names->said[what], now))
		return;
	names->said[what] = deadline_add(now, said_every);
	names->logger(names->context, message);
}

/* ---- Its end ---- */

void process_leave(struct names *names, bool is_excused)
{
	if (names->process.fd < 0)
		return;
	names->input = sd_event_source_disable_unref(names->input);
	resolver_process_kill(&names->process);
	names->is_excused = is_excused;
	names->look_at = deadline_now();
	names->look = look_first;
	names->late = 0;
	names->unsent = names->list[ASKED].first;
	for (struct name *name = names->unsent; name != NULL; name = name->next)
		name->is_sent = false;
}

void process_distrust(struct names *names, enum said what, const char *message)
{
	say(names, what, message);
	process_leave(names, true);
}

static void say_death(struct names *names, int status)
{
	char line[160];
	struct text text = TEXT_IN(line);

	text_add(&text, "the process that looks up names ");
	if (WIFSIGNALED(status))
		text_add(&text, "was killed by signal %d", WTERMSIG(status));
	else
		text_add(&text, "ended, status %d", WEXITSTATUS(status));
	text_add(&text, ": it is started anew");
	say(names, SAID_DEATH, line);
}

/* Has the one that was killed ended? */
static bool process_is_gone(struct names *names)
{
	struct deadline now = deadline_now();
	int status;

	if (names->process.pid == 0)
		return true;
	if (!deadline_is_over(names->look_at, now))
		return false;
	if (!resolver_process_has_ended(&names->process, &status)) {
		names->look_at = deadline_add(now, names->look);
		if (names->look.ms < rest_least.ms)
			names->look.ms *= 2;
		return false;
	}
	/* It may have ended with EX_OK before we killed it: then a file has changed. */
	if (!names->is_excused && !(WIFEXITED(status) && WEXITSTATUS(status) == EX_OK))
		say_death(names, status);
	return true;
}

/* ---- Its beginning ---- */

bool process_open(struct names *names)
{
	names->rest = rest_least;
	return resolver_process_prepare(&names->process);
}

static void process_start(struct names *names)
{
	struct deadline now = deadline_now();

	names->may_start = deadline_add(now, names->rest);
	names->rest.ms = names->rest.ms < rest_most.ms / 2 ? names->rest.ms * 2 : rest_most.ms;
	if (resolver_process_start(&names->process, names->timeout) &&
		sd_event_add_io(names->loop, &names->input, names->process.fd, EPOLLIN, names_input,
			names) >= 0) {
		names->is_excused = false;
		return;
	}
	say(names, SAID_START, "the process that looks up names cannot be started");
	process_leave(names, true);
}

bool process_is_there(struct names *names)
{
	if (names->process.fd < 0 && process_is_gone(names) && names->list[ASKED].count > 0 &&
		deadline_has_passed(names->may_start))
		process_start(names);
	return names->process.fd >= 0;
}

void process_renew(struct names *names)
{
	process_leave(names, true);
	names->rest = rest_least;
	names->may_start = deadline_now();
}

/* ---- Is it of use? ---- */

void process_was_of_use(struct names *names)
{
	names->rest = rest_least;
}

/* The resolver has seven eighths of our time for each name (resolver.c). If that is over, and it
 * has answered nothing whatever since, it hangs. */
bool process_hangs(const struct names *names, const struct name *name)
{
	return name->is_sent && names->heard.ms <= name->sent.ms &&
	       deadline_age(name->sent).ms >= names->timeout.ms / 16 * 15;
}
