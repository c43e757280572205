/* SPDX-License-Identifier: ISC */
#include "relay/telling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/fd.h"
#include "lib/sending.h"

/* Beginnings at once, before the loop looks at anything else. */
#define AT_ONCE 256

/* Sendings of which the kernel has something to say, in one call. */
#define SPOKEN_AT_ONCE 64

/* When this machine is short of descriptors, ports or memory. */
#define SHORTAGE_REST_MS 1000

/* One address, or the addresses of a name in turn. */
struct attempt {
	struct telling *telling;
	struct target *target, *name; /* `target` NULL: still to be chosen; `name` NULL: no name */
	struct name_answer answer;
	unsigned index; /* of the answer's addresses: the one that it is at */
	struct sending sending;
	struct instant asked, began, until; /* asked: the store, for the claim */
	struct attempt *next, *previous;    /* of those that go on, by `until` */
	const char *reason;                 /* why the last address failed */
};

struct telling {
	struct relay *relay;
	sd_event_source *timer, *io;
	int watched; /* an epoll(7) of our own, in the loop's: see go_on() */
	struct attempt *first, *last;
};

static void go_to_next_address(struct attempt *attempt);

/* ---- Those that go on ---- */

static void list_add(struct telling *telling, struct attempt *attempt)
{
	attempt->next = NULL;
	attempt->previous = telling->last;
	*(telling->last != NULL ? &telling->last->next : &telling->first) = attempt;
	telling->last = attempt;
}

static void list_remove(struct telling *telling, struct attempt *attempt)
{
	*(attempt->next != NULL ? &attempt->next->previous : &telling->last) = attempt->previous;
	*(attempt->previous != NULL ? &attempt->previous->next : &telling->first) = attempt->next;
}

/* ---- What happened ---- */

static void say_told(const struct attempt *attempt, const char *reason)
{
	struct relay *relay = attempt->telling->relay;
	struct allowance *allowance = reason == NULL ? &relay->told : &relay->failed;
	const struct target *target = attempt->target != NULL ? attempt->target : attempt->name;
	const struct destination *destination = target_destination(target);
	char address[SOURCE_TEXT_MAX], bytes[DNS_NAME_MAX + SOURCE_TEXT_MAX + 16];
	struct text text = TEXT_IN(bytes);
	uint32_t suppressed;
	unsigned others;
	const char *user = target_user(attempt->name != NULL ? attempt->name : target, &others);

	if (!allowance_take(allowance, instant_now(), &suppressed))
		return;
	if (attempt->name != NULL)
		text_add(&text, "%s", target_name(attempt->name));
	if (attempt->target != NULL)
		text_add(&text, destination->address.kind == SOURCE_IPV6 ? "%s[%s]" : "%s%s",
			attempt->name != NULL ? "=" : "",
			source_text(&destination->address, address));
	text_add(&text, ":%u", destination->port);
	log_told(&relay->log, user, others, bytes, reason, suppressed);
}

/* ENOSPC: what a user may watch (epoll(7): max_user_watches). */
static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
	       error == ENOSPC || error == EADDRNOTAVAIL;
}

/* Nothing is to be sent there before then. */
static void put_back(struct attempt *attempt, struct instant at)
{
	struct owed *owed = attempt->telling->relay->owed;

	owed_put_back(owed, attempt->target, at);
	if (attempt->name != NULL)
		owed_put_back(owed, attempt->name, at);
	free(attempt);
}

static void succeed(struct attempt *attempt)
{
	struct owed *owed = attempt->telling->relay->owed;

	say_told(attempt, NULL);
	owed_done(owed, attempt->target);
	if (attempt->name != NULL)
		owed_done(owed, attempt->name);
	free(attempt);
}

static void fail(struct attempt *attempt, int error)
{
	struct owed *owed = attempt->telling->relay->owed;
	struct instant now = instant_now();

	attempt->reason = strerror(error);
	say_told(attempt, attempt->reason);
	if (is_shortage(error)) {
		put_back(attempt, instant_add(now, (struct span){ .ms = SHORTAGE_REST_MS }));
		return;
	}
	if (store_is_shared(attempt->telling->relay->store))
		owed_reroute(owed, attempt->target);
	target_set_reason(attempt->target, attempt->reason);
	owed_failed(owed, attempt->target, now);
	attempt->target = NULL;
	if (attempt->name == NULL) {
		free(attempt);
		return;
	}
	attempt->index++;
	go_to_next_address(attempt);
}

/* ---- A sending ---- */

static void release(const struct attempt *attempt)
{
	struct relay *relay = attempt->telling->relay;
	struct instant until = instant_add(attempt->began, relay->conf->interval),
		       now = instant_now();
	/* A beginning may have been almost a millisecond later than its instant says. */
	struct span left = { .ms = until.ms >= now.ms ? (uint32_t)(until.ms - now.ms) + 1 : 0 };

	if (store_is_shared(relay->store))
		store_release(relay->store, target_destination(attempt->target), left);
}

