/* SPDX-License-Identifier: ISC */
/*
 * In the relay. A name is in one of four states: free, asked (the process that looks up names will
 * tell, or the time is up), ready (its answer is there, and somebody waits to be told by the loop),
 * known. Each state but the first has a list, in the order in which its names came there: who was
 * asked first is the first whose time is up, and who was known or wanted longest ago is the first
 * to be forgotten.
 */
#include "relay/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "lib/fd.h"
#include "lib/siphash.h"
#include "lib/text.h"
#include "relay/resolver.h"
#include "relay/resolver_process.h"

/* A power of two, twice the names. */
#define BUCKETS 8192

/* Answers of the process before the rest of the loop has its turn. */
#define ANSWERS_AT_ONCE 64

/* From one start of the process to the next: at least the first, twice as long after each process
 * that was of no use, at most the second. */
static const struct span rest_least = { .ms = 1000 }, rest_most = { .ms = 32000 };

/* How soon to look again whether it has ended, at first. Twice as long each time, at most as long
 * as a rest. */
static const struct span look_first = { .ms = 5 };

/* A line of each kind, at most. */
static const struct span said_every = { .ms = 3600u * 1000 };

/* How long an answer lives that says something about us, and nothing about the name. */
static const struct span lives_least = { .ms = 1000 };

static const char too_many[] = "too many names at once";

struct asker {
	names_answer *answer;
	void *context;
	const char *wrong; /* for who waits for no name */
	struct asker *next;
};

struct askers {
	struct asker *first, *last;
};

enum state { FREE, ASKED, READY, KNOWN, STATES };

struct name {
	enum state state;
	bool is_sent;              /* to the process that there is */
	uint64_t id;               /* of its question */
	struct deadline sent, end; /* of waiting, or of being known */
	struct name *before, *next, *same_bucket;
	struct askers askers;
	char text[HOST_NAME_MAX_TEXT + 1];
	struct name_answer answer;
};

struct list {
	struct name *first, *last;
	unsigned count;
};

enum said { SAID_START, SAID_DEATH, SAID_RUBBISH, SAID_HANGS, SAIDS };

struct names {
	struct span timeout;
	sd_event *loop;
	sd_event_source *timer, *input; /* `input`: of the process, while there is one */
	names_listener *listener;
	void *context;

	struct resolver_process process;
	struct deadline may_start, look_at, heard;
	struct span rest, look;
	bool is_excused; /* why it ended is said, or was wanted */
	unsigned late;   /* questions of this process that it has not answered, and that are over */
	struct deadline said[SAIDS];

	uint64_t asked; /* ever */
	uint64_t key[2];
	struct list list[STATES];
	struct name *unsent; /* the first of those asked that is not sent */
	struct askers refused;
	struct asker *free_asker;
	unsigned names_used, askers_used; /* the rest of the arrays was never touched */
	struct name *bucket[BUCKETS];
	struct name name[NAMES_MAX];
	struct asker asker[NAME_ASKERS_MAX];
};

/* ---- Names as text ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* One label: its length, or 0 for one that is none. */
static size_t label_take(const char *from, char *to)
{
	size_t length = 0;

	for (; from[length] != '\0' && from[length] != '.'; length++) {
		char c = lower(from[length]);

		if (length == 63 || !(is_letter(c) || is_digit(c) || c == '-' || c == '_'))
			return 0;
		to[length] = c;
	}
	return length > 0 && from[0] != '-' && from[length - 1] != '-' ? length : 0;
}

static bool is_number(const char *label, size_t length)
{
	while (length > 0 && is_digit(label[length - 1]))
		length--;
	return length == 0;
}

const char *name_take(const char *name, char taken[static HOST_NAME_MAX_TEXT + 1])
{
	size_t length = strnlen(name, HOST_NAME_MAX_TEXT + 2), at = 0, label = 0;

	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length == 0)
		return "it is no name: it is empty";
	if (length > HOST_NAME_MAX_TEXT)
		return "it is no name: a name has at most 253 characters";
	for (; at < length; at += label + 1) {
		label = label_take(name + at, taken + at);
		if (label == 0)
			return "it is no name: between dots are at most 63 letters, digits, _, "
			       "and - in the middle";
		taken[at + label] = at + label < length ? '.' : '\0';
	}
	if (at != length + 1)
		return "it is no name: it has two dots at its end";
	/* inet_aton(3) would take 127.1 for an address. */
	if (is_number(taken + length - label, label))
		return "it is no name: a name does not end with a number";
	return NULL;
}

/* ---- Lists ---- */

