/* SPDX-License-Identifier: ISC */
/*
 * A configuration: any text is either refused with a message that says where, or is one in which
 * every account is whole and within its bounds. Each is read as -t reads it, with advice, and as a
 * start does: what is an error is the same, word for word.
 *
 * Input: lines that begin with "-o " are arguments of the command line; from the first other line
 * on, it is the file.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "policy/confine.h"
#include "fuzz.h"

#define OPTION_MAX  512
#define OPTIONS_MAX 8

struct attempt {
	const char *path;
	unsigned options, lines; /* how many there are */
	unsigned reports;
	bool advises;
	char said[65536]; /* the errors, as far as there is room */
	size_t length;
};

/* What root must have, a start by somebody else need not: the one error that is a warning to -t. */
static bool is_about_user(const char *message)
{
	return strstr(message, "has no 'user'") != NULL;
}

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	struct attempt *attempt = context;

	attempt->reports += severity == SEVERITY_ERROR;
	must(message != NULL && *message != '\0');
	must(severity == SEVERITY_ERROR || attempt->advises);
	if (severity == SEVERITY_ERROR && !is_about_user(message) &&
		attempt->length < sizeof(attempt->said))
		attempt->length += (size_t)snprintf(attempt->said + attempt->length,
			sizeof(attempt->said) - attempt->length, "%s:%u: %s\n", file, line,
			message);
	if (file == attempt->path)
		must(line <= attempt->lines);
	else
		must(strcmp(file, "-o") == 0 && line >= 1 && line <= attempt->options);
}

/* ---- What an account must be ---- */

static bool is_text_of(const struct conf *conf, const char *text)
{
	const char *end = conf->memory + conf->reading.memory_used;

	return text >= conf->memory && text < end &&
	       memchr(text, '\0', (size_t)(end - text)) != NULL;
}

static void check_kept(const struct conf *conf, const void *kept, size_t size)
{
	const char *bytes = kept;

	must(bytes >= conf->memory && size <= conf->reading.memory_used &&
		(size_t)(bytes - conf->memory) <= conf->reading.memory_used - size);
}

static void check_networks(const struct conf *conf, const struct networks *networks, bool is_to)
{
	must(networks->count <= conf->prefixes_count);
	if (networks->count != 0)
		check_kept(conf, networks->prefix, networks->count * sizeof(struct prefix));
	for (unsigned i = 0; i < networks->count; i++) {
		const struct prefix *prefix = &networks->prefix[i];

		must(prefix->kind <= PREFIX_ADDRESS);
		must(!is_to || prefix->kind == PREFIX_ADDRESS);
		if (prefix->kind == PREFIX_ADDRESS)
			must(prefix->bits <= (prefix->base.kind == SOURCE_IPV4 ? 32 : 128));
	}
}

static void check_action(const struct conf *conf, char **words)
{
	unsigned count = 0;

	must(words != NULL);
	do {
		must(count < conf->words_count);
		check_kept(conf, words, (count + 1) * sizeof(*words));
		must(words[count] == NULL || is_text_of(conf, words[count]));
	} while (words[count++] != NULL);
	must(count >= 2 && words[0][0] == '/');
}

static void check_paths(const struct conf *conf, const struct path_list *list)
{
	must(list->is_said || (list->count == 0 && !list->is_any && !list->has_default));
	must(!list->is_any || (list->count == 0 && !list->has_default));
	must(list->count <= conf->words_count);
	if (list->count != 0)
		check_kept(conf, list->word, list->count * sizeof(*list->word));
	for (unsigned i = 0; i < list->count; i++)
		must(is_text_of(conf, list->word[i]) &&
			(*list->word[i] == '/' || *list->word[i] == '~'));
}

static void check_ports(const struct conf *conf, const struct port_list *list)
{
	must(list->is_said || (list->count == 0 && !list->is_any && !list->has_default));
	must(!list->is_any || (list->count == 0 && !list->has_default));
	must(list->count <= conf->words_count);
	if (list->count != 0)
		check_kept(conf, list->port, list->count * sizeof(*list->port));
	for (unsigned i = 0; i < list->count; i++)
		must(list->port[i] != 0);
}

static void check_limit(struct rate rate)
{
	must(rate.emission.ms >= 1 && rate.burst >= 1);
	must(((uint64_t)rate.burst + 1) * rate.emission.ms <= SPAN_MAX_MS);
	must(rate_window(rate).ms == (rate.burst + 1) * rate.emission.ms);
}

