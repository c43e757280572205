/* SPDX-License-Identifier: ISC */
/*
 * The parts of what is known of names, for names*.c alone: for others relay/names.h.
 *
 * A name is in one of four states: free, asked (the process that looks up names will tell, or the
 * time is up), ready (its answer is there, and somebody waits to be told by the loop), known. Each
 * state has a list, in the order in which its names came there: who was asked first is the first
 * whose time is up, and who was known or wanted longest ago is the first to be forgotten.
 */
#ifndef NMNOTIFY_NAMES_PARTS_H
#define NMNOTIFY_NAMES_PARTS_H

#include "relay/names.h"
#include "relay/resolver.h"
#include "relay/resolver_process.h"

/* A power of two, twice the names. */
#define BUCKETS 8192

/* How long an answer lives that says something about us, and nothing about the name. */
#define LIVES_LEAST ((struct span){ .ms = 1000 })

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

/* ---- The table: names_table.c ---- */

void name_move(struct names *names, struct name *name, enum state state);

/* By what name_take() makes of it. NULL: it is not there. */
struct name *name_find(struct names *names, const char *text);

/* A free one, which is that from now on. NULL: each is one that somebody waits for. */
struct name *name_new(struct names *names, const char *text);
void name_forget(struct names *names, struct name *name);

/* NULL: there are as many as may be. */
struct asker *asker_new(struct names *names, names_answer *answer, void *context);
void askers_add(struct askers *askers, struct asker *asker);

/* Takes them from who has them: each may ask again, and change everything but this. NULL: to each
 * what is wrong with what he asked. */
void askers_tell(struct names *names, struct askers *askers, const struct name_answer *answer);

/* ---- The process: names_process.c ---- */

/* Before the relay is confined. False with errno set. */
bool process_open(struct names *names);

/* Is there one that can be asked? If not, there will be, if somebody waits for it. */
bool process_is_there(struct names *names);

/* What it was asked is asked of the next one. `is_excused`: nothing is said of its end. */
void process_leave(struct names *names, bool is_excused);
void process_distrust(struct names *names, enum said what, const char *message);

/* The next one need not wait long. */
void process_was_of_use(struct names *names);

/* Leaves it, and has the next one begin at once. */
void process_renew(struct names *names);

/* Should it have told of that name by now, and has it told of none since? */
bool process_hangs(const struct names *names, const struct name *name);

/* ---- Asking and answering: names.c ---- */

/* The process has something to say, or room for more questions. */
int names_input(sd_event_source *source, int fd, uint32_t events, void *context);

#endif
