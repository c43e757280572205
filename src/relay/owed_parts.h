/* SPDX-License-Identifier: ISC */
/*
 * The parts of the owed table, for owed*.c, addressee.c and target.c alone: for others
 * relay/owed.h.
 *
 * An addressee is a user who is owed something; a target is a destination, or a name. Between them
 * are pairs. A pair is owed from the user's event until a sending to the target that begins after
 * the event is due has ended well. The addressees and the targets' beginnings are in files; pairs
 * are not: after a death they are made anew by routing, and those whose target was told meanwhile
 * are found to be covered.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_OWED_PARTS_H
#define NMNOTIFY_OWED_PARTS_H

#include "lib/user_name.h"
#include "relay/map.h"
#include "relay/owed.h"
#include "relay/queue.h"

/* The first word of a record. Busy: a target whose sending has perhaps begun. */
enum { RECORD_FREE, RECORD_USED, RECORD_BUSY };

/* Most names of users fit the short kind. */
#define SHORT_NAME 64
#define LONG_NAME  256

/*
 * A stamp is a time in 1024ths of a millisecond, and no two are the same: of an event and a
 * beginning it can always be told which was first, though both be of one millisecond.
 */
#define STAMP_BITS 10

/*
 * What is in the files; times are stamps.
 *
 * A machine of 32 bits may store a number in two halves, and a death come between them. That does
 * no harm: an addressee's event is still in the inbox, and noted once more; a target's `began` is
 * taken to be now, since the record is busy; and `covered` is earlier than it was to be, if its low
 * half was stored first, or else lies beyond `began`, and is taken for none.
 */
struct addressee_record {
	uint32_t used, length;
	uint64_t noted;     /* the last event */
	uint64_t due_first; /* the earliest that a sending has to begin at or after */
	uint64_t due_last;  /* the latest such */
	char user[];        /* no NUL */
};

struct target_record {
	uint32_t used, scope;
	uint64_t began;   /* the last beginning */
	uint64_t covered; /* the beginning of the last sending that was done */
	uint16_t port;
	uint8_t kind, is_udp;
	uint8_t address[16];
	uint32_t failures; /* in a row */
};

_Static_assert(sizeof(struct addressee_record) == 32, "records have no holes");
_Static_assert(sizeof(struct target_record) == 48, "records have no holes");
_Static_assert(USER_NAME_MAX <= LONG_NAME, "every user fits");

enum { SHORT, LONG, SIZES };

struct pair {
	struct addressee *addressee;
	struct target *target;
	struct pair *next_of_addressee;
	struct pair *next, *previous; /* among those that are owed to the target */
	uint64_t due;                 /* when a sending is to begin at the earliest */
	enum via via;
	bool is_owed;
};

struct addressee {
	struct link link;
	struct addressee *newer, *older; /* by `noted` */
	struct addressee *next_unrouted;
	struct addressee_record *record;
	uint32_t index;
	uint16_t pairs_owed;
	uint8_t size; /* SHORT or LONG */
	bool is_unrouted;
	struct pair *pairs;
};

/* What only a name has: it is in no file. */
struct named {
	struct target_record record;
	unsigned addresses_count;
	struct source *addresses; /* that it had when it was looked up last */
	char name[];
};

struct target {
	struct queue_entry entry; /* first: a queue's entry is a target */
	struct link link;
	struct destination destination;
	struct named *named;          /* NULL: an address */
	struct target_record *record; /* of a name, in `named` */
	uint32_t index;
	unsigned pairs_count; /* owed or not */
	struct pair *owed;
	struct target *waiting;                      /* names that wait for this address; a list */
	struct target *next_waiting, *newer, *older; /* of those with no pair */
	uint64_t covers;                             /* of a sending: what was due before that */
	uint64_t not_before;
	bool is_busy, is_proven, is_counted, is_idle;
	/* Of those that failed the last time, in the order in which they began to. */
	struct target *failing_next, *failing_previous;
	struct instant failing_since;
	const char *reason; /* constant, or NULL: why the last time */
};

struct owed {
	struct owed_bounds bounds;
	uint64_t key[2];
	uint64_t random;
	uint64_t last; /* stamp that was given */
	struct records addressees[SIZES], targets;
	struct map addressee_map, target_map;
	struct addressee *oldest, *newest, *unrouted;
	struct target *oldest_idle, *newest_idle;
	struct target *first_failing, *last_failing;
	uint32_t failing, targets_owed;
	/* Fair: who answered last time, and the others. */
	struct queue proven, unproven;
	uint32_t targets_count, users, busy, busy_unproven;
	struct owed_counts counts;
};

/* ---- Times ---- */

static inline uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t stamps(struct span span)
{
	return (uint64_t)span.ms << STAMP_BITS;
}

/* The time, no earlier than the last stamp. */
static inline uint64_t stamp_now(const struct owed *owed, struct instant now)
{
	return later(now.ms << STAMP_BITS, owed->last);
}

/* A new one. */
static inline uint64_t stamp_next(struct owed *owed, struct instant now)
{
	owed->last = later(now.ms << STAMP_BITS, owed->last + 1);
	return owed->last;
}

/* Of something that was at some time in that millisecond: what counts from there rounds up. */
static inline uint64_t stamp_within(uint64_t stamp)
{
	return stamp | 1;
}

/* ---- Targets: target.c ---- */

uint64_t hash_of_target(
	const struct owed *owed, const struct destination *destination, const char *name);
struct target *target_of_link(struct link *link);
bool source_is(const struct source *a, const struct source *b);
struct queue *queue_of(struct owed *owed, const struct target *target);
uint64_t target_time(const struct owed *owed, const struct target *target, uint64_t due);
void target_wait(struct owed *owed, struct target *target);
void target_hurry(struct owed *owed, struct target *target, uint64_t due);
void target_set_proven(struct owed *owed, struct target *target, bool is_proven);
void idle_remove(struct owed *owed, struct target *target);
void target_rest(struct owed *owed, struct target *target);
void failing_add(struct owed *owed, struct target *target, struct instant now);
void failing_remove(struct owed *owed, struct target *target);
struct target *target_find(const struct owed *owed, const struct destination *destination,
	const char *name, uint64_t hash);
void target_add(struct owed *owed, struct target *target);
struct target *target_of(struct owed *owed, const struct destination *destination, const char *name,
	struct instant now);

/* ---- Addressees and pairs: addressee.c ---- */

uint64_t hash_of_user(const struct owed *owed, const char *user, size_t length);
void pair_owe(struct owed *owed, struct pair *pair, uint64_t due);
void pair_settle(struct owed *owed, struct pair *pair);
void addressee_drop_pairs(struct owed *owed, struct addressee *addressee);
void age_remove(struct owed *owed, struct addressee *addressee);
void age_add(struct owed *owed, struct addressee *addressee);
void unrouted_add(struct owed *owed, struct addressee *addressee);
void unrouted_remove(struct owed *owed, struct addressee *addressee);
void addressee_free(struct owed *owed, struct addressee *addressee);
struct addressee *addressee_find(
	const struct owed *owed, const char *user, size_t length, uint64_t hash);
struct addressee *addressee_add(struct owed *owed, uint8_t size, uint32_t index, uint64_t hash);
struct addressee *addressee_make(struct owed *owed, const char *user, size_t length, uint64_t hash,
	uint64_t due, uint64_t now);

#endif
