/* SPDX-License-Identifier: ISC */
/*
 * Names: looked up by the resolver (relay/resolver.h), and remembered for their time to live.
 * Nothing here waits.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy. The resolver
 * is a child of the relay, and is waited for here: whoever waits for another child must do so by
 * its number.
 */
#ifndef NMNOTIFY_NAMES_H
#define NMNOTIFY_NAMES_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "lib/clock.h"
#include "lib/destination.h"

#define NAME_ADDRESSES_MAX 16

/* At most so many names are remembered; so many of them are being looked up; so many callers wait
 * for them. */
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

/* A line for the log: the resolver died, hangs, or sent rubbish. Each at most once an hour. */
typedef void names_logger(void *context, const char *message);

/*
 * To be called before the relay is confined: opens what the resolver is started from later, when
 * the first name is looked up. `timeout`: of a look-up. Any function here but this one may call the
 * logger. NULL with errno set.
 */
struct names *names_open(struct span timeout, sd_event *loop, names_logger *logger, void *context);

/* Not to be called from within an answer or the logger. Those who still wait get no answer. */
void names_close(struct names *names);

/*
 * For each call there is one answer, whatever happens. It comes by the loop, at most `timeout`
 * later. Only if NAME_ASKERS_MAX wait already, it comes before this returns, and says that there
 * are too many. Who gets an answer may look up more.
 */
typedef void names_answer(void *context, const struct name_answer *answer);
void names_look_up(struct names *names, const char *name, names_answer *answer, void *context);

/* Forgets what is known, and has the resolver started anew, which reads resolv.conf and hosts anew.
 * That also happens by itself when they change; but the kernel does not promise that each change is
 * seen. */
void names_reload(struct names *names);

/* What is known of a name now. False: nothing, and it is being looked up, for nobody. */
bool names_find(struct names *names, const char *name, struct name_answer *answer);

/* For who asks. */
struct names_look {
	unsigned known, asked; /* names: with an answer; being looked up */
	bool has_process; /* there is one that looks them up: it is started when it is needed */
};
struct names_look names_look_at(const struct names *names);

/*
 * Is it a name that can be looked up? Writes it as it is compared: in lower case, without a dot at
 * its end. NULL, or what is wrong: constant.
 */
const char *name_take(const char *name, char taken[static DNS_NAME_MAX + 1]);

#endif
