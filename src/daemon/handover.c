/* SPDX-License-Identifier: ISC */
/*
 * In the runner, as who started it; and in the network process before it gives up that user and
 * has a filter.
 */
#include "daemon/handover.h"

#include <string.h>
#include <sys/mman.h>

static struct slice prefixes_copy(
	struct prefix *to, unsigned *count, const struct prefix *from, const struct slice *slice)
{
	struct slice copy = { .start = *count, .count = slice->count };

	memcpy(to + *count, from + slice->start, slice->count * sizeof(*to));
	*count += slice->count;
	return copy;
}

/* The prefixes that accounts inherit are there once for each; there are at most so many as fit. */
static struct slice prefixes_tell(
	struct network_conf *network_conf, const struct conf *conf, unsigned account, bool is_to)
{
	const struct account *own = &conf->accounts[account];
	const struct slice *slice = is_to ? &own->to : &own->from;

	for (unsigned i = 0; i < account; i++) {
		const struct account *other = &conf->accounts[i];
		const struct network_account *copied = &network_conf->account[i];
		const struct slice *others = is_to ? &other->to : &other->from;

		if (others->start == slice->start && others->count == slice->count)
			return is_to ? copied->to : copied->from;
	}
	return prefixes_copy(
		network_conf->prefixes, &network_conf->prefixes_count, conf->prefixes, slice);
}

void network_conf_fill(struct network_conf *network_conf, const struct conf *conf)
{
	network_conf->idle = conf->idle;
	network_conf->prefixes_count = 0;
	network_conf->accounts_count = conf->accounts_count;
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const struct account *account = &conf->accounts[i];

		network_conf->account[i] = (struct network_account){
			.from = prefixes_tell(network_conf, conf, i, false),
			.to = prefixes_tell(network_conf, conf, i, true),
			.limit = account->limit,
			.interval = account->interval,
			.read_timeout = account->read_timeout,
			.bare_lf = account->bare_lf,
		};
	}
}

void network_conf_take(const struct network_conf *network_conf, struct conf *conf)
{
	conf->idle = network_conf->idle;
	conf->accounts_count = network_conf->accounts_count;
	conf->prefixes_count = network_conf->prefixes_count;
	memcpy(conf->prefixes, network_conf->prefixes,
		network_conf->prefixes_count * sizeof(network_conf->prefixes[0]));
	for (unsigned i = 0; i < network_conf->accounts_count; i++) {
		const struct network_account *account = &network_conf->account[i];

		conf->accounts[i] = (struct account){
			.from = account->from,
			.to = account->to,
			.limit = account->limit,
			.interval = account->interval,
			.read_timeout = account->read_timeout,
			.bare_lf = account->bare_lf,
		};
	}
}

struct shared *shared_map(int memory)
{
	void *shared =
		mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

	return shared == MAP_FAILED ? NULL : shared;
}