static void list_add(struct names *names, struct name *name, enum state state)
{
	struct list *list = &names->list[state];

	name->state = state;
	name->next = NULL;
	name->before = list->last;
	if (list->last != NULL)
		list->last->next = name;
	else
		list->first = name;
	list->last = name;
	list->count++;
}

static void list_remove(struct names *names, struct name *name)
{
	struct list *list = &names->list[name->state];

	if (name == names->unsent)
		names->unsent = name->next;
	if (name->before != NULL)
		name->before->next = name->next;
	else
		list->first = name->next;
	if (name->next != NULL)
		name->next->before = name->before;
	else
		list->last = name->before;
	list->count--;
}

static void list_move(struct names *names, struct name *name, enum state state)
{
	list_remove(names, name);
	list_add(names, name, state);
}

/* ---- The table ---- */

static struct name **bucket_of(struct names *names, const char *text)
{
	return &names->bucket[siphash(names->key, (const uint8_t *)text, strlen(text)) &
			      (BUCKETS - 1)];
}

static struct name *name_find(struct names *names, const char *text)
{
	struct name *name = *bucket_of(names, text);

	while (name != NULL && strcmp(name->text, text) != 0)
		name = name->same_bucket;
	return name;
}

static void name_forget(struct names *names, struct name *name)
{
	struct name **link = bucket_of(names, name->text);

	while (*link != name)
		link = &(*link)->same_bucket;
	*link = name->same_bucket;
	list_move(names, name, FREE);
}

/* NULL: each is one that somebody waits for. */
static struct name *name_new(struct names *names, const char *text)
{
	struct name **link = bucket_of(names, text), *name;

	if (names->list[FREE].count == 0 && names->names_used < NAMES_MAX)
		list_add(names, &names->name[names->names_used++], FREE);
	else if (names->list[FREE].count == 0 && names->list[KNOWN].count > 0)
		name_forget(names, names->list[KNOWN].first);
	name = names->list[FREE].first;
	if (name == NULL)
		return NULL;
	(void)memcpy(name->text, text, strlen(text) + 1);
	name->same_bucket = *link;
	*link = name;
	return name;
}

/* ---- Who waits ---- */

static void askers_add(struct askers *askers, struct asker *asker)
{
	asker->next = NULL;
	if (askers->first != NULL)
		askers->last->next = asker;
	else
		askers->first = asker;
	askers->last = asker;
}

static struct asker *asker_new(struct names *names, names_answer *answer, void *context)
{
	struct asker *asker = names->free_asker;

	if (asker != NULL)
		names->free_asker = asker->next;
	else if (names->askers_used < NAME_ASKERS_MAX)
		asker = &names->asker[names->askers_used++];
	else
		return NULL;
	*asker = (struct asker){ .answer = answer, .context = context };
	return asker;
}

/* Takes them from who has them: each may ask again, and change everything but this. */
static void askers_tell(
	struct names *names, struct askers *askers, const struct name_answer *answer)
{
	struct asker *asker = askers->first, *next;

	*askers = (struct askers){ .first = NULL };
	for (; asker != NULL; asker = next) {
		struct name_answer wrong = { .lives = lives_least, .wrong = asker->wrong };
		struct asker told = *asker;

		next = asker->next;
		asker->next = names->free_asker;
		names->free_asker = asker;
		told.answer(told.context, answer != NULL ? answer : &wrong);
	}
}

/* ---- What is said ---- */

static void say(struct names *names, enum said what, const char *message)
{
	struct deadline now = deadline_now();

	if (!deadline_is_over(names->said[what], now))
		return;
	names->said[what] = deadline_add(now, said_every);
	names->listener(names->context, message);
}

/* ---- The process ---- */

/* What it was asked is asked of the next one. */
static void process_leave(struct names *names, bool is_excused)
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

static void process_distrust(struct names *names, enum said what, const char *message)
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

/* Is a process that was left no more? */
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
	/* It may have said EX_OK before we have killed it: then a file has changed. */
	if (!names->is_excused && !(WIFEXITED(status) && WEXITSTATUS(status) == EX_OK))
		say_death(names, status);
	return true;
}

/* Sends what is not sent, as much as there is room for. False: the process is left. */
static bool questions_send(struct names *names)
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
		return false;
	}
	/* sd_event_source_set_io_events(3): fails for no descriptor that is watched already. */
	(void)sd_event_source_set_io_events(
		names->input, names->unsent != NULL ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return true;
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *context);

