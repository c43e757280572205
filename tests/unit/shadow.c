/* SPDX-License-Identifier: ISC */
/*
 * Who is never reached. The reference looks at each pair of addresses of a small world: what is said to
 * be never reached, no connection reaches; and where single words take all of it, that is said.
 */
#include "unit.h"

#include "conf/conf.h"

static struct conf conf;
static char said[16384];
static unsigned errors;

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	size_t length = strlen(said);

	assert_ptr_equal(context, said);
	errors += severity == SEVERITY_ERROR;
	(void)snprintf(said + length, sizeof(said) - length, "%s:%u: %s%s\n", file, line,
		severity == SEVERITY_WARNING ? "" : "error: ", message);
	assert_true(strlen(said) < sizeof(said) - 1);
}

/* Each line is an option of the command line, so the file's name is "-o". */
static const char *shadows_of(const char *lines)
{
	char text[1024], *rest = text, *line;
	unsigned number = 0;

	(void)snprintf(text, sizeof(text), "user nobody\naction /bin/true\n%s", lines);
	memset(&conf, 0, sizeof(conf));
	said[0] = '\0';
	errors = 0;
	conf_begin(&conf, report, said);
	conf.reading.report.advises = true;
	while ((line = strsep(&rest, "\n")) != NULL)
		conf_option(&conf, line, ++number);
	assert_true(conf_end(&conf));
	assert_int_equal(errors, 0);
	return said;
}

static void shadow_of_an_account_and_of_a_word(void **state)
{
#define NEVER(line, who, other) \
	"-o:" #line ": account " #who " is never reached: account " #other \
	" takes all of it first\n"
#define WORD(line, keyword, word, who, other) \
	"-o:" #line ": " keyword ": '" word "' of account " #who \
	" is never reached: account " #other " takes it first\n"
#define NOTHING(line, keyword, word, other) \
	"-o:" #line ": " keyword ": '" word "' says nothing new: '" other \
	"' on the same line takes it\n"
	static const char *const table[][2] = {
		{ "account a\nfrom any\naccount b\nfrom 192.0.2.1", NEVER(5, b, a (line 3)) },
		{ "account a\nfrom any\naccount b\nfrom local", NEVER(5, b, a (line 3)) },
		{ "account a\nfrom 192.0.2.1\naccount b\nfrom any", "" },
		{ "account a\nfrom 192.0.2.1\naccount b\nfrom 192.0.2.1", NEVER(5, b, a (line 3)) },
		{ "account a\nfrom 192.0.2.0/24\naccount b\nfrom 192.0.2.9 192.0.3.9",
			WORD(6, "from", "192.0.2.9", b, a (line 3)) },
		{ "from any\naccount a\naccount b", NEVER(5, b, a (line 4)) }, /* inherited */
		{ "from any\naccount a\nto ::1\naccount b", "" },
		{ "account a\nfrom any\naccount b\nfrom any\nto ::1", NEVER(5, b, a (line 3)) },
		{ "account a\nfrom any\nto ::1\naccount b\nfrom any\nto ::1 ::2",
			WORD(8, "to", "::1", b, a (line 3)) },
		{ "account a\nfrom ::1\nto ::1\naccount b\nfrom ::1 ::2\nto ::1 ::2", "" },
		/* The first pair's is named. */
		{ "account a\nfrom ::1\naccount b\nfrom ::2\naccount c\nfrom ::2 ::1",
			NEVER(7, c, b (line 5)) },
		{ "account a\nfrom ::1\naccount b\nfrom ::2\naccount c\nfrom ::3 ::2 ::1",
			WORD(8, "from", "::2", c, b (line 5)) WORD(8, "from", "::1", c, a (line 3)) },
		/* One that is never reached itself takes nothing first. */
		{ "account a\nfrom any\naccount b\nfrom ::1\naccount c\nfrom ::1",
			NEVER(5, b, a (line 3)) NEVER(7, c, a (line 3)) },
		/* On one line: the wider one takes it; of two that are the same, the first. */
		{ "from ::1 any", NOTHING(3, "from", "::1", "any") },
		{ "from any ::1", NOTHING(3, "from", "::1", "any") },
		{ "from ::1 ::1 ::1", NOTHING(3, "from", "::1", "::1") NOTHING(3, "from", "::1", "::1") },
		{ "from ::1 0::1", NOTHING(3, "from", "0::1", "::1") },
		{ "from any\nto ::/0 ::1", NOTHING(4, "to", "::1", "::/0") },
		{ "from ::1 ::1\naccount a\naccount b\nto ::2", /* what is inherited is said once */
			NOTHING(3, "from", "::1", "::1") NEVER(5, b, a (line 4)) },
		{ "from ::1 ::2", "" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		const char *got = shadows_of(table[i][0]);

		if (strcmp(got, table[i][1]) != 0)
			fail_msg("%s\nsaid:\n%swanted:\n%s", table[i][0], got, table[i][1]);
	}
}

/* ---- A small world ---- */

/* Networks of which one holds another, or not. `to` takes the first TO_WORDS of them. */
static const char *const words[] = { "192.0.2.0/30", "192.0.2.0/31", "192.0.2.2/31", "192.0.2.0/32",
	"192.0.2.1", "192.0.2.2", "0.0.0.0/0", "::/0", "any", "local" };
#define TO_WORDS 8

/* An address in each, and one in no other. */
static const char *const places[] = { "192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3",
	"198.51.100.1", "::1", "" };

#define ACCOUNTS 4

static struct source place_of(unsigned i)
{
	struct source source = { .kind = SOURCE_LOCAL };

	if (*places[i] != '\0')
		assert_true(source_parse(places[i], &source));
	return source;
}

static bool word_holds(const struct networks *networks, unsigned word, unsigned place)
{
	const struct source source = place_of(place);

	return prefix_holds(&networks->prefix[word], &source);
}

/* Does a word of one hold each place that a word of the other holds? */
static bool word_takes(
	const struct networks *networks, unsigned word, const struct networks *other, unsigned other_word)
{
	for (unsigned i = 0; i < COUNT(places); i++)
		if (word_holds(other, other_word, i) && !word_holds(networks, word, i))
			return false;
	return true;
}

/* Does a single word of `from`, with one of `to`, of an earlier account take all of this pair? */
static bool pair_is_taken(unsigned account, unsigned f, unsigned t)
{
	const struct account *one = &conf.accounts[account];

	for (const struct account *other = conf.accounts; other < one; other++) {
		bool from = false, to = other->to.count == 0;

		for (unsigned i = 0; i < other->from.count; i++)
			from = from || word_takes(&other->from, i, &one->from, f);
		for (unsigned i = 0; i < other->to.count && one->to.count != 0; i++)
			to = to || word_takes(&other->to, i, &one->to, t);
		if (from && to)
			return true;
	}
	return false;
}

static bool pairs_are_taken(unsigned account, int f, int t)
{
	const struct account *one = &conf.accounts[account];
	unsigned tos = one->to.count == 0 ? 1 : one->to.count;

	for (unsigned i = 0; i < one->from.count; i++)
		for (unsigned k = 0; k < tos; k++)
			if ((f < 0 || (unsigned)f == i) && (t < 0 || (unsigned)t == k) &&
				!pair_is_taken(account, i, k))
				return false;
	return true;
}

static bool is_reached(unsigned account)
{
	for (unsigned f = 0; f < COUNT(places); f++)
		for (unsigned t = 0; t < COUNT(places); t++) {
			const struct source from = place_of(f), to = place_of(t);

			if (conf_account(&conf, &from, &to) == &conf.accounts[account])
				return true;
		}
	return false;
}

static char *word_add(char *end, const char *keyword, unsigned most, uint64_t *seed)
{
	unsigned count = 1 + random_below(seed, 2);

	end += sprintf(end, "%s", keyword);
	while (count-- > 0)
		end += sprintf(end, " %s", words[random_below(seed, most)]);
	return end + sprintf(end, "\n");
}

/* How often ": 'WORD' of account NAME is never reached" must be said of a keyword. */
static unsigned words_taken(unsigned account, bool is_to)
{
	const struct account *one = &conf.accounts[account];
	unsigned count = 0;

	for (unsigned i = 0; i < (is_to ? one->to.count : one->from.count); i++)
		count += pairs_are_taken(account, is_to ? -1 : (int)i, is_to ? (int)i : -1);
	return count;
}

static unsigned count_of(const char *text, const char *keyword, const char *name)
{
	char end[64];
	unsigned count = 0;

	(void)snprintf(end, sizeof(end), "' of account %s is never reached: ", name);
	for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
		const char *newline = strchr(line, '\n'), *at = strstr(line, end);

		count += at != NULL && at < newline && strstr(line, keyword) < at &&
			 strstr(line, keyword) != NULL;
	}
	return count;
}

