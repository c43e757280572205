/* SPDX-License-Identifier: ISC */
/* In the relay: asking for names, and telling who waits, by the loop. */
#include "relay/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "relay/names_parts.h"

/* Answers of the process before the rest of the loop has its turn. */
#define ANSWERS_AT_ONCE 64

static const char too_many[] = "too many names at once";

/* ---- Questions ---- */

/* Sends what is not sent, as much as there is room for. */
static void questions_send(struct names *names)
{
	for (; names->unsent != NULL; names->unsent = names->unsent->next) {
		struct name *name = names->unsent;
		struct resolver_question question = { .id = name->id };

		(void)memcpy(question.name, name->text, strlen(name->text));
		if (send(names->process.fd, &question, sizeof(question),
			    MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(question))
			break;
		name->is_sent = true;
		name->sent = deadline_now();
	}
	if (names->unsent != NULL && !fd_would_wait(errno)) {
		process_leave(names, false);
		return;
	}
	/* sd_event_source_set_io_events(3): fails for no descriptor that is watched already. */
	(void)sd_event_source_set_io_events(
		names->input, names->unsent != NULL ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- Answers ---- */

/* Makes a name that was asked for known, or forgets it, and tells those who wait. */
static void name_tell(struct names *names, struct name *name, const struct name_answer *answer,
	bool is_about_name)
{
	struct askers askers = name->askers;

	name->askers = (struct askers){ .first = NULL };
	if (is_about_name) {
		name->answer = *answer;
		name->end = deadline_in(answer->lives);
		name_move(names, name, KNOWN);
	} else {
		name_forget(names, name);
	}
	askers_tell(names, &askers, answer);
}

/* Takes an answer. It must be to a question that waits, or to one whose time was up before: any
 * other is made up, and false. */
static bool answer_match(struct names *names, const struct resolver_answer *told, size_t length)
{
	struct name_answer answer;
	struct name *name = &names->name[told->id % NAMES_MAX];

	if (!resolver_answer_take(told, length, &answer))
		return false;
	names->heard = deadline_now();
	if (name->state != ASKED || name->id != told->id || !name->is_sent) {
		if (names->late == 0)
			return false;
		names->late--;
		return true;
	}
	process_was_of_use(names);
	name_tell(names, name, &answer, told->wrong != RESOLVER_BUSY);
	return true;
}

static void answers_take(struct names *names)
{
	struct resolver_answer told = { .id = 0 };
	ssize_t got;

	for (unsigned i = 0; i < ANSWERS_AT_ONCE && names->process.fd >= 0; i++) {
		got = recv(names->process.fd, &told, sizeof(told), MSG_DONTWAIT | MSG_TRUNC);
		if (got < 0 && fd_would_wait(errno))
			return;
		if (got <= 0)
			process_leave(names, false);
		else if (!answer_match(names, &told, (size_t)got))
			process_distrust(names, SAID_RUBBISH,
				"the process that looks up names sent rubbish: it is started anew");
	}
}

static void names_time_out(struct names *names)
{
	const struct deadline now = deadline_now();
	struct name *name;

	while ((name = names->list[ASKED].first) != NULL && deadline_is_over(name->end, now)) {
		struct name_answer answer = { .lives = LIVES_LEAST,
			.wrong = "the process that looks up names did not answer in time" };

		names->late += name->is_sent;
		if (process_hangs(names, name))
			process_distrust(names, SAID_HANGS,
				"the process that looks up names hangs: it is started anew");
		name_tell(names, name, &answer, false);
	}
}

static void ready_tell(struct names *names)
{
	struct name *name;

	/* Not those who ask again from within: the next round of the loop tells them. */
	for (unsigned left = names->list[READY].count; left > 0; left--) {
		struct askers askers;
		struct name_answer answer;

		name = names->list[READY].first;
		askers = name->askers;
		answer = name->answer;
		name->askers = (struct askers){ .first = NULL };
		name_move(names, name, KNOWN);
		askers_tell(names, &askers, &answer);
	}
	askers_tell(names, &names->refused, NULL);
}

/* ---- The loop ---- */

static struct deadline next_look(const struct names *names)
{
	struct deadline next = DEADLINE_NEVER;

	if (names->list[READY].count > 0 || names->refused.first != NULL)
		return deadline_now();
	if (names->list[ASKED].count > 0) {
		next = names->list[ASKED].first->end;
		if (names->process.fd < 0 && names->process.pid == 0)
			next = deadline_earlier(next, names->may_start);
	}
	if (names->process.fd < 0 && names->process.pid != 0)
		next = deadline_earlier(next, names->look_at);
	return next;
}

/* sd_event_source_set_time(3), sd_event_source_set_enabled(3): these fail for no timer. */
static void timer_set(struct names *names)
{
	struct deadline next = next_look(names);

	if (deadline_is_never(next)) {
		(void)sd_event_source_set_enabled(names->timer, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_source_set_time(names->timer, next.ms * 1000);
	(void)sd_event_source_set_enabled(names->timer, SD_EVENT_ONESHOT);
}

static void names_work(struct names *names)
{
	if (process_is_there(names))
		questions_send(names);
	names_time_out(names);
	timer_set(names);
}

static int on_timer(sd_event_source *source, uint64_t time, void *context)
{
	struct names *names = context;

	(void)source;
	(void)time;
	ready_tell(names);
	names_work(names);
	return 0;
}

int names_input(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct names *names = context;

	(void)source;
	(void)fd;
	(void)events;
	answers_take(names);
	names_work(names);
	return 0;
}

/* ---- For the relay ---- */

static bool loop_join(struct names *names)
{
	int error = sd_event_add_time(
		names->loop, &names->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, names);

	if (error < 0) {
		errno = -error;
		return false;
	}
	(void)sd_event_source_set_enabled(names->timer, SD_EVENT_OFF); /* as in timer_set() */
	return true;
}

struct names *names_open(struct span timeout, sd_event *loop, names_logger *logger, void *context)
{
	struct names *names = calloc(1, sizeof(*names)); /* most of it is never touched */

	if (names == NULL)
		return NULL;
	names->timeout = timeout;
	names->loop = loop;
	names->logger = logger;
	names->context = context;
	if (getrandom(names->key, sizeof(names->key), 0) != (ssize_t)sizeof(names->key) ||
		!process_open(names)) {
		free(names);
		return NULL;
	}
	if (!loop_join(names)) {
		resolver_process_close(&names->process);
		free(names);
		return NULL;
	}
	return names;
}

void names_close(struct names *names)
{
	if (names == NULL)
		return;
	(void)sd_event_source_disable_unref(names->input);
	(void)sd_event_source_disable_unref(names->timer);
	resolver_process_close(&names->process);
	free(names);
}

/* Begins a look-up. NULL: there is no room for it. */
static struct name *name_ask(struct names *names, struct name *name, const char *text)
{
	if (names->list[ASKED].count == NAMES_ASKED_MAX)
		return NULL;
	if (name == NULL)
		name = name_new(names, text);
	if (name == NULL)
		return NULL;
	name_move(names, name, ASKED);
	name->id = ++names->asked * NAMES_MAX + (uint64_t)(name - names->name);
	name->is_sent = false;
	name->end = deadline_in(names->timeout);
	if (names->unsent == NULL)
		names->unsent = name;
	return name;
}

/* Also an answer that is known already is told by the loop, so that nobody is told while he asks.
 */
static const char *names_ask(struct names *names, const char *text, struct asker *asker)
{
	char taken[DNS_NAME_MAX + 1];
	const char *wrong = name_take(text, taken);
	struct name *name;

	if (wrong != NULL)
		return wrong;
	name = name_find(names, taken);
	if (name == NULL || (name->state == KNOWN && deadline_has_passed(name->end)))
		name = name_ask(names, name, taken);
	if (name == NULL)
		return too_many;
	if (name->state == KNOWN)
		name_move(names, name, READY);
	askers_add(&name->askers, asker);
	return NULL;
}

void names_look_up(struct names *names, const char *name, names_answer *answer, void *context)
{
	const struct name_answer refused = { .lives = LIVES_LEAST, .wrong = too_many };
	struct asker *asker = asker_new(names, answer, context);

	if (asker == NULL) {
		answer(context, &refused);
		return;
	}
	asker->wrong = names_ask(names, name, asker);
	if (asker->wrong != NULL)
		askers_add(&names->refused, asker);
	if (process_is_there(names))
		questions_send(names);
	timer_set(names);
}

void names_reload(struct names *names)
{
	while (names->list[KNOWN].count > 0)
		name_forget(names, names->list[KNOWN].first);
	process_renew(names);
	timer_set(names);
}

bool names_find(struct names *names, const char *text, struct name_answer *answer)
{
	char taken[DNS_NAME_MAX + 1];
	struct name *name;

	*answer = (struct name_answer){ .lives = LIVES_LEAST, .wrong = name_take(text, taken) };
	if (answer->wrong != NULL)
		return true;
	name = name_find(names, taken);
	if (name != NULL && (name->state == READY ||
				    (name->state == KNOWN && !deadline_has_passed(name->end)))) {
		*answer = name->answer;
		return true;
	}
	if (name != NULL && name->state == ASKED)
		return false;
	if (name_ask(names, name, taken) == NULL) {
		answer->wrong = too_many;
		return true;
	}
	if (process_is_there(names))
		questions_send(names);
	timer_set(names);
	return false;
}

struct names_look names_look_at(const struct names *names)
{
	return (struct names_look){ .known = names->list[KNOWN].count + names->list[READY].count,
		.asked = names->list[ASKED].count,
		.has_process = names->process.fd >= 0 };
}
