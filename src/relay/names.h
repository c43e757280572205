/* SPDX-License-Identifier: ISC */
/*
 * Names, looked up by a process that can do nothing else (relay/resolver.h), and remembered for
 * their time to live. Nothing here waits.
 *
 * In the relay. The process is a child of it, which is waited for here: who waits for other
 * children waits for each by its number.
 */
#ifndef NMNOTIFY_NAMES_H
#define NMNOTIFY_NAMES_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "lib/clock.h"
#include "lib/destination.h"

#define NAME_ADDRESSES_MAX 16

/* Names that are remembered, at most; of those, names that are being looked up; and who waits for
 * them. */
#define NAMES_MAX       4096
#define NAMES_ASKED_MAX 1024
#define NAME_ASKERS_MAX 65536

struct name_answer {
	unsigned count; /* 0: none; `wrong` says why */
	struct source address[NAME_ADDRESSES_MAX];
	struct span lives; /* the time to live, bounded */
	const char *wrong; /* constant */
};

struct names;

/* A line for the log: the process died, hangs, or was taken over. Each at most once an hour. */
typedef void names_listener(void *context, const char *message);

/*
 * Before the relay is confined: opens what a process will be started from, and starts none before
 * the first name is looked up. The listener may be told from any function here but this. NULL with
 * errno set.
 */
struct names *names_open(
	struct span timeout, sd_event *loop, names_listener *listener, void *context);

/* Not from within an answer or the listener; who still waits is not told. */
void names_close(struct names *names);

/*
 * The answer comes by the loop, at most `timeout` later, whatever happens; once for each call. Only
 * if NAME_ASKERS_MAX wait already it comes (that there are too many) before this returns. An answer
 * may look up more.
 */
typedef void names_answer(void *context, const struct name_answer *answer);
void names_look_up(struct names *names, const char *name, names_answer *answer, void *context);

/* Forgets what is known, and starts the process anew, which reads resolv.conf and hosts anew. It
 * does so by itself when they change; that it sees each change is more than the kernel promises. */
void names_reload(struct names *names);

/*
 * Is it a name that could be looked up? Writes it as it is compared: in lower case, without a dot
 * at its end. NULL, or what is wrong.
 */
const char *name_take(const char *name, char taken[static HOST_NAME_MAX_TEXT + 1]);

#endif
