/* SPDX-License-Identifier: ISC */
#include "conf/ports.h"

#include <string.h>

#include "lib/text.h"

const struct port ports[] = {
	{ "ssh", 22 }, /* mbsync's Tunnel */
	{ "smtp", 25 },
	{ "domain", 53 },   /* an answer that is too long for UDP */
	{ "kerberos", 88 }, /* likewise */
	{ "pop3", 110 },
	{ "imap", 143 },
	{ "https", 443 }, /* tokens (OAuth), JMAP */
	{ "submissions", 465 },
	{ "submission", 587 },
	{ "imaps", 993 },
	{ "pop3s", 995 },
	{ "sieve", 4190 },
};
const unsigned ports_count = sizeof(ports) / sizeof(ports[0]);

bool port_parse(const char *word, uint16_t *number)
{
	uint64_t value;

	for (unsigned i = 0; i < ports_count; i++) {
		if (strcmp(word, ports[i].name) == 0) {
			*number = ports[i].number;
			return true;
		}
	}
	if (!number_parse(word, UINT16_MAX, &value) || value == 0)
		return false;
	*number = (uint16_t)value;
	return true;
}