/* Edge-triggered: else the socket would wake us all the time until the line is acknowledged, since
 * it counts as writable, and the other host may have ended the connection. */
static bool watch(struct attempt *attempt)
{
	struct epoll_event event = { .events = EPOLLOUT | (uint32_t)EPOLLET, .data.ptr = attempt };

	return epoll_ctl(attempt->telling->watched, EPOLL_CTL_ADD, attempt->sending.fd, &event) ==
	       0;
}

/* It goes on no more. To close it is not enough: a child that is just being made has it, too. */
static void stop(struct attempt *attempt)
{
	struct telling *telling = attempt->telling;

	list_remove(telling, attempt);
	(void)epoll_ctl(telling->watched, EPOLL_CTL_DEL, attempt->sending.fd, NULL); /* is there */
}

/* `error`: why, if it goes on. */
static void end(struct attempt *attempt, int error)
{
	sending_end(&attempt->sending, error);
	release(attempt);
	if (attempt->sending.error == 0)
		succeed(attempt);
	else
		fail(attempt, attempt->sending.error);
}

/* The first whose time is over; it is taken from the others. NULL: none. */
static struct attempt *take_over(struct telling *telling, struct instant now)
{
	struct attempt *attempt = telling->first;

	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): stop() takes it out of the list. */
	if (attempt == NULL || !instant_is_over(attempt->until, now))
		return NULL;
	stop(attempt);
	return attempt;
}

/* First of all: a process that was stopped, or a machine that slept, may come back when the kernel
 * has long made the connection. Its line would come after `timeout`, when the claim may be over and
 * another relay sends. */
static void end_late(struct telling *telling, struct instant now)
{
	struct attempt *attempt;

	while ((attempt = take_over(telling, now)) != NULL)
		end(attempt, ETIMEDOUT);
}

/*
 * The loop asks the kernel once for each descriptor that has something to say, and keeps a source
 * for each: that is about a tenth of what a line takes of a processor. So sendings are watched
 * here.
 */
static int go_on(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct telling *telling = context;
	struct epoll_event spoken[SPOKEN_AT_ONCE];
	int count;

	(void)source;
	(void)events;
	end_late(telling, instant_now());
	count = epoll_wait(fd, spoken, SPOKEN_AT_ONCE, 0);
	/* Each is there once, and none ends another. */
	for (int i = 0; i < count; i++) {
		struct attempt *attempt = spoken[i].data.ptr;

		sending_go_on(&attempt->sending);
		if (sending_goes_on(&attempt->sending))
			continue;
		stop(attempt);
		end(attempt, 0);
	}
	telling_go_on(telling);
	return 0;
}

static const struct source *from_of(const struct relay_conf *conf, const struct destination *to)
{
	const struct source *from =
		to->address.kind == SOURCE_IPV4 ? &conf->source.ipv4 : &conf->source.ipv6;

	return from->kind == SOURCE_UNKNOWN ? NULL : from;
}

/* A claim lasts for `timeout`, `interval` and the time that an answer may take, from when it was
 * asked for, perhaps. A sending that begins within that time and either of the others ends within
 * it, and it has its interval, whatever becomes of this process. */
static bool is_claimed(const struct attempt *attempt)
{
	const struct relay *relay = attempt->telling->relay;
	struct span either = span_shorter(relay->conf->timeout, relay->conf->interval);
	struct instant most =
		instant_add(instant_add(attempt->asked, STORE_ANSWERS_WITHIN), either);

	return !store_is_shared(relay->store) || !instant_is_over(most, instant_now());
}

static void begin(struct attempt *attempt)
{
	struct telling *telling = attempt->telling;
	struct relay *relay = telling->relay;
	const struct destination *to = target_destination(attempt->target);

	attempt->began = instant_now();
	attempt->until = instant_add(attempt->began, relay->conf->timeout);
	owed_begins(relay->owed, attempt->target, attempt->began);
	if (attempt->name != NULL)
		owed_begins(relay->owed, attempt->name, attempt->began);
	/* The answer may have been long in coming, the file's disk slow, the machine asleep. Not
	 * asked any earlier: what comes now is a few system calls that wait for nothing. */
	if (!is_claimed(attempt)) {
		put_back(attempt, attempt->began);
		return;
	}
	sending_begin(&attempt->sending, to, from_of(relay->conf, to),
		relay_conf_tunnel(relay->conf, &to->address));
	attempt->began = instant_now();
	owed_has_begun(relay->owed, attempt->target, attempt->began);
	if (!sending_goes_on(&attempt->sending))
		end(attempt, 0);
	else if (!watch(attempt))
		end(attempt, errno);
	else
		list_add(telling, attempt);
}

/* The store's answer: whether another relay may be sending there. That one shortens its claim when
 * it is done, so it is asked for again after an interval. */
static void claimed(void *context, struct span wait)
{
	struct attempt *attempt = context;
	struct telling *telling = attempt->telling;
	struct span interval = telling->relay->conf->interval;

	if (wait.ms != 0)
		put_back(attempt, instant_add(instant_now(), span_shorter(wait, interval)));
	else
		begin(attempt);
	telling_wake(telling);
}

