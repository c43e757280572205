/* SPDX-License-Identifier: ISC */
/*
 * The relay's configuration, nmnotify-relay.conf(5): read whole, checked whole, and refused whole
 * if anything in it is wrong. Its memory is allocated once, when the reading begins.
 *
 * In the relay: as the user it was started as. It is read before the relay is confined, and at a
 * reload afterwards.
 */
#ifndef NMNOTIFY_RELAY_CONF_H
#define NMNOTIFY_RELAY_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/clock.h"
#include "lib/keyword.h"
#include "lib/log.h"
#include "lib/prefix.h"
#include "relay/event.h"

/* Bounds. With more users than that, a table serves better than a file. */
#define RELAY_BYTES_MAX   1048576
#define RELAY_USERS_MAX   16384 /* lines */
#define RELAY_TARGETS_MAX 65536 /* of all lines */

#define RELAY_STATE       "/var/lib/nmnotify-relay"

enum relay_protocol { RELAY_TCP, RELAY_UDP };

/* `biff ADDRESS:PORT`; said if .port is not 0. */
struct relay_port {
	struct source address;
	uint16_t port;
};

/* `never NETWORK...`, `tunnel NETWORK...` */
struct relay_networks {
	const struct prefix *prefix;
	unsigned count;
	bool has_default; /* of `never`: and the default list, which is the initial value */
};

/* `trust USER... :GROUP...`; root is not among them. */
struct relay_ids {
	const uid_t *uid;
	const gid_t *gid;
	unsigned uids, gids;
};

/* `strip-domain yes`, `no` or DOMAIN... */
struct relay_domains {
	const char *const *domain;
	unsigned count;
	bool any;
};

/* `source ADDRESS...`: SOURCE_UNKNOWN where none was said. */
struct relay_sources {
	struct source ipv4, ipv6;
};

/* A `user` line; what is in it is route.h's. */
struct relay_user;
struct relay_users {
	struct relay_user *line; /* in their order */
	uint32_t *exact;         /* the number of the first line with that name + 1, by hash */
	uint32_t *pattern;       /* the numbers of lines with a '*', in their order */
	unsigned count, patterns, targets;
};

/* Names of users who announce their own mail, as the system knows them; asked again after a
 * minute, so that a flood by one of them asks once a minute. */
#define RELAY_NAMES 64
struct relay_name {
	struct deadline until; /* 0: nothing is here */
	uid_t uid;
	char name[USER_NAME_MAX + 1]; /* "": there is no such user */
};

struct relay_conf {
	struct said_text socket, cyrus, status; /* where -l makes them; not said: NOTICE_SOCKET, and
						   none of the other two */
	struct relay_port biff;                 /* likewise; not said: none */
	struct said_text store;         /* for store_open(); not said: in the state directory */
	struct said_text password_file; /* of the store; not said: none */
	struct said_text table;         /* lmdb:PATH; not said: none. table_open() takes it */
	struct said_text state;         /* directory; not said: STATE_DIRECTORY, RELAY_STATE */
	struct relay_ids trust;
	struct relay_domains strip_domain;
	struct relay_networks never, tunnel;
	struct span settle, interval, timeout, keep, idle; /* idle 0: never ends */
	struct long_span last_for;
	uint32_t most;  /* connections at once */
	uint32_t users; /* that the store knows the last addresses of */
	uint32_t port;  /* where no other was said; not 0 */
	enum relay_protocol protocol;
	struct relay_sources source;
	enum log_target log;

	/* The rest is for the functions below, and of route.h. */
	struct relay_users lines;
	unsigned table_at;  /* before the line of this number */
	struct source *own; /* addresses of this machine, sorted */
	unsigned own_count;
	struct relay_name names[RELAY_NAMES];
	struct said said;
	struct reading reading;
};

/* `conf` must be all zeros. To read it again is to read another one. */
void relay_conf_begin(struct relay_conf *conf, report_writer *writer, void *context);

/* One -o argument, the `number`th; before relay_conf_file(). */
void relay_conf_option(struct relay_conf *conf, const char *text, unsigned number);

/* The file: reading_file(). */
void relay_conf_file(struct relay_conf *conf, const char *path, bool optional);

/* Ends the reading. True if nothing was wrong: only then may the rest of conf be used. */
bool relay_conf_end(struct relay_conf *conf);

/* Gives its memory back; also after a reading that failed. */
void relay_conf_free(struct relay_conf *conf);

/* Finds out this machine's own addresses (getifaddrs(3)), for relay_conf_never(): at start, and
 * whenever they may have changed. False, with errno: those known before still hold. */
bool relay_conf_own_addresses(struct relay_conf *conf);

/* Why nothing may be sent to an address that a login or a name gave. */
enum never {
	NEVER_NOT,       /* it may */
	NEVER_INTERFACE, /* a link-local address whose interface nobody said; or none at all */
	NEVER_NETWORK,   /* one that `never` names */
	NEVER_DEFAULT,   /* one of the default's */
	NEVER_OWN,       /* an address of this machine; it is of the default, too */
};

/* *network: of the second and third, which; good as long as `conf`. It may be NULL. */
enum never relay_conf_never_why(
	const struct relay_conf *conf, const struct source *address, const struct prefix **network);

/* Must nothing be sent to that address, if a login or a name gave it? */
bool relay_conf_never(const struct relay_conf *conf, const struct source *address);

/* Does a program listen there that passes the line on? */
bool relay_conf_tunnel(const struct relay_conf *conf, const struct source *address);

/* May a process with these ids, which SCM_CREDENTIALS says, speak for anybody? */
bool relay_conf_trusts(const struct relay_conf *conf, uid_t uid, gid_t gid);

/* May such a process say this? A user who is not trusted may only say that he himself has mail. He
 * could make up an address that he checks it from, and have the line sent there. To be called
 * before relay_conf_strip().
 */
bool relay_conf_may_say(struct relay_conf *conf, uid_t uid, gid_t gid, const struct event *event);

/* Takes the domain from a user's name, as `strip-domain` says: in place. */
void relay_conf_strip(const struct relay_conf *conf, char *user);

#endif
