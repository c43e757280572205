/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-send: as who started it, before it is confined. */
#include "sender/host.h"

#include <string.h>

#include "lib/text.h"

bool port_parse(const char *text, uint16_t *port)
{
	uint64_t number;

	if (!number_parse(text, UINT16_MAX, &number) || number == 0)
		return false;
	*port = (uint16_t)number;
	return true;
}

/* As names of machines are; so it is no option to whoever looks it up, and no path. What is of
 * digits and dots alone was meant to be an address, and is an incomplete one to some. */
static bool is_host_name(const char *name)
{
	bool has_letter = false;

	for (const char *c = name; *c != '\0'; c++) {
		if (!is_letter(*c) && !is_digit(*c) && *c != '_' &&
			(c == name || (*c != '-' && *c != '.')))
			return false;
		has_letter |= is_letter(*c);
	}
	return has_letter;
}

void host_add(struct host *host, const struct source *address)
{
	if (host->count == HOST_ADDRESSES_MAX ||
		(host->only != SOURCE_UNKNOWN && host->only != address->kind))
		return;
	for (unsigned i = 0; i < host->count; i++)
		if (memcmp(&host->address[i], address, sizeof(*address)) == 0)
			return;
	host->address[host->count++] = *address;
}

const char *host_parse(
	struct host *host, const char *text, uint16_t default_port, enum source_kind only)
{
	struct source address;
	const char *port;

	*host = (struct host){ .text = text, .port = default_port, .only = only };
	if (!source_split(text, host->name, &port))
		return "it is neither an address nor a name";
	if (port != NULL && !port_parse(port, &host->port))
		return "the port is not a number from 1 to 65535";
	if (source_parse(host->name, &address)) {
		host_add(host, &address);
		return host->count == 0 ? "it is an address of the other kind" : NULL;
	}
	host->is_name = is_host_name(host->name) && *text != '[';
	return host->is_name ? NULL : "it is neither an address nor a name";
}
