/* SPDX-License-Identifier: ISC */
#include "relay/telling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/sending.h"

/* Beginnings at once, before the loop looks at anything else. */
#define AT_ONCE 256

/* When this machine is short of something, be it descriptors or ports. */
#define SHORTAGE_REST_MS 1000

/* One address, or the addresses of a name in turn. */
struct one {
	struct telling *telling;
	struct target *target, *name; /* `target` NULL: still to be chosen; `name` NULL: no name */
	struct name_answer answer;
	unsigned index; /* of the answer's addresses: the one that it is at */
	struct sending sending;
	sd_event_source *io;
	struct instant asked, began, until; /* asked: the store, for the claim */
	struct one *next, *previous;        /* of those that go on, by `until` */
	const char *reason;                 /* why the last address failed */
};

struct telling {
	struct relay *relay;
	sd_event_source *timer;
	struct one *first, *last;
};

static void go_to_next_address(struct one *one);

/* ---- Those that go on ---- */

static void list_add(struct telling *telling, struct one *one)
{
	one->next = NULL;
	one->previous = telling->last;
	*(telling->last != NULL ? &telling->last->next : &telling->first) = one;
	telling->last = one;
}

static void list_remove(struct telling *telling, struct one *one)
{
	*(one->next != NULL ? &one->next->previous : &telling->last) = one->previous;
	*(one->previous != NULL ? &one->previous->next : &telling->first) = one->next;
}

/* ---- What happened ---- */

static void say_told(const struct one *one, const char *reason)
{
	struct relay *relay = one->telling->relay;
	struct allowance *allowance = reason == NULL ? &relay->told : &relay->failed;
	const struct target *target = one->target != NULL ? one->target : one->name;
	const struct destination *destination = target_destination(target);
	char address[SOURCE_TEXT_MAX], bytes[HOST_NAME_MAX_TEXT + SOURCE_TEXT_MAX + 16];
	struct text text = TEXT_IN(bytes);
	uint32_t suppressed;
	unsigned others;
	const char *user = target_user(one->name != NULL ? one->name : target, &others);

	if (!allowance_take(allowance, instant_now(), &suppressed))
		return;
	if (one->name != NULL)
		text_add(&text, "%s", target_name(one->name));
	if (one->target != NULL)
		text_add(&text, destination->address.kind == SOURCE_IPV6 ? "%s[%s]" : "%s%s",
			one->name != NULL ? "=" : "", source_text(&destination->address, address));
	text_add(&text, ":%u", destination->port);
	log_told(&relay->log, user, others, bytes, reason, suppressed);
}

static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
	       error == EADDRNOTAVAIL;
}

/* Nothing is to be sent there before then. */
static void put_back(struct one *one, struct instant at)
{
	struct owed *owed = one->telling->relay->owed;

	owed_put_back(owed, one->target, at);
	if (one->name != NULL)
		owed_put_back(owed, one->name, at);
	free(one);
}

static void succeed(struct one *one)
{
	struct owed *owed = one->telling->relay->owed;

	say_told(one, NULL);
	owed_done(owed, one->target);
	if (one->name != NULL)
		owed_done(owed, one->name);
	free(one);
}

static void fail(struct one *one, int error)
{
	struct owed *owed = one->telling->relay->owed;
	struct instant now = instant_now();

	if (is_shortage(error)) {
		put_back(one, instant_add(now, (struct span){ .ms = SHORTAGE_REST_MS }));
		return;
	}
	one->reason = strerror(error);
	say_told(one, one->reason);
	if (store_is_shared(one->telling->relay->store))
		owed_reroute(owed, one->target);
	owed_failed(owed, one->target, now);
	one->target = NULL;
	if (one->name == NULL) {
		free(one);
		return;
	}
	one->index++;
	go_to_next_address(one);
}

/* ---- A sending ---- */

static void release(const struct one *one)
{
	struct relay *relay = one->telling->relay;
	struct instant until = instant_add(one->began, relay->conf->interval), now = instant_now();
	struct span left = { .ms = until.ms > now.ms ? (uint32_t)(until.ms - now.ms) : 0 };

	if (store_is_shared(relay->store))
		store_release(relay->store, target_destination(one->target), left);
}

/* It goes on no more. */
static void stop(struct one *one)
{
	list_remove(one->telling, one);
	(void)sd_event_source_disable_unref(one->io);
}

static void end(struct one *one)
{
	sending_end(&one->sending);
	release(one);
	if (one->sending.error == 0)
		succeed(one);
	else
		fail(one, one->sending.error);
}

static int go_on(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct one *one = context;
	struct telling *telling = one->telling;

	(void)source;
	(void)fd;
	(void)events;
	sending_go_on(&one->sending);
	if (sending_goes_on(&one->sending))
		return 0;
	stop(one);
	end(one);
	telling_go_on(telling);
	return 0;
}

