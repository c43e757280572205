/* SPDX-License-Identifier: ISC */
/* Whether nftables, and the older kind of iptables beside it, let the listener's port through, as
 * far as their rules can be read without knowing who will come: a chain that drops what no rule has
 * accepted, in a table where no rule and no set names the port. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/check.h"
#include "ctl/command.h"
#include "lib/text.h"

#define PORT_FINGER 79

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

/* Is the port in it, as a number, in a set, or in a range? Nothing else in a rule is likely to be
 * that number; if it is, a finding is missed, and none is made up. */
static bool names_port(json_t *value)
{
	json_t *range = json_object_get(value, "range");

	if (json_is_integer(value))
		return json_integer_value(value) == PORT_FINGER;
	if (json_array_size(range) == 2)
		return json_integer_value(json_array_get(range, 0)) <= PORT_FINGER &&
		       json_integer_value(json_array_get(range, 1)) >= PORT_FINGER;
	for (size_t i = 0; i < json_array_size(value); i++)
		if (names_port(json_array_get(value, i)))
			return true;
	for (void *at = json_object_iter(value); at != NULL; at = json_object_iter_next(value, at))
		if (names_port(json_object_iter_value(at)))
			return true;
	return false;
}

/* Does a rule of iptables' own language stand there, which nft cannot show? */
static bool is_opaque(const json_t *rule)
{
	const json_t *expressions = json_object_get(rule, "expr");

	for (size_t i = 0; i < json_array_size(expressions); i++)
		if (json_object_get(json_array_get(expressions, i), "xt") != NULL)
			return true;
	return false;
}

static bool is_of_table(const json_t *one, const json_t *chain)
{
	return strcmp(text_of(one, "family"), text_of(chain, "family")) == 0 &&
	       strcmp(text_of(one, "table"), text_of(chain, "table")) == 0;
}

/* Does anything in the chain's table say what becomes of the port? Its chains can call each other.
 */
static bool table_names_port(const json_t *ruleset, const json_t *chain)
{
	for (size_t i = 0; i < json_array_size(ruleset); i++) {
		const json_t *object = json_array_get(ruleset, i);
		json_t *rule = json_object_get(object, "rule"),
		       *set = json_object_get(object, "set"), *map = json_object_get(object, "map");

		if (rule != NULL && is_of_table(rule, chain) &&
			(is_opaque(rule) || names_port(json_object_get(rule, "expr"))))
			return true;
		if (set != NULL && is_of_table(set, chain) &&
			names_port(json_object_get(set, "elem")))
			return true;
		if (map != NULL && is_of_table(map, chain) &&
			names_port(json_object_get(map, "elem")))
			return true;
	}
	return false;
}

/* A rule that lets nothing past it: `drop` or `reject`, without a condition. */
static bool is_end(const json_t *rule)
{
	const json_t *expressions = json_object_get(rule, "expr");
	bool is_refused = false;

	for (size_t i = 0; i < json_array_size(expressions); i++) {
		const json_t *one = json_array_get(expressions, i);

		if (json_object_get(one, "drop") != NULL || json_object_get(one, "reject") != NULL)
			is_refused = true;
		else if (json_object_get(one, "counter") == NULL &&
			 json_object_get(one, "log") == NULL)
			return false;
	}
	return is_refused;
}

static bool has_end(const json_t *ruleset, const json_t *chain)
{
	for (size_t i = 0; i < json_array_size(ruleset); i++) {
		const json_t *rule = json_object_get(json_array_get(ruleset, i), "rule");

		if (rule != NULL && is_of_table(rule, chain) &&
			strcmp(text_of(rule, "chain"), text_of(chain, "name")) == 0 && is_end(rule))
			return true;
	}
	return false;
}

static bool keeps_out(const json_t *ruleset, const json_t *chain)
{
	return strcmp(text_of(chain, "hook"), "input") == 0 &&
	       (strcmp(text_of(chain, "policy"), "drop") == 0 || has_end(ruleset, chain)) &&
	       !table_names_port(ruleset, chain);
}

static void check_ruleset(struct check *check, const json_t *ruleset)
{
	bool is_fine = true;

	for (size_t i = 0; i < json_array_size(ruleset); i++) {
		const json_t *chain = json_object_get(json_array_get(ruleset, i), "chain");

		if (chain == NULL || !keeps_out(ruleset, chain))
			continue;
		is_fine = false;
		check_add(check, FINDING_WARNING,
			"let the mail server in, such as `nft insert rule FAMILY TABLE CHAIN ip "
			"saddr ADDRESS tcp dport 79 accept`, and where your rules are kept",
			"firewall: it may keep port 79 out: the chain %s %s %s drops what no rule "
			"accepts, and none there names the port",
			text_of(chain, "family"), text_of(chain, "table"), text_of(chain, "name"));
	}
	if (is_fine)
		check_add(check, FINDING_OK, NULL, "firewall: no chain of nftables keeps all out");
}

/* ---- iptables' older kind, which nft does not show ---- */