static void shadow_is_said_where_single_words_take_all(void **state)
{
	uint64_t seed = 3;
	unsigned accounts = 0, single_words = 0;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		char lines[1024], *end = lines, sentence[64];
		const char *got;

		for (unsigned i = 0; i < ACCOUNTS; i++) {
			end += sprintf(end, "account %c\n", 'a' + (int)i);
			end = word_add(end, "from", COUNT(words), &seed);
			if (random_below(&seed, 2) == 0)
				end = word_add(end, "to", TO_WORDS, &seed);
		}
		got = shadows_of(lines);
		for (unsigned i = 0; i < ACCOUNTS; i++) {
			const char *name = conf.accounts[i].name;
			bool is_said, is_taken = pairs_are_taken(i, -1, -1);

			(void)snprintf(
				sentence, sizeof(sentence), ": account %s is never reached: ", name);
			is_said = strstr(got, sentence) != NULL;
			if (is_said != is_taken || (is_said && is_reached(i)) ||
				count_of(got, ": from: '", name) !=
					(is_taken ? 0 : words_taken(i, false)) ||
				count_of(got, ": to: '", name) !=
					(is_taken ? 0 : words_taken(i, true)))
				fail_msg("%s\n%saccount %s", lines, got, name);
			accounts += is_said;
			single_words += is_said ? 0 : words_taken(i, false) + words_taken(i, true);
		}
	}
	assert_true(accounts > 500 && single_words > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shadow_of_an_account_and_of_a_word),
		cmocka_unit_test(shadow_is_said_where_single_words_take_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
