/* SPDX-License-Identifier: ISC */
#include "ctl/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/unit.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/text.h"

/* From the connection to the end of the answer; systemd may have to start the relay for it. */
static const struct span patience = { .ms = 10000 };

/* The relay bounds its lists: more is no answer of its. */
#define ANSWER_BYTES_MAX (1024 * 1024)

__attribute__((format(printf, 3, 4))) static void set_wrong(
	struct relay_answer *answer, enum relay_said said, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(answer->wrong, sizeof(answer->wrong), format, arguments);
	va_end(arguments);
	answer->said = said;
}

static void set_unconnected(struct relay_answer *answer, const char *path)
{
	switch (errno) {
	case ENOENT:
		set_wrong(answer, RELAY_ABSENT, "no relay answers here: there is no %s", path);
		break;
	case EACCES:
		set_wrong(answer, RELAY_DENIED, "only root may ask the relay: %s", path);
		break;
	default: set_wrong(answer, RELAY_FAILED, "%s: %s", path, strerror(errno)); break;
	}
}

static bool connect_and_ask(
	struct relay_answer *answer, int fd, const char *path, const char *question)
{
	char line[1024];
	struct text text = TEXT_IN(line);
	struct timeval most = { .tv_sec = (time_t)(patience.ms / 1000) };

	text_add(&text, "%s\n", question);
	if (text.cut) {
		set_wrong(answer, RELAY_FAILED, "too long a question");
		return false;
	}
	/* A queue that is full makes connect(2) wait. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)) != 0 ||
		!fd_connect_to(fd, path)) {
		set_unconnected(answer, path);
		return false;
	}
	if (!fd_send(fd, line, text.length)) {
		set_wrong(answer, RELAY_FAILED, "%s: asking: %s", path, strerror(errno));
		return false;
	}
	return true;
}

/* Reads up to the end. How much that was; -1 with errno set. */
static ssize_t read_whole(int fd, char *bytes, size_t size)
{
	struct deadline deadline = deadline_in(patience);
	size_t length = 0;

	for (;;) {
		struct pollfd pollfd = { .fd = fd, .events = POLLIN };
		ssize_t got;
		int ready = poll(&pollfd, 1, (int)deadline_rest(deadline).ms);

		errno = ready == 0 ? ETIMEDOUT : errno;
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return -1;
		got = read(fd, bytes + length, size - length);
		if (got <= 0)
			return got < 0 ? -1 : (ssize_t)length;
		length += (size_t)got;
		errno = EMSGSIZE;
		if (length == size)
			return -1;
	}
}

static void set_document(struct relay_answer *answer, const char *bytes, size_t length)
{
	json_t *document = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
	const char *wrong = json_string_value(json_object_get(document, "error"));

	if (wrong != NULL)
		set_wrong(answer, RELAY_FAILED, "the relay says: %s", wrong);
	else if (!json_is_object(document))
		set_wrong(answer, RELAY_FAILED, "what the relay says is no JSON object");
	if (answer->said == RELAY_ANSWERED)
		answer->document = document;
	else
		json_decref(document);
}

static void read_answer(struct relay_answer *answer, int fd, const char *path)
{
	char *bytes = malloc(ANSWER_BYTES_MAX);
	ssize_t length = bytes == NULL ? -1 : read_whole(fd, bytes, ANSWER_BYTES_MAX);

	if (length < 0)
		set_wrong(answer, RELAY_FAILED, "%s: no answer: %s", path, strerror(errno));
	else
		set_document(answer, bytes, (size_t)length);
	free(bytes);
}

const char *relay_remedy(enum relay_said said)
{
	switch (said) {
	case RELAY_ABSENT: return "run `systemctl enable --now nmnotify-relay.socket`";
	case RELAY_DENIED: return "run this as root";
	default:
		return "run `systemctl restart nmnotify-relay.socket`, and see `journalctl -t "
		       "nmnotify-relay`";
	}
}

bool relay_is_at_rest(const char *path)
{
	struct units units = { .bus = NULL };
	char state[32];
	bool is_at_rest;

	if (strcmp(path, RELAY_STATUS_PATH) != 0)
		return false;
	units_open(&units, false);
	unit_text(&units, "nmnotify-relay.service", UNIT_ANY, "ActiveState", state, sizeof(state));
	/* One that is about to end would be started again, for a connection that it does not take.
	 */
	is_at_rest = unit_is_active(&units, "nmnotify-relay-status.socket") &&
		     (strcmp(state, "inactive") == 0 || strcmp(state, "deactivating") == 0);
	units_close(&units);
	return is_at_rest;
}

struct relay_answer relay_ask(const char *path, const char *question)
{
	struct relay_answer answer = { .said = RELAY_ANSWERED };
	int fd = fd_socket(AF_UNIX, SOCK_STREAM);

	if (connect_and_ask(&answer, fd, path, question))
		read_answer(&answer, fd, path);
	fd_close_if_open(fd);
	return answer;
}
