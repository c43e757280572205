/* SPDX-License-Identifier: ISC */
/*
 * In the runner, as who started it; and in the network process before it gives up that user and
 * has a filter.
 */
#include "daemon/handover.h"

#include <string.h>
#include <sys/mman.h>

/* Prefixes that accounts inherit are copied once, so that all of them fit. */
static struct prefix_range networks_tell(
	struct network_conf *network_conf, const struct conf *conf, unsigned account, bool is_to)
{
	const struct account *own = &conf->accounts[account];
	const struct networks *networks = is_to ? &own->to : &own->from;
	struct prefix_range range = { .start = network_conf->prefixes_count,
		.count = networks->count };

	for (unsigned i = 0; i < account; i++) {
		const struct account *other = &conf->accounts[i];
		const struct network_account *told = &network_conf->account[i];

		if ((is_to ? &other->to : &other->from)->prefix == networks->prefix)
			return is_to ? told->to : told->from;
	}
	if (range.count != 0)
		memcpy(network_conf->prefixes + range.start, networks->prefix,
			range.count * sizeof(*networks->prefix));
	network_conf->prefixes_count += range.count;
	return range;
}

void network_conf_fill(struct network_conf *network_conf, const struct conf *conf)
{
	network_conf->idle = conf->idle;
	network_conf->prefixes_count = 0;
	network_conf->accounts_count = conf->accounts_count;
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const struct account *account = &conf->accounts[i];

		network_conf->account[i] = (struct network_account){
			.from = networks_tell(network_conf, conf, i, false),
			.to = networks_tell(network_conf, conf, i, true),
			.limit = account->limit,
			.interval = account->interval,
			.read_timeout = account->read_timeout,
			.bare_lf = account->bare_lf,
		};
	}
}

static struct networks networks_take(const struct prefix *prefixes, struct prefix_range range)
{
	return (struct networks){ .prefix = prefixes + range.start, .count = range.count };
}

void network_conf_take(const struct network_conf *network_conf, struct conf *conf)
{
	/* A copy: the runner's children, too, can write what they share. */
	static struct prefix prefixes[CONF_PREFIXES_MAX];

	memcpy(prefixes, network_conf->prefixes,
		network_conf->prefixes_count * sizeof(prefixes[0]));
	conf->idle = network_conf->idle;
	conf->accounts_count = network_conf->accounts_count;
	for (unsigned i = 0; i < network_conf->accounts_count; i++) {
		const struct network_account *account = &network_conf->account[i];

		conf->accounts[i] = (struct account){
			.from = networks_take(prefixes, account->from),
			.to = networks_take(prefixes, account->to),
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
