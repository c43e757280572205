/* SPDX-License-Identifier: ISC */
/*
 * What the subcommands of nmnotifyctl have in common: nmnotifyctl(8). It is run by an
 * administrator or by an account's user, reads what the other programs have written, and asks
 * them; it serves nobody, and is not confined.
 *
 * Each subcommand is a function of its own file, named after it, and has a row in the table of
 * nmnotifyctl.c. It prints its answer on standard output, and what is wrong on standard error, with
 * what to do next. Words of configurations, of the journal and of other programs are printed by
 * print_escaped() alone: a terminal would obey some of their bytes.
 */
#ifndef NMNOTIFY_CTL_H
#define NMNOTIFY_CTL_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"
#include "lib/users.h"
#include "state/state.h"

struct ctl {
	const char *conf_file; /* of the listener */
	const char *handler;   /* the program */
	const char *relay;     /* path of its status socket */
	const char *command;   /* the subcommand's name */
	const char *arguments; /* what it takes */
	const char *options;   /* NULL: none */
	struct conf conf;      /* after ctl_read_conf() */
	unsigned mistakes;
	const char *base_path; /* of the listener's state; after ctl_read_conf() */
	char base_buffer[4096];
};

/* A subcommand: its arguments, without its name and the options before it. Returns the exit status
 * of the process: EX_OK, or what sysexits.h says; of ctl_check() those of
 * monitoring plugins, `enum finding`. */
typedef int subcommand(struct ctl *ctl, int argc, char **argv);

subcommand ctl_check, ctl_explain, ctl_history, ctl_reset, ctl_start, ctl_status, ctl_try;

/* Reads the listener's configuration. False if it is wrong, or cannot be read: then that was said.
 */
bool ctl_read_conf(struct ctl *ctl);

/* The account of that name; NULL if there is none: then that was said, with the names that there
 * are. */
const struct account *ctl_account(const struct ctl *ctl, const char *name);

/* Of a subcommand whose one argument is an account: reads the configuration, and finds it. EX_OK;
 * or that was said, and is the exit status. */
int ctl_take_account(struct ctl *ctl, int argc, char **argv, const struct account **account);

/* Likewise, whom its action runs as. */
int ctl_take_user(const struct ctl *ctl, const struct account *account, struct user *user);

/* Whom the account's action runs as; for root it must have a user. NULL, or what is wrong:
 * constant. */
const char *ctl_find_user(const struct account *account, struct user *user);

/* Says on standard error what is wrong, in printf's format, after the program's name and the
 * subcommand's. Returns `status`. */
__attribute__((format(printf, 3, 4))) int ctl_fail(
	const struct ctl *ctl, int status, const char *format, ...);

/* ctl_fail() for a state that cannot be used. */
int ctl_fail_state(const struct ctl *ctl, const struct state_error *error);

/* ctl_fail() for wrong arguments: says how the subcommand is called, too. Returns EX_USAGE. */
__attribute__((format(printf, 2, 3))) int ctl_fail_usage(
	const struct ctl *ctl, const char *format, ...);

/* Prints each byte that is not printable ASCII as \xHH. */
void print_escaped(FILE *stream, const char *string);

#endif
