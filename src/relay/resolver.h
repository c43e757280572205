/* SPDX-License-Identifier: ISC */
/*
 * The resolver: the process that looks up names for the relay. It is the same program, executed
 * anew, so that it has no memory, stack canary or layout in common with the relay. It is the only
 * one that reads what name servers send, and can do nothing else: src/policy/resolver.policy.
 * Whoever takes it over can lie about addresses, which is what a name server can do already.
 *
 * Here is what the two tell each other, each in one packet, and how the relay checks it.
 *
 * In the resolver: as the relay's user; from resolver_confine() on under resolver.policy. In the
 * relay only resolver_answer_take().
 */
#ifndef NMNOTIFY_RESOLVER_H
#define NMNOTIFY_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/destination.h"
#include "relay/names.h"

/* The name that it is executed by, from which the program knows that it is the resolver. */
#define RESOLVER_NAME "nmnotify-relay-names"

/* For main(): all that the resolver does. Its exit status is EX_OK if a file that it had read has
 * changed, so that it must be started anew. */
int resolver_main(void);

/*
 * Its descriptors, by number: 0 to 2 lead nowhere, then the socket pair, which resolver.policy does
 * not let it close or mistake for a name server's. What follows are those servers' sockets.
 */
enum resolver_fd { RELAY_FD = 3, EPOLL_FD, CHANGES_FD };

/* The first packet, to the resolver. */
struct resolver_start {
	uint32_t timeout_ms; /* the relay's: nothing is of use to it later */
	int32_t relay;       /* its process */
};

/* Every other one. The name is as name_take() writes it, with zeros behind it. */
struct resolver_question {
	uint64_t id;
	char name[DNS_NAME_MAX + 3];
};

enum resolver_wrong {
	RESOLVER_FINE,
	RESOLVER_NO_NAME,
	RESOLVER_NO_ADDRESS,
	RESOLVER_SILENT,
	RESOLVER_UNREACHABLE,
	RESOLVER_SERVER_FAILED,
	RESOLVER_SERVER_REFUSED,
	RESOLVER_SERVER_RUBBISH,
	RESOLVER_BUSY,
	RESOLVER_OTHER,
	RESOLVER_WRONGS
};

struct resolver_address {
	uint32_t bits; /* 32 or 128; the bytes behind them are 0 */
	uint32_t scope;
	uint8_t bytes[16];
};

/* The same size whatever is in it: what is not used is 0. */
struct resolver_answer {
	uint64_t id;
	uint32_t wrong, count;
	uint32_t lives_s, nothing;
	struct resolver_address address[NAME_ADDRESSES_MAX];
};

/* In the relay: checks an answer of any bytes, and takes it apart. False: only a resolver that was
 * taken over says so. The id is not looked at. */
bool resolver_answer_take(
	const struct resolver_answer *told, size_t length, struct name_answer *answer);

/* In the resolver, and in tests. */
void resolver_address_put(struct resolver_address *address, const struct source *source);

#endif
