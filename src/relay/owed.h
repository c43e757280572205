/* SPDX-License-Identifier: ISC */
/*
 * What is owed: users who have mail that was not told of yet, and the destinations that are to be
 * told. It survives the process (relay/records.h), and knows nothing of sockets, stores and names:
 * who calls says what the time is, where a user's line goes, and how a sending ended.
 *
 * src/PROTOCOL.md says what must hold: S1, S2, S5, Fair. tests/model/owed.pml is the model.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_OWED_H
#define NMNOTIFY_OWED_H

#include <stdbool.h>

#include "lib/clock.h"
#include "lib/destination.h"
#include "relay/records.h"

struct owed_bounds {
	struct span settle, interval, keep;
	uint32_t users, connections; /* most */
};

/* What happened, since the beginning. */
struct owed_counts {
	uint64_t noted, covered, by_login, expired, refused, done, failed;
};

/* Why an addressee goes to a destination. */
enum via {
	VIA_CONFIGURED,
	VIA_LAST,   /* the user's last address: a login from anywhere covers it */
	VIA_ONE_OF, /* one of several last addresses: a login from there covers it */
};

struct owed;
struct addressee; /* a user, and what he is owed */
struct target; /* a destination, or a name, that somebody is owed a line to or that was told lately
		*/

/* Opens what is in the directory. The clock is asked once, when the files are ours alone. NULL with
 * errno set, as records_open(). */
typedef struct instant owed_clock(void);
struct owed *owed_open(int directory, const struct owed_bounds *bounds, const uint64_t key[2],
	owed_clock *clock, records_logger *logger, void *context);
void owed_close(struct owed *owed);

/* New bounds, except for `users`. */
void owed_set_bounds(struct owed *owed, const struct owed_bounds *bounds);

/* ---- Events ---- */

/*
 * The user has mail. NULL: as many users are owed as may be, and it is counted. Once this has
 * returned, it outlives the process. An addressee without targets has to be routed.
 */
struct addressee *owed_note(struct owed *owed, const char *user, bool is_early, struct instant now);

/* The user checks mail from this address. */
void owed_login(
	struct owed *owed, const char *user, const struct source *address, struct instant now);

/* ---- Routing ---- */

const char *addressee_name(const struct addressee *addressee);

/* The next addressee that has not been routed since it was noted, or since owed_open(); or NULL.
 * From then on it counts as routed. */
struct addressee *owed_unrouted(struct owed *owed);

/* Has addressees routed anew: all, if the configuration has changed; or those that go to this
 * target because of the store, to which other relays may have written. */
void owed_reroute_all(struct owed *owed);
void owed_reroute(struct owed *owed, const struct target *target);

/* Has those routed anew that have no target, since the store could not tell. */
void owed_reroute_lost(struct owed *owed);

/* The addressee of that name; NULL: he is owed nothing, or no more. */
struct addressee *owed_find(struct owed *owed, const char *user);

/* To route an addressee: begin forgets its targets, add says each new one, a destination or a name,
 * and end says that these are all. An addressee that is owed nothing then is freed. */
void owed_route_begin(struct owed *owed, struct addressee *addressee);
void owed_route_add(struct owed *owed, struct addressee *addressee,
	const struct destination *destination, const char *name, enum via via);
void owed_route_end(struct owed *owed, struct addressee *addressee);

/* ---- Sending ---- */

/* A target whose time has come and to which a sending may begin now: it is busy from then on. NULL:
 * none. */
struct target *owed_pick(struct owed *owed, struct instant now);

/* When owed_pick() or owed_expire() has something to do. */
struct instant owed_when(const struct owed *owed);

const struct destination *target_destination(const struct target *target);
const char *target_name(const struct target *target); /* NULL: it is an address */

/* Of the users that it is owed to: one, for the log; and how many there are. */
const char *target_user(const struct target *target, unsigned *others);

/* Says which addresses a name has now. A login from one of them covers what is owed to the name. */
void target_resolved(
	struct owed *owed, struct target *target, const struct source *addresses, unsigned count);

/*
 * An address that a name's sending goes to: the name is busy, and now the address is, too. NULL: it
 * cannot begin yet; the name waits, and is picked again when it may be.
 */
struct target *owed_pick_address(
	struct owed *owed, struct target *name, const struct source *address, struct instant now);

/* A sending begins. The first is called before the first packet: from then on the file has the
 * beginning, whatever becomes of this process. The second is called behind that packet: `interval`
 * counts from then, even if this process had to wait in between. */
void owed_begins(struct owed *owed, struct target *target, struct instant now);
void owed_has_begun(struct owed *owed, struct target *target, struct instant now);

/* How it ended; the target is busy no more. Done: all that was due when it began is covered.
 * Failed: it is tried again later. Put back: it did not begin, and is not to begin before `at`. */
void owed_done(struct owed *owed, struct target *target);
void owed_failed(struct owed *owed, struct target *target, struct instant now);
void owed_put_back(struct owed *owed, struct target *target, struct instant at);

/* Why the sending that now fails does so: constant. For who asks. */
void target_set_reason(struct target *target, const char *reason);

/* Gives up what is older than `keep`; returns how many users that were. */
unsigned owed_expire(struct owed *owed, struct instant now);

/* ---- Numbers ---- */

const struct owed_counts *owed_counts(const struct owed *owed);
uint32_t owed_users(const struct owed *owed); /* who are owed something */
uint32_t owed_busy(const struct owed *owed);
uint32_t owed_targets(const struct owed *owed); /* that something is owed to */

/* ---- Looking ---- */

/* A target, for who asks. */
struct target_look {
	const struct destination *destination;
	const char *name; /* NULL: it is an address */
	bool is_busy;
	struct instant next;  /* when it is tried; INSTANT_NEVER: nothing is owed there, or it waits
				 for the end of what goes on */
	struct instant since; /* the first failure in a row; 0: the last sending was done, or there
				 was none */
	uint32_t failures;    /* in a row */
	const char *reason;   /* of the last one; NULL: not known */
};

typedef void target_viewer(void *context, const struct target_look *look);

/* Shows those that failed the last time, `most` of them, who began to first. Returns how many there
 * are. */
uint32_t owed_look_failing(
	const struct owed *owed, unsigned most, target_viewer *viewer, void *context);

/* What a user is owed, for who asks. */
struct addressee_look {
	struct instant noted; /* his last event */
	struct instant ends;  /* when that is given up */
	bool is_routed;       /* else it is not known yet where his line goes */
};

/* Shows the targets that it is owed to. False: he is owed nothing. */
bool owed_look_user(const struct owed *owed, const char *user, struct addressee_look *look,
	target_viewer *viewer, void *context);

#endif
