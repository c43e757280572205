/* SPDX-License-Identifier: ISC */
/*
 * nmnotifyctl check: what keeps notifications from arriving on this machine. A check is a function
 * with a row in the table of check.c, in a file by its subject. It adds findings, each one line
 * with its remedy, and prints nothing.
 */
#ifndef NMNOTIFY_CTL_CHECK_H
#define NMNOTIFY_CTL_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/ctl.h"
#include "ctl/unit.h"

/* As monitoring plugins number them: the exit status. */
enum finding {
	FINDING_OK,
	FINDING_WARNING,
	FINDING_CRITICAL,
	FINDING_UNKNOWN, /* it could not be found out */
};

#define FINDING_KINDS 4
#define FINDINGS_MAX  128

struct check {
	struct ctl *ctl;
	bool is_root;
	bool is_user;       /* it is about the user's own units, who is not root */
	bool is_own_conf;   /* another configuration than any unit's was asked about */
	bool has_listener;  /* this end is in use here */
	bool has_relay;     /* and this one */
	bool has_conf;      /* the listener's configuration is whole, and in ctl->conf */
	bool has_events;    /* the relay has had one since it was started */
	struct units units; /* of systemd */
	struct {
		enum finding finding;
		char *text;
	} found[FINDINGS_MAX];
	unsigned count, of_kind[FINDING_KINDS];
};

/* Adds a finding, in printf's format, and what to do about it; NULL: nothing. The same text is
 * added once. */
__attribute__((format(printf, 4, 5))) void check_add(
	struct check *check, enum finding finding, const char *remedy, const char *format, ...);

/* Adds what a program says with -t, a line each: `what` is before each of them. Returns how many
 * there were. `said` is changed. */
unsigned check_add_lines(struct check *check, const char *what, const char *remedy, char *said);

/* What the user types for systemctl(1), as those units want it. */
const char *check_systemctl(const struct check *check);

/* Whether a rule of nftables redirects the listener's port: to which; 0: none does, or this is not
 * root, and cannot know. */
unsigned check_redirected(const struct check *check);

typedef void check_function(struct check *check);

/* Each adds only what is about an end that is in use. */
check_function check_conf, check_fetchers, check_units, check_namespaces, check_port,
	check_firewall, check_relay_conf, check_relay, check_biff, check_mail;

#endif