static const struct source *from_of(const struct relay_conf *conf, const struct destination *to)
{
	const struct source *from =
		to->address.kind == SOURCE_IPV4 ? &conf->source.ipv4 : &conf->source.ipv6;

	return from->kind == SOURCE_UNKNOWN ? NULL : from;
}

static void begin(struct one *one)
{
	struct telling *telling = one->telling;
	struct relay *relay = telling->relay;
	const struct destination *to = target_destination(one->target);

	one->began = instant_now();
	one->until = instant_add(one->began, relay->conf->timeout);
	owed_begins(relay->owed, one->target, one->began);
	if (one->name != NULL)
		owed_begins(relay->owed, one->name, one->began);
	sending_begin(&one->sending, to, from_of(relay->conf, to));
	one->began = instant_now();
	owed_has_begun(relay->owed, one->target, one->began);
	/* Edges: what the kernel has to say of an end that is not yet acknowledged it says once. */
	if (!sending_goes_on(&one->sending) ||
		sd_event_add_io(relay->loop, &one->io, one->sending.fd,
			EPOLLOUT | (uint32_t)EPOLLET, go_on, one) < 0)
		end(one);
	else
		list_add(telling, one);
}

/* The store's answer: whether another relay may be sending there. That one shortens its claim when
 * it is done, so it is asked for again after an interval; and an answer that is older than that may
 * be true no more. */
static void claimed(void *context, struct span wait)
{
	struct one *one = context;
	struct telling *telling = one->telling;
	struct span interval = telling->relay->conf->interval;
	struct instant now = instant_now();

	if (wait.ms != 0)
		put_back(one, instant_add(now, wait.ms < interval.ms ? wait : interval));
	else if (instant_is_over(instant_add(one->asked, interval), now))
		put_back(one, now);
	else
		begin(one);
	telling_wake(telling);
}

static void claim(struct one *one)
{
	struct relay *relay = one->telling->relay;
	struct span lasts = { .ms = relay->conf->timeout.ms + relay->conf->interval.ms };

	one->asked = instant_now();
	if (store_is_shared(relay->store))
		store_claim(relay->store, target_destination(one->target), lasts, claimed, one);
	else
		begin(one);
}

/* ---- Names ---- */

static void go_to_next_address(struct one *one)
{
	struct relay *relay = one->telling->relay;
	struct instant now = instant_now();

	while (one->index < one->answer.count &&
		relay_conf_never(relay->conf, &one->answer.address[one->index])) {
		one->reason = "its address is one that `never` excludes";
		one->index++;
	}
	if (one->index < one->answer.count) {
		one->target = owed_pick_address(
			relay->owed, one->name, &one->answer.address[one->index], now);
		if (one->target != NULL)
			claim(one);
		else
			free(one); /* the name waits for it */
		return;
	}
	say_told(one, one->reason);
	owed_failed(relay->owed, one->name, now);
	free(one);
}

static void looked_up(void *context, const struct name_answer *answer)
{
	struct one *one = context;
	struct telling *telling = one->telling;

	one->answer = *answer;
	one->reason = answer->wrong;
	target_resolved(telling->relay->owed, one->name, answer->address, answer->count);
	go_to_next_address(one);
	telling_wake(telling);
}

/* ---- All of them ---- */

static void tell(struct telling *telling, struct target *target)
{
	struct relay *relay = telling->relay;
	struct one *one = calloc(1, sizeof(*one));

	if (one == NULL) {
		owed_put_back(relay->owed, target,
			instant_add(instant_now(), (struct span){ .ms = SHORTAGE_REST_MS }));
		return;
	}
	one->telling = telling;
	if (target_name(target) == NULL) {
		one->target = target;
		claim(one);
	} else {
		one->name = target;
		names_look_up(relay->names, target_name(target), looked_up, one);
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

/* The first whose time is over; it is taken from the others. NULL: none. */
static struct one *take_over(struct telling *telling, struct instant now)
{
	struct one *one = telling->first;

	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): stop() takes it out of the list. */
	if (one == NULL || !instant_is_over(one->until, now))
		return NULL;
	stop(one);
	return one;
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
	struct one *one;

	while ((one = take_over(telling, now)) != NULL)
		end(one);
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
	if (sd_event_add_time(relay->loop, &telling->timer, CLOCK_BOOTTIME, UINT64_MAX, 1000,
		    time_has_come, telling) < 0) {
		free(telling);
		return NULL;
	}
	return telling;
}

/* What is being sent is owed still. */
void telling_close(struct telling *telling)
{
	for (struct one *one = telling->first, *next; one != NULL; one = next) {
		next = one->next;
		(void)sd_event_source_disable_unref(one->io);
		sending_end(&one->sending);
		free(one);
	}
	(void)sd_event_source_disable_unref(telling->timer);
	free(telling);
}
