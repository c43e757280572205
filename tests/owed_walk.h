/* SPDX-License-Identifier: ISC */
/*
 * A walk of events, logins, sendings and deaths through the owed table, and an oracle too simple to
 * be wrong: it keeps every event until it is met. By chance in unit/owed.c, by the fuzzer's choice
 * in fuzz/owed.c. Whoever includes it has before:
 *
 *     walk_must(condition)  fails if that does not hold
 *     walk_draw(most)       a number below that
 *     owed, open_at(state, now), die()
 *     at(ms), destination_of(text), SETTLE, INTERVAL
 */
#ifndef NMNOTIFY_OWED_WALK_H
#define NMNOTIFY_OWED_WALK_H

#define USERS        6
#define DESTINATIONS 3
#define EVENTS       64

/* A user's events that are not met at a destination. */
struct unmet {
	unsigned count;
	struct {
		uint64_t due;
	} event[EVENTS];
};

static struct {
	struct unmet unmet[USERS][DESTINATIONS];
	uint64_t noted[USERS]; /* the last event */
	/* A login covered one destination of several; which a death then forgets. */
	bool is_partial[USERS], is_forgotten[USERS];
	uint64_t began[DESTINATIONS], failed[DESTINATIONS], not_before[DESTINATIONS];
	unsigned failures[DESTINATIONS];
	struct target *busy[DESTINATIONS];
	uint64_t order[DESTINATIONS]; /* of the beginning, among all that happened */
	uint64_t last;
	unsigned begun;
} walk;

/* Times that tell what was first, though it be of one millisecond. */
static uint64_t order_next(uint64_t now)
{
	walk.last = walk.last + 1 > now * 1024 ? walk.last + 1 : now * 1024;
	return walk.last;
}

/* User 0 has all destinations, the others one. */
static bool is_routed(unsigned user, unsigned destination)
{
	return user == 0 || user % DESTINATIONS == destination;
}

static struct destination destination_number(unsigned i)
{
	char address[32];

	(void)snprintf(address, sizeof(address), "192.0.2.%u", i + 1);
	return destination_of(address);
}

static void walk_route(void)
{
	struct addressee *addressee;

	while ((addressee = owed_unrouted(owed)) != NULL) {
		unsigned user = (unsigned)(addressee_name(addressee)[1] - '0');

		owed_route_begin(owed, addressee);
		for (unsigned i = 0; i < DESTINATIONS; i++) {
			struct destination destination = destination_number(i);

			if (is_routed(user, i))
				owed_route_add(owed, addressee, &destination, NULL, VIA_CONFIGURED);
		}
		owed_route_end(owed, addressee);
	}
}

static void walk_note(unsigned user, bool is_early, uint64_t now)
{
	const char name[] = { 'u', (char)('0' + user), '\0' };
	uint64_t order = order_next(now);

	for (unsigned i = 0; i < DESTINATIONS; i++) {
		struct unmet *unmet = &walk.unmet[user][i];

		if (!is_routed(user, i))
			continue;
		if (unmet->count == EVENTS)
			return;
		unmet->event[unmet->count++].due = order + (is_early ? SETTLE * 1024 : 0);
	}
	walk.noted[user] = now;
	walk_must(owed_note(owed, name, is_early, at(now)) != NULL);
}

static void unmet_remove(struct unmet *unmet, uint64_t due)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < unmet->count; i++)
		if (unmet->event[i].due > due)
			unmet->event[kept++] = unmet->event[i];
	unmet->count = kept;
}

/* All or none: as long as the last is too young, the login covers none of them. */
static void walk_login(unsigned user, unsigned destination, uint64_t now)
{
	const char name[] = { 'u', (char)('0' + user), '\0' };
	struct destination from = destination_number(destination);

	if (walk.noted[user] + SETTLE <= now) {
		walk.unmet[user][destination].count = 0;
		walk.is_partial[user] = true;
	}
	owed_login(owed, name, &from.address, at(now));
}

static unsigned number_of(const struct target *target)
{
	return target_destination(target)->address.address[3] - 1u;
}

static bool has_due(unsigned destination, uint64_t now)
{
	for (unsigned user = 0; user < USERS; user++)
		for (unsigned i = 0; i < walk.unmet[user][destination].count; i++)
			if (walk.unmet[user][destination].event[i].due <= now * 1024)
				return true;
	return false;
}

static void walk_begin(uint64_t now)
{
	struct target *target;

	while ((target = owed_pick(owed, at(now))) != NULL) {
		unsigned i = number_of(target);

		walk_must(walk.busy[i] == NULL); /* S2 */
		walk_must(walk.began[i] == 0 || now + 1 >= walk.began[i] + INTERVAL); /* S2 */
		walk.busy[i] = target;
		walk.began[i] = now;
		walk.order[i] = order_next(now);
		walk.begun++;
		owed_begins(owed, target, at(now));
	}
	for (unsigned i = 0; i < DESTINATIONS; i++) { /* S1 */
		if (walk.busy[i] != NULL || !has_due(i, now))
			continue;
		walk_must((walk.began[i] != 0 && now <= walk.began[i] + INTERVAL) ||
			    now < walk.not_before[i]);
	}
}

static void walk_end(unsigned i, bool is_done, uint64_t now)
{
	struct target *target = walk.busy[i];

	walk.busy[i] = NULL;
	if (is_done) {
		walk.failures[i] = 0;
		walk.not_before[i] = 0;
		for (unsigned user = 0; user < USERS; user++)
			unmet_remove(&walk.unmet[user][i], walk.order[i]);
		owed_done(owed, target);
	} else {
		uint64_t rest = 1000ull << walk.failures[i];

		walk.failures[i] += walk.failures[i] < 10;
		walk.not_before[i] = now + (rest < 300000 ? rest : 300000);
		owed_failed(owed, target, at(now));
	}
}

static void walk_die(void **state, uint64_t now)
{
	die();
	for (unsigned i = 0; i < DESTINATIONS; i++)
		if (walk.busy[i] != NULL)
			walk.began[i] = now;
	memset(walk.busy, 0, sizeof(walk.busy));
	memset(walk.not_before, 0, sizeof(walk.not_before)); /* it tries at once */
	for (unsigned user = 0; user < USERS; user++)
		walk.is_forgotten[user] = walk.is_forgotten[user] || walk.is_partial[user];
	open_at(state, now);
	walk_route();
}

static unsigned count_unmet(unsigned user)
{
	unsigned count = 0;

	for (unsigned i = 0; i < DESTINATIONS; i++)
		count += walk.unmet[user][i].count;
	return count;
}

static void walk_step(void **state, uint64_t now)
{
	unsigned user = walk_draw(USERS), destination = walk_draw(DESTINATIONS);

	switch (walk_draw(10)) {
	case 0:
	case 1:
	case 2: walk_note(user, walk_draw(3) == 0, now); break;
	case 3: walk_login(user, destination, now); break;
	case 4:
	case 5:
	case 6:
		if (walk.busy[destination] != NULL)
			walk_end(destination, walk_draw(3) != 0, now);
		break;
	case 7:
		if (walk_draw(20) == 0)
			walk_die(state, now);
		break;
	default: break;
	}
	walk_route();
	walk_begin(now);
	for (user = 0; user < USERS; user++) {
		const char name[] = { 'u', (char)('0' + user), '\0' };

		if (owed_find(owed, name) == NULL)
			walk.is_partial[user] = walk.is_forgotten[user] = false;
		walk_must((owed_find(owed, name) != NULL) == (count_unmet(user) != 0) ||
			walk.is_forgotten[user]);
	}
}

#endif