/* Is the port among "22,70:80"? */
static bool ports_name(const char *ports)
{
	uint64_t first, last;

	while (number_take(&ports, UINT16_MAX, &first)) {
		last = first;
		if (*ports == ':') {
			ports++;
			if (!number_take(&ports, UINT16_MAX, &last))
				last = UINT16_MAX; /* up to the last one */
		}
		if (first <= PORT_FINGER && last >= PORT_FINGER)
			return true;
		if (*ports++ != ',')
			break;
	}
	return false;
}

static bool line_names_port(const char *line)
{
	static const char *const words[] = { "--dport ", "--dports " };

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *at = strstr(line, words[i]);

		if (at != NULL && ports_name(at + strlen(words[i])))
			return true;
	}
	return false;
}

/* What -S says: a line for each chain's policy and each rule. `said` is changed. */
static bool list_keeps_out(char *said)
{
	static const char *const ends[] = { "-P INPUT DROP", "-A INPUT -j DROP",
		"-A INPUT -j REJECT" };
	char *rest = NULL;
	bool has_end_line = false, is_named = false;

	for (char *line = strtok_r(said, "\n", &rest); line != NULL;
		line = strtok_r(NULL, "\n", &rest)) {
		is_named = is_named || line_names_port(line);
		for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			has_end_line = has_end_line || strncmp(line, ends[i], strlen(ends[i])) == 0;
	}
	return has_end_line && !is_named;
}

/* Has the kernel such a table? To ask its program would make one. */
static bool has_filter(const char *names)
{
	FILE *stream = fopen(names, "re");
	char line[64];
	bool has = false;

	while (!has && stream != NULL && fgets(line, sizeof(line), stream) != NULL)
		has = strcmp(line, "filter\n") == 0;
	if (stream != NULL)
		(void)fclose(stream); /* opened for reading: nothing can be lost */
	return has;
}

static void check_older(struct check *check)
{
	static const struct {
		const char *names, *program, *other;
	} kinds[] = {
		{ "/proc/net/ip_tables_names", "iptables-legacy", "iptables" },
		{ "/proc/net/ip6_tables_names", "ip6tables-legacy", "ip6tables" },
	};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *words[] = { kinds[i].program, "-S", NULL };
		int status = 0;
		char *said;

		if (!has_filter(kinds[i].names))
			continue;
		said = command_read(words, COMMAND_OUTPUT, &status);
		if (said == NULL) {
			words[0] = kinds[i].other; /* where there is no newer kind */
			said = command_read(words, COMMAND_OUTPUT, &status);
		}
		if (said == NULL || status != 0)
			check_add(check, FINDING_UNKNOWN,
				"see what `iptables-save` says of port 79",
				"firewall: the kernel has rules of %s, and it does not list them",
				kinds[i].program);
		else if (list_keeps_out(said))
			check_add(check, FINDING_WARNING,
				"let the mail server in, such as `iptables -I INPUT -s ADDRESS -p "
				"tcp --dport 79 -j ACCEPT` (of IPv6, ip6tables), and where your "
				"rules are kept",
				"firewall: it may keep port 79 out: INPUT of %s drops what no rule "
				"accepts, and none names the port",
				words[0]);
		free(said);
	}
}

/* What nft says, for json_decref(); NULL: there is none here, or it fails, and then *is_there. */
static json_t *ruleset_read(bool *is_there)
{
	static const char *const words[] = { "nft", "--json", "list", "ruleset", NULL };
	int status = 0;
	char *said = command_read(words, COMMAND_OUTPUT, &status);
	json_t *document = said == NULL || status != 0 ? NULL : json_loads(said, 0, NULL);

	*is_there = said != NULL;
	free(said);
	return document;
}

void check_firewall(struct check *check)
{
	json_t *document;
	bool is_there;

	if (!check->has_listener || check->is_own_conf || !check->is_root)
		return; /* only root may see the rules */
	check_older(check);
	document = ruleset_read(&is_there);
	if (document != NULL)
		check_ruleset(check, json_object_get(document, "nftables"));
	else if (is_there)
		check_add(check, FINDING_UNKNOWN, "see what `nft --json list ruleset` says",
			"firewall: nft cannot list its rules");
	else
		check_add(check, FINDING_OK, NULL, "firewall: not looked at, there is no nft here");
	json_decref(document);
}

/* The port that a rule redirects ours to, if it is a number; 0: none. */
static unsigned redirected_by(const json_t *rule)
{
	json_t *expressions = json_object_get(rule, "expr");
	json_int_t port = 0;

	for (size_t i = 0; i < json_array_size(expressions); i++) {
		json_t *to = json_object_get(json_array_get(expressions, i), "redirect");

		if (to != NULL)
			port = json_integer_value(json_object_get(to, "port"));
	}
	return port > 0 && port <= UINT16_MAX && names_port(expressions) ? (unsigned)port : 0;
}

unsigned check_redirected(const struct check *check)
{
	bool is_there;
	json_t *document = check->is_root ? ruleset_read(&is_there) : NULL;
	json_t *ruleset = json_object_get(document, "nftables");
	unsigned port = 0;

	for (size_t i = 0; i < json_array_size(ruleset) && port == 0; i++)
		port = redirected_by(json_object_get(json_array_get(ruleset, i), "rule"));
	json_decref(document);
	return port;
}
