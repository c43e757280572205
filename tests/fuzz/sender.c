/* SPDX-License-Identifier: ISC */
/*
 * What nmnotify-send and nmnotify-login are told: a host is an address or a name that can be nobody's
 * option or path; a notice is one that the relay can take apart again; of what getent(1) prints only
 * addresses are taken, each once.
 *
 * Input: a text, a NUL, and what getent has printed.
 */
#include "fuzz.h"
#include "lib/text.h"
#include "sender/host.h"
#include "sender/names.h"
#include "sender/notice.h"

#define TEXT_MAX 600

static void check_addresses(const struct host *host)
{
	must(host->count <= HOST_ADDRESSES_MAX);
	for (unsigned i = 0; i < host->count; i++) {
		must(host->only == SOURCE_UNKNOWN || host->only == host->address[i].kind);
		must(host->address[i].kind == SOURCE_IPV4 || host->address[i].kind == SOURCE_IPV6);
		for (unsigned k = 0; k < i; k++)
			must(memcmp(&host->address[i], &host->address[k], sizeof(*host->address)) != 0);
	}
}

static void check_host(const char *text, enum source_kind only)
{
	static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	struct host host;
	struct source address;

	if (host_parse(&host, text, 79, only) != NULL) {
		must(only != SOURCE_UNKNOWN || !source_parse(text, &address));
		return;
	}
	must(host.port != 0);
	must(host.is_name == (host.count == 0));
	must(strncmp(text + (*text == '['), host.name, strlen(host.name)) == 0);
	check_addresses(&host);
	if (host.is_name)
		must(strlen(host.name) < 256 && host.name[strspn(host.name, fit)] == '\0' &&
			strchr("-.", host.name[0]) == NULL);
	else
		must(source_parse(host.name, &address));
}

/* As the relay has to read it. */
static void check_mail(const char *user, bool is_early)
{
	const char *word = is_early ? "early " : "mail ";
	struct notice notice;

	if (notice_of_mail(&notice, user, is_early) != NULL)
		return;
	must(notice.length <= NOTICE_MAX && notice.length == strlen(word) + strlen(user));
	must(memcmp(notice.bytes, word, strlen(word)) == 0);
	must(memcmp(notice.bytes + strlen(word), user, strlen(user)) == 0);
	for (size_t i = 0; i < notice.length; i++)
		must((unsigned char)notice.bytes[i] >= 32 && notice.bytes[i] != 127);
}

static void check_login(const char *user, const char *address)
{
	struct notice notice;
	struct source wanted = { .kind = SOURCE_UNKNOWN }, told = { .kind = SOURCE_UNKNOWN };
	const char *space;

	if (notice_of_login(&notice, user, address) != NULL)
		return;
	must(notice.length <= NOTICE_MAX && strlen(notice.bytes) == notice.length);
	space = strrchr(notice.bytes, ' ');
	must(space != NULL && (size_t)(space - notice.bytes) == 6 + strlen(user));
	must(memcmp(notice.bytes, "login ", 6) == 0);
	must(memcmp(notice.bytes + 6, user, strlen(user)) == 0);
	must(source_parse(address, &wanted) && source_parse(space + 1, &told));
	must(memcmp(&wanted, &told, sizeof(told)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	enum source_kind only = (enum source_kind)(take_byte(&input) % 4);
	struct host host = { .only = only == SOURCE_LOCAL ? SOURCE_UNKNOWN : only };
	char text[TEXT_MAX], address[SOURCE_TEXT_MAX + 8];

	take_text(&input, '\0', text, sizeof(text));
	check_host(text, host.only);
	check_mail(text, true);
	check_mail(text, false);
	/* Memory of just that size, so that a byte beyond is found out. */
	if (input.length > 0) {
		char *printed = malloc(input.length);

		must(printed != NULL);
		memcpy(printed, input.bytes, input.length);
		names_take(&host, printed, input.length);
		free(printed);
	}
	check_addresses(&host);
	take_text(&input, '\n', address, sizeof(address));
	check_login(text, address);
	return 0;
}