static void claim(struct attempt *attempt)
{
	struct relay *relay = attempt->telling->relay;
	struct span lasts = { .ms = relay->conf->timeout.ms + relay->conf->interval.ms +
				    STORE_ANSWERS_WITHIN.ms };

	attempt->asked = instant_now();
	if (store_is_shared(relay->store))
		store_claim(
			relay->store, target_destination(attempt->target), lasts, claimed, attempt);
	else
		begin(attempt);
}

/* ---- Names ---- */

static void go_to_next_address(struct attempt *attempt)
{
	struct relay *relay = attempt->telling->relay;
	struct instant now = instant_now();

	while (attempt->index < attempt->answer.count &&
		relay_conf_never(relay->conf, &attempt->answer.address[attempt->index])) {
		attempt->reason = "its address is one that `never` excludes";
		attempt->index++;
	}
	if (attempt->index < attempt->answer.count) {
		attempt->target = owed_pick_address(
			relay->owed, attempt->name, &attempt->answer.address[attempt->index], now);
		if (attempt->target != NULL)
			claim(attempt);
		else
			free(attempt); /* the name waits for it */
		return;
	}
	say_told(attempt, attempt->reason);
	target_set_reason(attempt->name, attempt->reason);
	owed_failed(relay->owed, attempt->name, now);
	free(attempt);
}

static void looked_up(void *context, const struct name_answer *answer)
{
	struct attempt *attempt = context;
	struct telling *telling = attempt->telling;

	attempt->answer = *answer;
	attempt->reason = answer->wrong;
	target_resolved(telling->relay->owed, attempt->name, answer->address, answer->count);
	go_to_next_address(attempt);
	telling_wake(telling);
}

/* ---- All of them ---- */

static void tell(struct telling *telling, struct target *target)
{
	struct relay *relay = telling->relay;
	struct attempt *attempt = calloc(1, sizeof(*attempt));

	if (attempt == NULL) {
		owed_put_back(relay->owed, target,
			instant_add(instant_now(), (struct span){ .ms = SHORTAGE_REST_MS }));
		return;
	}
	attempt->telling = telling;
	if (target_name(target) == NULL) {
		attempt->target = target;
		claim(attempt);
	} else {
		attempt->name = target;
		names_look_up(relay->names, target_name(target), looked_up, attempt);
	}
}

static void arm(struct telling *telling, bool at_once)
{
	struct instant when = owed_when(telling->relay->owed);

	if (telling->first != NULL)
		when = instant_earlier(when, telling->first->until);
	if (at_once)
		when.ms = 0;
	(void)sd_event_source_set_time(
		telling->timer, when.ms == UINT64_MAX ? UINT64_MAX : when.ms * 1000);
	(void)sd_event_source_set_enabled(telling->timer, SD_EVENT_ONESHOT);
}

static void expire(struct relay *relay, struct instant now)
{
	char bytes[128];
	struct text text = TEXT_IN(bytes);
	unsigned count = owed_expire(relay->owed, now);

	if (count == 0)
		return;
	text_add(&text, "%u users were not told within `keep`", count);
	log_relay(&relay->log, "expired", bytes, true);
}

void telling_wake(struct telling *telling)
{
	arm(telling, true);
}

void telling_go_on(struct telling *telling)
{
	struct relay *relay = telling->relay;
	struct instant now = instant_now();
	struct target *target = NULL;

	end_late(telling, now);
	expire(relay, now);
	for (unsigned i = 0; i < AT_ONCE && (target = owed_pick(relay->owed, now)) != NULL; i++)
		tell(telling, target);
	arm(telling, target != NULL);
}

static int time_has_come(sd_event_source *source, uint64_t at, void *context)
{
	(void)source;
	(void)at;
	telling_go_on(context);
	return 0;
}

struct telling *telling_open(struct relay *relay)
{
	struct telling *telling = calloc(1, sizeof(*telling));

	if (telling == NULL)
		return NULL;
	telling->relay = relay;
	telling->watched = epoll_create1(EPOLL_CLOEXEC);
	if (telling->watched >= 0 &&
		sd_event_add_io(relay->loop, &telling->io, telling->watched, EPOLLIN, go_on,
			telling) >= 0 &&
		sd_event_add_time(relay->loop, &telling->timer, CLOCK_BOOTTIME, UINT64_MAX, 1000,
			time_has_come, telling) >= 0)
		return telling;
	telling_close(telling);
	return NULL;
}

/* What is being sent is owed still. */
void telling_close(struct telling *telling)
{
	for (struct attempt *attempt = telling->first, *next; attempt != NULL; attempt = next) {
		next = attempt->next;
		sending_end(&attempt->sending, ETIMEDOUT);
		free(attempt);
	}
	(void)sd_event_source_disable_unref(telling->io);
	(void)sd_event_source_disable_unref(telling->timer);
	fd_close_if_open(telling->watched);
	free(telling);
}