static void check_account(const struct conf *conf, const struct account *account)
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t length = strlen(account->name);

	must(length >= 1 && length <= CONF_NAME_MAX && strspn(account->name, good) == length);
	must(strchr("._-", account->name[0]) == NULL);
	must(account->from.count >= 1);
	check_networks(conf, &account->from, false);
	check_networks(conf, &account->to, true);
	check_action(conf, account->action.words);
	check_paths(conf, &account->read);
	check_paths(conf, &account->write);
	check_paths(conf, &account->execute);
	check_ports(conf, &account->connect);
	must(account->landlock <= LANDLOCK_REQUIRED);
	check_limit(account->limit);
	must(account->interval.ms <= SPAN_MAX_MS);
	must(account->timeout.ms >= 1 && account->timeout.ms <= SPAN_MAX_MS);
	must(account->read_timeout.ms >= 1 && account->read_timeout.ms <= SPAN_MAX_MS);
	must(policy_find(account->confine) != NULL);
	must(account->user.text != NULL || geteuid() != 0 || conf->reading.report.advises);
	must(account->user.text == NULL || is_text_of(conf, account->user.text));
}

static void check_variables(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->variables_count; i++) {
		const char *text = conf->variables[i].text, *equals = strchr(text, '=');

		must(is_text_of(conf, text) && equals != NULL && equals != text);
		must(strncmp(text, "NMNOTIFY_", 9) != 0);
	}
}

/* The first account that takes a source; and any of them may be asked about. */
static void check_choice(const struct conf *conf)
{
	static const struct source sources[] = {
		{ .kind = SOURCE_UNKNOWN },
		{ .kind = SOURCE_LOCAL },
		{ .kind = SOURCE_IPV4, .address = { 192, 0, 2, 25 } },
		{ .kind = SOURCE_IPV6, .address = { 0x20, 0x01, 0x0d, 0xb8 } },
	};

	for (unsigned i = 0; i < COUNT(sources); i++) {
		const struct account *account = conf_account(conf, &sources[i], &sources[i]);

		must(account == NULL || (account >= conf->accounts &&
						account < conf->accounts + conf->accounts_count));
		must(i != 0 || account == NULL);
	}
}

static void check_whole(const struct conf *conf)
{
	must(conf->accounts_count >= 1 && conf->accounts_count <= CONF_ACCOUNTS_MAX);
	must(conf->prefixes_count <= CONF_PREFIXES_MAX && conf->words_count <= CONF_WORDS_MAX);
	must(conf->variables_count <= CONF_ENV_MAX && conf->reading.text_length <= CONF_BYTES_MAX);
	must(conf->log <= LOG_TARGET_STDERR && conf->idle.ms <= SPAN_MAX_MS);
	must(conf->state.text == NULL || conf->state.text[0] == '/');
	for (unsigned i = 0; i < conf->accounts_count; i++) {
		check_account(conf, &conf->accounts[i]);
		for (unsigned j = 0; j < i; j++)
			must(strcmp(conf->accounts[i].name, conf->accounts[j].name) != 0);
	}
	check_variables(conf);
	check_choice(conf);
}

/* ---- Reading ---- */

/* Only in memory, but a file like any other. */
static int file_make(void)
{
	int fd = memfd_create("conf", MFD_CLOEXEC);

	must(fd >= 0 && fchmod(fd, 0600) == 0);
	return fd;
}

static void file_fill(int fd, const uint8_t *bytes, size_t length)
{
	must(ftruncate(fd, 0) == 0);
	must(pwrite(fd, bytes, length, 0) == (ssize_t)length);
}

static unsigned count_lines(const uint8_t *bytes, size_t length)
{
	unsigned lines = 1;

	for (size_t i = 0; i < length; i++)
		lines += bytes[i] == '\n';
	return lines;
}

static void read_options(struct conf *conf, struct input *input, struct attempt *attempt)
{
	char option[OPTION_MAX];

	while (attempt->options < OPTIONS_MAX && input->length >= 3 &&
		memcmp(input->bytes, "-o ", 3) == 0) {
		take_text(input, '\n', option, sizeof(option));
		conf_option(conf, option + 3, ++attempt->options);
	}
}

static bool read_all(struct conf *conf, struct attempt *attempt, struct input input, int fd)
{
	bool good;

	memset(conf, 0, sizeof(*conf));
	conf_begin(conf, report, attempt);
	conf->reading.report.advises = attempt->advises;
	read_options(conf, &input, attempt);
	file_fill(fd, input.bytes, input.length);
	attempt->lines = count_lines(input.bytes, input.length);
	conf_file(conf, attempt->path, false);
	good = conf_end(conf);
	must(conf->reading.report.wrong == attempt->reports);
	must(good == (attempt->reports == 0));
	if (good)
		check_whole(conf);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static struct conf conf;
	static struct attempt advised, plain;
	static int fd = -1;
	bool is_good, is_advised_good;

	if (fd < 0) {
		fd = file_make();
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	advised.path = plain.path = path;
	advised.advises = true;
	advised.options = advised.reports = plain.options = plain.reports = 0;
	advised.length = plain.length = 0;
	advised.said[0] = plain.said[0] = '\0';
	is_advised_good = read_all(&conf, &advised, (struct input){ data, size }, fd);
	is_good = read_all(&conf, &plain, (struct input){ data, size }, fd);
	must(strcmp(advised.said, plain.said) == 0);
	must(is_advised_good || !is_good);
	must(is_good || !is_advised_good || geteuid() == 0);
	return 0;
}
