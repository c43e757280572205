/* SPDX-License-Identifier: ISC */
/*
 * What all processes of an account share: STATE/ACCOUNT/limits, mapped. Every bit pattern of it
 * is a valid state (G6) and all zeros is a fresh one, so there is no header to check, nothing to
 * initialise, and nobody to wait for. Each word is changed by hardware atomics alone.
 *
 * Times are moments (clock.h); 0 is "none". The layout is private to one machine and one
 * release: it holds minutes of history, and a file that means nothing reads as a fresh one soon.
 */
#ifndef NMNOTIFY_STATE_H
#define NMNOTIFY_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/clock.h"
#include "lib/verdict.h"

typedef _Atomic uint32_t atomic_word;

/*
 * A library's fallback for atomics that the hardware lacks takes a lock in the memory of one
 * process, which does nothing for the others. 2 is "always lock-free" (C11 7.17.1). On arm before
 * version 6 the kernel does them, for all processes alike, and libgcc calls it for that
 * (Documentation/arch/arm/kernel_user_helpers.rst); the compiler has 1 then.
 */
#if defined(__arm__) && __ARM_ARCH < 6
_Static_assert(ATOMIC_INT_LOCK_FREE == 1, "32-bit atomics must be done by the kernel");
#else
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics must be done by the hardware");
#endif
_Static_assert(sizeof(atomic_word) == sizeof(uint32_t), "an atomic word is only a word");

#define STATE_LINE_BYTES 64 /* a cache line, nearly everywhere; elsewhere only slower */
#define STATE_LINE_CELLS 16
#define STATE_LINES      1020 /* with the header: 64 KiB, 16,320 cells */

struct state_line {
	_Alignas(STATE_LINE_BYTES) atomic_word cell[STATE_LINE_CELLS];
};

struct state {
	/* The turn (turn.c). */
	_Alignas(STATE_LINE_BYTES) atomic_word due; /* when a start is owed; a futex */
	atomic_word last_start;
	atomic_word owed;   /* a start was begun and not yet executed; only `running` writes */
	atomic_word action; /* process of the run in progress; only `running` writes */
	/* The limiter (limiter.c). */
	atomic_word key[4];
	/* The turn: a line that nmnotifyd has taken, and its time. */
	atomic_word asked, asked_for;
	/* How the last run ended: turn_last_run(). Only `running` writes. */
	atomic_word run_status; /* wait(2)'s */
	atomic_word run_ended;  /* the second of CLOCK_BOOTTIME, counted from 1; 0: never yet */
	atomic_word failures;   /* in a row, up to the last run */
	atomic_word failed;     /* runs, since the state was fresh, modulo 2^32 */

	/* Counts since the state was fresh, modulo 2^32 (tally.c). */
	_Alignas(STATE_LINE_BYTES) atomic_word verdicts[VERDICTS];
	atomic_word starts;
	atomic_word log_tat[VERDICTS]; /* the limit of log lines, by verdict */

	_Alignas(STATE_LINE_BYTES) atomic_word suppressed[VERDICTS]; /* lines since the last one */
	_Alignas(STATE_LINE_BYTES) atomic_word reserved[STATE_LINE_CELLS];

	struct state_line line[STATE_LINES];
};

#define STATE_HEADER_BYTES offsetof(struct state, line)

_Static_assert(sizeof(struct state) == 65536,
	"the state file is 64 KiB: STATE_LINES is what the words before leave of it");

/* Why state cannot be used: "WHAT NAME", and errno's text. The strings are constant or the
 * caller's. */
struct state_error {
	const char *what;
	const char *name; /* of the file or directory */
	int code;         /* errno; 0: `what` says it all */
};

/*
 * The path of the base directory, which is the first of these that there is:
 *
 *     `configured`
 *     RUNTIME_DIRECTORY, which systemd sets; of several the first (systemd.exec(5))
 *     XDG_RUNTIME_DIR/nmnotify, for an ordinary user who does not own /run/nmnotify
 *     /run/nmnotify
 *
 * So in his shell, too, a user finds the state that the units have. What is returned lives as long
 * as `configured`, the environment and `buffer`. NULL: it does not fit into `buffer`.
 */
const char *state_base_path(const char *configured, char *buffer, size_t size);

/*
 * Opens the directory `base`, made with mode 0700 if it is missing. It must be a directory, no
 * symlink, owned by root or the running user `self`, and writable by its owner alone. Returns a
 * descriptor that the caller owns, or -1 with *error set.
 */
int state_base_open(const char *base, uid_t self, struct state_error *error);

/* Does that user own the base directory, or what is there in its place? Then only he opens it. */
bool state_base_is_of(const char *base, uid_t user);

/*
 * The same for an account's directory below it, which must belong to `owner`. If `self`, the
 * running user, is root, a directory that is root's is given to `owner` and `group`, if it is a
 * state and nothing else: mode 0700, and in it at most regular files of the names below.
 */
int state_account_open(int base, const char *account, uid_t self, uid_t owner, gid_t group,
	struct state_error *error);

/*
 * Maps the file `name` of `owner` in `directory`, made with mode 0600 if missing and grown to
 * `size` bytes (STATE_HEADER_BYTES or sizeof(struct state)) of real disk space. The mapping lives
 * as long as the process. NULL with *error set: then nothing may run.
 */
struct state *state_map(
	int directory, const char *name, uid_t owner, size_t size, struct state_error *error);

/*
 * Makes a mapped state a fresh one, while other processes use it. What is owed stays, and which run
 * goes on: nothing is lost (G1). The key of the limiter becomes a new one, so sources whose
 * processes have looked up their cells before can start once more than their limit. False with
 * errno set, if getrandom(2) failed: then the next process makes the key.
 */
bool state_forget(struct state *state);

/*
 * Where there is no state, errors must be counted elsewhere: else each connection would have a line
 * in the log. Maps a file of STATE_HEADER_BYTES of the running user `self`: in the directory
 * `first` (may be NULL), else in another one that is his, else in one that is everybody's. There
 * others cannot spoil it, but they can be the first to take its name. NULL: they have, or all file
 * systems are full.
 */
struct state *state_errors_map(uid_t self, const char *first);

/* The two halves of state_map(): a descriptor that the caller owns, or -1 with *error set; and its
 * mapping, or NULL with errno set. */
int state_open(
	int directory, const char *name, uid_t owner, size_t size, struct state_error *error);
struct state *state_of(int fd, size_t size);

/* Gives a file, of which fstat(2) says `st`, `size` bytes of real disk space, and changes no byte
 * that is there. 0, or -1 with errno set. */
struct stat;
int state_grow(int fd, const struct stat *st, size_t size);

/* In an account's directory. */
#define STATE_LIMITS "limits"
#define STATE_TURN   "turn"

/* In the base directory: counts and log limits for sources that no account takes. */
#define STATE_DENIED ".denied"

#endif