static void process_start(struct names *names)
{
	struct deadline now = deadline_now();

	names->may_start = deadline_add(now, names->rest);
	names->rest.ms = names->rest.ms < rest_most.ms / 2 ? names->rest.ms * 2 : rest_most.ms;
	if (resolver_process_start(&names->process, names->timeout) &&
		sd_event_add_io(names->loop, &names->input, names->process.fd, EPOLLIN, on_input,
			names) >= 0) {
		names->is_excused = false;
		return;
	}
	say(names, SAID_START, "the process that looks up names cannot be started");
	process_leave(names, true);
}

/* Is there one that can be asked? If not, there will be, if somebody waits for it. */
static bool process_is_there(struct names *names)
{
	if (names->process.fd < 0 && process_is_gone(names) && names->list[ASKED].count > 0 &&
		deadline_has_passed(names->may_start))
		process_start(names);
	return names->process.fd >= 0;
}

/* ---- Answers ---- */

/* Takes a name that is asked to where it is known, or nowhere, and tells who waits. */
static void name_tell(struct names *names, struct name *name, const struct name_answer *answer,
	bool is_about_name)
{
	struct askers askers = name->askers;

	name->askers = (struct askers){ .first = NULL };
	if (is_about_name) {
		name->answer = *answer;
		name->end = deadline_in(answer->lives);
		list_move(names, name, KNOWN);
	} else {
		name_forget(names, name);
	}
	askers_tell(names, &askers, answer);
}

/* The answer to a question: that of a name that still waits, or one that has come too late. There
 * is no other unless somebody made it up. */
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
	names->rest = rest_least;
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

/* The process has a time of its own for each name, seven eighths of ours. One that had that, and
 * has said nothing whatever since it was asked, hangs. */
static bool process_hangs(const struct names *names, const struct name *name)
{
	return name->is_sent && names->heard.ms <= name->sent.ms &&
	       deadline_age(name->sent).ms >= names->timeout.ms / 16 * 15;
}

static void names_time_out(struct names *names)
{
	const struct deadline now = deadline_now();
	struct name *name;

	while ((name = names->list[ASKED].first) != NULL && deadline_is_over(name->end, now)) {
		struct name_answer answer = { .lives = lives_least,
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

	/* Who asks again from here is told by another turn of the loop: the end is where it is now.
	 */
	for (unsigned left = names->list[READY].count; left > 0; left--) {
		struct askers askers;
		struct name_answer answer;

		name = names->list[READY].first;
		askers = name->askers;
		answer = name->answer;
		name->askers = (struct askers){ .first = NULL };
		list_move(names, name, KNOWN);
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
		(void)questions_send(names);
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

static int on_input(sd_event_source *source, int fd, uint32_t events, void *context)
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

struct names *names_open(
	struct span timeout, sd_event *loop, names_listener *listener, void *context)
{
	struct names *names = calloc(1, sizeof(*names)); /* most of it is never touched */

	if (names == NULL)
		return NULL;
	names->timeout = timeout;
	names->loop = loop;
	names->listener = listener;
	names->context = context;
	names->rest = rest_least;
	if (getrandom(names->key, sizeof(names->key), 0) != (ssize_t)sizeof(names->key) ||
		!resolver_process_prepare(&names->process)) {
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
	list_move(names, name, ASKED);
	name->id = ++names->asked * NAMES_MAX + (uint64_t)(name - names->name);
	name->is_sent = false;
	name->end = deadline_in(names->timeout);
	if (names->unsent == NULL)
		names->unsent = name;
	return name;
}

/* Whoever can be told at once is told by the loop, too, so that nobody is told while he asks. */
static const char *names_ask(struct names *names, const char *text, struct asker *asker)
{
	char taken[HOST_NAME_MAX_TEXT + 1];
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
		list_move(names, name, READY);
	askers_add(&name->askers, asker);
	return NULL;
}

void names_look_up(struct names *names, const char *name, names_answer *answer, void *context)
{
	const struct name_answer refused = { .lives = lives_least, .wrong = too_many };
	struct asker *asker = asker_new(names, answer, context);

	if (asker == NULL) {
		answer(context, &refused);
		return;
	}
	asker->wrong = names_ask(names, name, asker);
	if (asker->wrong != NULL)
		askers_add(&names->refused, asker);
	if (process_is_there(names))
		(void)questions_send(names);
	timer_set(names);
}

void names_reload(struct names *names)
{
	while (names->list[KNOWN].count > 0)
		name_forget(names, names->list[KNOWN].first);
	process_leave(names, true);
	names->rest = rest_least;
	names->may_start = deadline_now();
	timer_set(names);
}
