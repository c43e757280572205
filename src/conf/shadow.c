/* SPDX-License-Identifier: ISC */
#include "conf/shadow.h"

#include <stddef.h>

/* A word of an account's `from` together with one of its `to`, or with every local address. */
struct combination {
	const struct prefix *from, *to; /* `to` NULL: every one */
};

static unsigned to_count(const struct account *account)
{
	return account->to.count == 0 ? 1 : account->to.count;
}

static const struct prefix *to_at(const struct account *account, unsigned i)
{
	return account->to.count == 0 ? NULL : &account->to.prefix[i];
}

static bool combination_is_covered(
	const struct account *account, const struct combination *combination)
{
	for (unsigned t = 0; t < to_count(account); t++) {
		const struct prefix *to = to_at(account, t);

		if (to != NULL && (combination->to == NULL || !prefix_covers(to, combination->to)))
			continue;
		for (unsigned f = 0; f < account->from.count; f++)
			if (prefix_covers(&account->from.prefix[f], combination->from))
				return true;
	}
	return false;
}

/* The first account before it that takes all of the combination. */
static const struct account *combination_shadow(const struct conf *conf,
	const struct account *account, const struct combination *combination)
{
	for (const struct account *one = conf->accounts; one < account; one++)
		if (combination_is_covered(one, combination))
			return one;
	return NULL;
}

/* A word of `from` or of `to`: the account that takes its first combination, if all of them are
 * taken.
 */
static const struct account *word_shadow(
	const struct conf *conf, const struct account *account, bool is_to, unsigned i)
{
	const struct account *first = NULL;
	unsigned others = is_to ? account->from.count : to_count(account);

	for (unsigned k = 0; k < others; k++) {
		const struct combination combination = {
			.from = &account->from.prefix[is_to ? k : i],
			.to = to_at(account, is_to ? i : k),
		};
		const struct account *shadow = combination_shadow(conf, account, &combination);

		if (shadow == NULL)
			return NULL;
		if (first == NULL)
			first = shadow;
	}
	return first;
}

static const struct account *account_shadow(const struct conf *conf, const struct account *account)
{
	const struct account *first = NULL;

	for (unsigned f = 0; f < account->from.count; f++) {
		const struct account *shadow = word_shadow(conf, account, false, f);

		if (shadow == NULL)
			return NULL;
		if (first == NULL)
			first = shadow;
	}
	return first;
}

static void warn(struct conf *conf, const char *keyword, const struct prefix_word *word,
	const struct account *account, const struct account *shadow)
{
	char place[PLACE_TEXT_MAX];

	report_at(&conf->reading.report, SEVERITY_WARNING, &word->place,
		"%s: '%s' of account %s is never reached: account %s (%s) takes it first", keyword,
		word->text, account->name, shadow->name,
		place_text(word->place.file, &shadow->place, place));
}

/* A word that another one of the same line takes, too; of two that are the same, the later. */
static void warn_twice(struct conf *conf, const char *keyword, const struct networks *networks)
{
	const struct prefix *prefix = networks->prefix;
	const struct prefix_word *word = networks->word;

	for (unsigned i = 0; i < networks->count; i++) {
		for (unsigned k = 0; k < networks->count; k++) {
			if (k == i || !prefix_covers(&prefix[k], &prefix[i]) ||
				(k > i && prefix_covers(&prefix[i], &prefix[k])))
				continue;
			report_at(&conf->reading.report, SEVERITY_WARNING, &word[i].place,
				"%s: '%s' says nothing new: '%s' on the same line takes it",
				keyword, word[i].text, word[k].text);
			break;
		}
	}
}

static void account_check(struct conf *conf, const struct account *account)
{
	const struct account *shadow = account_shadow(conf, account);
	char place[PLACE_TEXT_MAX];

	if (shadow != NULL) {
		report_at(&conf->reading.report, SEVERITY_WARNING, &account->place,
			"account %s is never reached: account %s (%s) takes all of it first",
			account->name, shadow->name,
			place_text(account->place.file, &shadow->place, place));
		return;
	}
	for (unsigned f = 0; f < account->from.count; f++) {
		shadow = word_shadow(conf, account, false, f);
		if (shadow != NULL)
			warn(conf, "from", &account->from.word[f], account, shadow);
	}
	for (unsigned t = 0; t < account->to.count; t++) {
		shadow = word_shadow(conf, account, true, t);
		if (shadow != NULL)
			warn(conf, "to", &account->to.word[t], account, shadow);
	}
}

void shadow_check(struct conf *conf)
{
	const struct prefix *from = NULL, *to = NULL;

	for (unsigned i = 0; i < conf->accounts_count; i++) {
		const struct account *account = &conf->accounts[i];

		account_check(conf, account);
		/* What is inherited is said once. */
		if (account->from.prefix != from)
			warn_twice(conf, "from", &account->from);
		if (account->to.prefix != to)
			warn_twice(conf, "to", &account->to);
		from = account->from.prefix;
		to = account->to.prefix;
	}
}
