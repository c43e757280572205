/* SPDX-License-Identifier: ISC */
/* Whether nftables let the listener's port through, as far as its rules can be read without knowing
 * who will come: a chain that drops what no rule has accepted, in a table where no rule and no set
 * names the port. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/check.h"
#include "ctl/command.h"

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

static bool keeps_out(const json_t *ruleset, const json_t *chain)
{
	return strcmp(text_of(chain, "hook"), "input") == 0 &&
	       strcmp(text_of(chain, "policy"), "drop") == 0 && !table_names_port(ruleset, chain);
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

void check_firewall(struct check *check)
{
	static const char *const words[] = { "nft", "--json", "list", "ruleset", NULL };
	json_t *document;
	int status = 0;
	char *said;

	if (!check->has_listener || check->is_own_conf || !check->is_root)
		return; /* only root may see the rules */
	said = command_read(words, COMMAND_OUTPUT, &status);
	document = said == NULL || status != 0 ? NULL : json_loads(said, 0, NULL);
	if (document != NULL)
		check_ruleset(check, json_object_get(document, "nftables"));
	else if (said != NULL)
		check_add(check, FINDING_UNKNOWN, "see what `nft --json list ruleset` says",
			"firewall: nft cannot list its rules");
	else
		check_add(check, FINDING_OK, NULL, "firewall: not looked at, there is no nft here");
	json_decref(document);
	free(said);
}
