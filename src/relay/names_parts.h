/* SPDX-License-Identifier: ISC */
/*
 * The parts of what is known of names, for names*.c alone: for others relay/names.h.
 *
 * A name is in one of four states: free; asked, until the resolver answers or the time is up;
 * ready, which is that its answer is there, and the loop will tell those who wait; known. Each
 * state has a list, in the order in which its names came there. So the first that was asked is the
 * first whose time is up, and the first to be forgotten is the one that nobody has wanted for
 * longest.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_NAMES_PARTS_H
#define NMNOTIFY_NAMES_PARTS_H

#include "relay/names.h"
#include "relay/resolver.h"
#include "relay/resolver_process.h"

/* A power of two, twice the names. */
#define BUCKETS 8192

/* How long an answer lives that says nothing about the name, but that we could not look it up. */
#define LIVES_LEAST ((struct span){ .ms = 1000 })

struct asker {
	names_answer *answer;
	void *context;
	const char *wrong; /* of one who is refused: why */
	struct asker *next;
};

struct askers {
	struct asker *first, *last;
};

enum name_state { FREE, ASKED, READY, KNOWN, STATES };

struct name {
	enum name_state state;
	bool is_sent;              /* to the resolver that there is now */
	uint64_t id;               /* of its question */
	struct deadline sent, end; /* of waiting, or of being known */
	struct name *before, *next, *same_bucket;
	struct askers askers;
	char text[DNS_NAME_MAX + 1];
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
	names_logger *logger;
	void *context;

	struct resolver_process process;
	struct deadline may_start, look_at, heard;
	struct span rest, look;
	bool is_excused; /* its end was said already, or was wanted */
	unsigned late;   /* questions that this resolver has not answered in time */
	struct deadline said[SAIDS];

	uint64_t asked; /* questions, ever */
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

/* ---- The table: names_table.c ---- */

void name_move(struct names *names, struct name *name, enum name_state state);

/* `text` is as name_take() writes it. NULL: it is not there. */
struct name *name_find(struct names *names, const char *text);

/* Gives a free place to that name. NULL: there is none, and somebody waits for each name. */
struct name *name_new(struct names *names, const char *text);
void name_forget(struct names *names, struct name *name);

/* NULL: there are as many as may be. */
struct asker *asker_new(struct names *names, names_answer *answer, void *context);
void askers_add(struct askers *askers, struct asker *asker);

/* Empties the list first, since each who is told may ask again. `answer` NULL: each is told why he
 * was refused. */
void askers_tell(struct names *names, struct askers *askers, const struct name_answer *answer);

/* ---- The resolver: names_process.c ---- */

/* Before the relay is confined. False with errno set. */
bool process_open(struct names *names);

/* Is there one that can be asked? If not, and a name is asked for, it is started when it may be. */
bool process_is_there(struct names *names);

/* Kills it; what it was asked will be asked of the next one. `is_excused`: its end is not said. The
 * second says `message`, and then does so. */
void process_leave(struct names *names, bool is_excused);
void process_distrust(struct names *names, enum said what, const char *message);

/* It has answered: so the next one need not wait long. */
void process_was_of_use(struct names *names);

/* Kills it, and lets the next one begin at once. */
void process_renew(struct names *names);

/* Should it have answered for that name by now, and has it answered nothing since it was asked? */
bool process_hangs(const struct names *names, const struct name *name);

/* ---- Asking and answering: names.c ---- */

/* The process has something to say, or room for more questions. */
int names_input(sd_event_source *source, int fd, uint32_t events, void *context);

#endif
